"""Scales of the features, and whether a sample of the rows shows what all of them are like."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxlr import batch, shard
from jaxlr.batch import Rows, SparseX
from jaxlr.solve.objective import draw
from jaxlr.solve.scaling import Scaling, is_constant
from jaxlr.solve.sparse import moments
from jaxlr.solve.totals import total

ROWS_MEASURED = 4096  # for the means and deviations of the features
ROWS_SEEN = 12  # of these, that must make up a deviation; a sample to solve on has 8 times as many
LEAST_SHARE = 0.003  # of a label, about 100 rows of a sample to solve on
_LARGEST = 1e150
_CANCELLED = 1e-7  # of the size about ``first``: less is what the difference of two squares loses


class Measured(NamedTuple):
    """Scales of the features, whether a sample of the rows is like all of them, and reads of X."""

    scaling: Scaling
    typical: bool
    reads: float


def measure(rows: Rows, *, intercept: bool, n_classes: int | None = None) -> Measured:
    """Measure the scales of the features: on a few rows, or on all where few do not show them.

    Few rows do not show a column that differs from its mean in a few rows only, a label or a
    weight that most rows do not have.
    """
    if isinstance(rows.X, SparseX):
        sums, first = moments(rows), np.zeros(rows.X.shape[1])
        scaling, constant = from_moments(sums, first, intercept=intercept)
        scaling = checked(scaling)._replace(n_classes=n_classes)
        _check_constant(rows.X, np.flatnonzero(constant & (sums[2] > 0)))
        return Measured(scaling, typical=False, reads=1.0)
    few = draw(len(rows.X), ROWS_MEASURED).numbers
    X = shard.on_host(rows.X, few).astype(np.float64)
    weight = np.ones(len(X))
    if rows.s is not None and rows.s.ndim == 1:
        s = shard.on_host(rows.s, few).astype(np.float64)
        weight = s if s.any() else weight
    if few is None:
        scaling = Scaling.of(X[None], weight[None], intercept=intercept)
        return Measured(checked(scaling)._replace(n_classes=n_classes), typical=True, reads=1.0)
    scaling, seen = look(X, weight, intercept=intercept)
    constant = seen == 0
    reads, spread = len(X) / len(rows.X), _is_spread(rows.s)
    if not (seen >= ROWS_SEEN).all() or not spread:
        scaling, constant = _measure_all(rows, scaling)
        reads += 1
    typical = bool((constant | (seen >= ROWS_SEEN)).all())
    typical = typical and spread and _has_labels(rows.y)
    return Measured(checked(scaling)._replace(n_classes=n_classes), typical, reads)


def measure_exactly(rows: Rows, *, intercept: bool, n_classes: int | None) -> tuple[Scaling, float]:
    """Measure the scales of the features on all rows, with their weights; and reads of X."""
    scaling, _, reads = measure(rows, intercept=intercept, n_classes=n_classes)
    if isinstance(rows.X, SparseX) or draw(len(rows.X), ROWS_MEASURED).numbers is None:
        return scaling, reads
    return checked(_measure_all(rows, scaling)[0])._replace(n_classes=n_classes), reads + 1


def look(X: np.ndarray, weight: np.ndarray, *, intercept: bool) -> tuple[Scaling, np.ndarray]:
    """Measure some rows X (m, d) in float64, and about how many make up each deviation (d,)."""
    scaling = Scaling.of(X[None], weight[None], intercept=intercept)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        fourth = np.mean(np.square(np.square(scaling.standardize(X))), axis=0)
        seen = len(X) / fourth
    seen[np.ptp(X, axis=0) == 0] = 0
    return scaling, seen


def _measure_all(rows: Rows, scaling: Scaling) -> tuple[Scaling, np.ndarray]:
    """Measure all rows, and say which columns are constant."""
    s = rows.s if rows.s is not None and rows.s.ndim == 1 else jnp.ones(len(rows.X), jnp.bool_)
    first = scaling.center[0] if scaling.intercept else np.zeros(rows.X.shape[1])
    if isinstance(rows.X, np.ndarray):
        sums = _moments(rows.X, np.asarray(s, np.float64), first)
    else:
        of_rows = partial(batch.moment_sums, rows.X, s, first, mesh=shard.mesh_of(rows.X))
        sums = total(of_rows, rows.X, rows.X.size)
    return from_moments(sums, first, intercept=scaling.intercept)


def _moments(
    X: np.ndarray, s: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do what `batch.moment_sums` does, in NumPy."""
    off, square = np.zeros_like(first), np.zeros_like(first)
    for i in range(0, len(X), ROWS_MEASURED):
        here = X[i : i + ROWS_MEASURED] - first
        off += s[i : i + ROWS_MEASURED] @ here
        square += s[i : i + ROWS_MEASURED] @ here**2
    return s.sum(), off, square


def from_moments(
    sums: tuple[np.ndarray, np.ndarray, np.ndarray], first: np.ndarray, *, intercept: bool
) -> tuple[Scaling, np.ndarray]:
    """Scales from the `batch.moment_sums` around ``first``, and which columns are constant."""
    weight, off, square = sums
    mean = off / weight
    center = first + mean if intercept else first
    with np.errstate(over="ignore", invalid="ignore"):  # `checked` tells
        variance = square / weight - (mean**2 if intercept else 0)
        deviation, size = np.sqrt(np.maximum(variance, 0)), np.sqrt(square / weight + first**2)
        lost = ~(deviation > _CANCELLED * np.sqrt(square / weight))
    constant = is_constant(deviation, size) | lost
    nothing = (size == 0) & (off == 0)  # or else its squares underflow, as `checked` tells
    scale = np.where(constant, np.where(nothing, 1.0, size), deviation)
    return Scaling(center[None], scale[None], intercept), constant


def _check_constant(X: SparseX, columns: np.ndarray) -> None:
    """Raise ValueError where columns seem to be constant and are not."""
    if len(columns) == 0:
        return
    taken = batch.take_sparse_columns(X, columns)
    largest, smallest = (v.toarray().ravel() for v in (taken.max(axis=0), taken.min(axis=0)))
    for j in columns[largest > smallest]:
        raise ValueError(
            f"column {j} of X has a mean more than {1 / _CANCELLED:.0e} times its deviation, which "
            "sums of a sparse X do not show: subtract its mean from it, or pass X dense"
        )


def _is_spread(s: Array | None) -> bool:
    """Whether the weights are spread over many of the rows."""
    if s is None or s.ndim == 2:
        return True
    weight = shard.own_rows(s).astype(np.float64)
    over = shard.gather if shard.is_elsewhere(s) else np.atleast_2d
    weight = weight / over(weight.max()).max()
    once, square = over(np.array([weight.sum(), np.sum(weight**2)])).sum(axis=0)
    return is_spread(once, square, len(s))


def is_spread(total: float, square: float, n: int) -> bool:
    """Whether n weights, of that sum and sum of squares, are as good as equal ones of n / 10."""
    return bool(total**2 >= 0.1 * n * square)


def _has_labels(y: Array) -> bool:
    """Whether a sample of the rows has all labels."""
    labels = shard.on_host(y)
    if labels.ndim == 2 or ((labels >= 0) & (labels <= 1)).all():
        share = labels.mean(axis=0, dtype=np.float64)
        least = np.min(np.minimum(share, 1 - share))
    else:
        least = np.unique(labels, return_counts=True)[1].min() / len(labels)
    return bool(least >= LEAST_SHARE)


def checked(scaling: Scaling) -> Scaling:
    """Raise ValueError where a column has no scale that can be computed with."""
    scale = scaling.scale[0]
    for j in np.flatnonzero(~((scale < _LARGEST) & (scale > 1 / _LARGEST))):
        raise ValueError(
            f"X is not finite in column {j}, or so large or small that its squares over- or "
            "underflow: impute, drop or rescale it"
        )
    return scaling
