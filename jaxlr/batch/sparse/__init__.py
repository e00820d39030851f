"""Sparse X: laid out by rows and by columns, multiplied both ways by hand."""

from jaxlr.batch.sparse.columns import take_sparse_columns
from jaxlr.batch.sparse.layout import SparseX, lay_out
from jaxlr.batch.sparse.products import product, products
from jaxlr.batch.sparse.take import is_sparse, take_sparse

__all__ = [
    "SparseX",
    "is_sparse",
    "lay_out",
    "product",
    "products",
    "take_sparse",
    "take_sparse_columns",
]
