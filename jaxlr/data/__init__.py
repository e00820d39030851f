"""Rows in: files of many formats, whole or in blocks, as arrays that JAX takes without a copy."""

from jaxlr.data.dataset import Dataset, split
from jaxlr.data.encoding import Category, Encoding, Labels, Number
from jaxlr.data.errors import DataError
from jaxlr.data.opening import least_size, most_values, open_stream
from jaxlr.data.shares import block_rows, in_all, own_share
from jaxlr.data.source import BUILT_IN, absolute, breast_cancer, is_built_in, load
from jaxlr.data.sources import FORMATS
from jaxlr.data.stream import Block, Stream
from jaxlr.data.streamed import Division, Shuffled, StreamedPart, chunk_rows_in
from jaxlr.shard import aligned_empty, prefetch

__all__ = [
    "BUILT_IN",
    "FORMATS",
    "Block",
    "Category",
    "DataError",
    "Dataset",
    "Division",
    "Encoding",
    "Labels",
    "Number",
    "Shuffled",
    "Stream",
    "StreamedPart",
    "absolute",
    "aligned_empty",
    "block_rows",
    "breast_cancer",
    "chunk_rows_in",
    "in_all",
    "is_built_in",
    "least_size",
    "load",
    "most_values",
    "open_stream",
    "own_share",
    "prefetch",
    "split",
]
