"""Where rows come from: the built-in data set by its name, a CSV file by its path."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.csv import orient, read_csv
from jaxlr.data.dataset import DataError, Dataset
from jaxlr.extras import extra
from jaxlr.shard import aligned_empty

BUILT_IN = "breast_cancer"


def load(
    source: str | Path,
    *,
    target: str | None = None,
    exclude: Collection[str] = (),
    positive: str | None = None,
    dtype: DTypeLike = np.float32,
) -> Dataset:
    """Load the built-in data set by its name, or a CSV file by its path.

    Parameters
    ----------
    source : str or Path
        ``"breast_cancer"``, or the path of a CSV file with a header.
    target : str, optional
        Column with the labels; needed for a file.
    exclude : collection of str
        Columns that are no features.
    positive : str, optional
        Label to be 1. Without it, that is the later one in sorted order.
    dtype
        Type of X and y.

    Raises
    ------
    DataError
        If the data cannot be used, naming the file, the column and the row (counted from 1
        below the header).

    Examples
    --------
    >>> data = load("breast_cancer")
    >>> data.X.shape, data.labels
    ((569, 30), ('malignant', 'benign'))
    """
    if not _is_built_in(source):
        return read_csv(source, target=target, exclude=exclude, positive=positive, dtype=dtype)
    if target or exclude:
        raise DataError(
            f"the built-in {BUILT_IN} has its own target and features. To use a file, name it: "
            "jaxlr train FILE --target COLUMN"
        )
    return breast_cancer(positive=positive, dtype=dtype)


def absolute(source: str | Path) -> str:
    """Name of the built-in data set, or path of the file, that holds in any working folder."""
    return BUILT_IN if _is_built_in(source) else str(Path(source).absolute())


def breast_cancer(*, positive: str | None = None, dtype: DTypeLike = np.float32) -> Dataset:
    """Wisconsin diagnostic breast cancer, 569 x 30, as scikit-learn bundles it.

    References
    ----------
    W. Wolberg, O. Mangasarian, N. Street, W. Street, UCI Machine Learning Repository, 1995.
    """
    with extra("data"):
        from sklearn.datasets import load_breast_cancer
    bunch: Any = load_breast_cancer()
    X = aligned_empty(bunch.data.shape, dtype)
    X[:] = bunch.data
    labels = tuple(str(name) for name in bunch.target_names)
    y, (zero, one) = orient(bunch.target.astype(dtype), (labels[0], labels[1]), positive, BUILT_IN)
    return Dataset(X, y, tuple(map(str, bunch.feature_names)), (zero, one), BUILT_IN)


def _is_built_in(source: str | Path) -> bool:
    return str(source) == BUILT_IN and not Path(source).exists()
