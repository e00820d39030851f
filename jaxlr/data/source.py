"""Rows in memory: the built-in data set by its name, a file of any format by its path."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.dataset import Dataset
from jaxlr.data.encoder import Encoder, Rows
from jaxlr.data.encoding import Encoding, Labels
from jaxlr.data.errors import DataError, GapError
from jaxlr.data.labels import gaps_in, orient
from jaxlr.data.learner import Learner
from jaxlr.data.opening import open_encoded, open_planned
from jaxlr.data.settings import Categorical, Missing, Settings
from jaxlr.data.sources import Batch, is_url
from jaxlr.extras import extra
from jaxlr.shard import aligned_empty

BUILT_IN = "breast_cancer"
_BATCH_ROWS = 1 << 16


def load(
    source: str | Path,
    *,
    form: str | None = None,
    target: str | None = None,
    positive: str | None = None,
    weight: str | None = None,
    columns: Collection[str] | None = None,
    exclude: Collection[str] = (),
    categorical: Categorical = (),
    missing: Missing = "error",
    unknown: str = "error",
    encoding: Encoding | None = None,
    dtype: DTypeLike = np.float32,
) -> Dataset:
    """Load the built-in data set by its name, or all rows of a file or folder by its path.

    Parameters
    ----------
    source : str or Path
        ``"breast_cancer"``, or what `open_stream` reads.
    form, weight, columns, categorical, missing, unknown, encoding
        As of `open_stream`.
    target : str, optional
        Column with the labels; needed for CSV, Parquet and npy.
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
    if is_built_in(source):
        if target or weight or columns or exclude or categorical or form or encoding:
            raise DataError(
                f"the built-in {BUILT_IN} has its own target and features. To use a file, name "
                "it: jaxlr train FILE --target COLUMN"
            )
        return breast_cancer(positive=positive, dtype=dtype)
    if encoding is not None:
        opened, encoding = open_encoded(
            source, encoding, form, target=target, weight=weight, exclude=exclude
        )
        encoder = Encoder(encoding, dtype)
        batches = [*opened.batches(encoder.read, _BATCH_ROWS)]
    else:
        settings = Settings(
            target, positive, weight, columns, exclude, categorical, missing, unknown
        )
        opened, plan = open_planned(source, form, settings)
        batches = [*opened.batches(plan.read, _BATCH_ROWS)]
        encoder = Encoder(_learn(batches, Learner(plan, opened.path, dtype)), dtype)
    return _encoded(batches, encoder, opened.stem)


def absolute(source: str | Path) -> str:
    """Name the built-in data set, or the file by a path or URL that holds in any folder."""
    if is_built_in(source) or is_url(source):
        return str(source)
    return str(Path(source).absolute())


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
    zero, one = (str(name) for name in bunch.target_names)
    labels = orient(Labels((zero, one), (0.0, 1.0)), positive, BUILT_IN)
    y = (bunch.target == (labels.names[1] == one)).astype(dtype)
    return Dataset(X, y, tuple(map(str, bunch.feature_names)), labels.names, BUILT_IN)


def is_built_in(source: str | Path) -> bool:
    """Whether this names the built-in data set, and no file."""
    return str(source) == BUILT_IN and not Path(source).exists()


def _learn(batches: Sequence[Batch], learner: Learner) -> Encoding:
    try:
        for batch in batches:
            learner.add(batch)
    except GapError as gap:
        gaps = sum(int(gaps_in(batch.column(gap.column)).sum()) for batch in batches)
        raise gap.counted(gaps, sum(map(len, batches))) from None
    return learner.finish()[0]


def _written(batches: Sequence[Batch], encoder: Encoder) -> Rows:
    room, start = encoder.room(sum(map(len, batches))), 0
    for batch in batches:
        encoder.write(batch, room.part(start, start + len(batch)))
        start += len(batch)
    return room


def _encoded(batches: Sequence[Batch], encoder: Encoder, name: str) -> Dataset:
    encoding, room = encoder.encoding, _written(batches, encoder)
    if room.y is None or encoding.labels is None:
        raise DataError(f"{name}: the model has no labels")
    return Dataset(
        room.X, room.y, encoding.features, encoding.labels.names, name, room.weight, encoding
    )
