"""Sparse X: laid out by rows and by columns, multiplied both ways by hand."""

from jaxlr.batch.sparse.columns import take_sparse_columns
from jaxlr.batch.sparse.layout import Block, SparseX, lay_out
from jaxlr.batch.sparse.products import product, products
from jaxlr.batch.sparse.take import is_sparse, most_rows, take_sparse

__all__ = [
    "Block",
    "SparseX",
    "is_sparse",
    "lay_out",
    "most_rows",
    "product",
    "products",
    "take_sparse",
    "take_sparse_columns",
]
