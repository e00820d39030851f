"""Rows in: the built-in data set and CSV files, as arrays that JAX takes without a copy."""

from jaxlr.data.csv import read_csv, read_features
from jaxlr.data.dataset import DataError, Dataset, split
from jaxlr.data.source import BUILT_IN, absolute, breast_cancer, load
from jaxlr.shard import aligned_empty

__all__ = [
    "BUILT_IN",
    "DataError",
    "Dataset",
    "absolute",
    "aligned_empty",
    "breast_cancer",
    "load",
    "read_csv",
    "read_features",
    "split",
]
