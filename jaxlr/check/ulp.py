"""Units in the last place: the distance between neighbouring floating-point numbers."""

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, DTypeLike


def unit(values: ArrayLike, dtype: DTypeLike) -> np.ndarray:
    """One unit in the last place of ``dtype`` at each of ``values``, in float64.

    Below the normal range it stays what it is at the smallest normal number.

    Examples
    --------
    >>> float(unit(1.5, np.float32)) == 2.0**-23
    True
    """
    info = ml_dtypes.finfo(dtype)
    size = np.maximum(abs(np.asarray(values, np.float64)), float(info.tiny))
    with np.errstate(invalid="ignore"):
        return float(info.eps) * np.exp2(np.floor(np.log2(size)))


def distance(hand: ArrayLike, truth: ArrayLike, dtype: DTypeLike) -> np.ndarray:
    """Distance of ``hand`` from ``truth`` in units in the last place of the truth.

    It is 0 where both lie below the normal range, for XLA flushes such numbers to 0, and where
    an infinite ``hand`` stands for a truth beyond the largest finite number. It is infinite where
    only one of the two is a finite number, and NaN where the truth is.

    Examples
    --------
    >>> distance([1.0, np.nan, np.inf], [1.0 + 2.0**-22, 1.0, np.inf], np.float32).tolist()
    [2.0, inf, 0.0]
    """
    hand, truth = np.asarray(hand, np.float64), np.asarray(truth, np.float64)
    info = ml_dtypes.finfo(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        flushed = np.maximum(abs(hand), abs(truth)) <= float(info.tiny)
        overflowed = np.isinf(hand) & (abs(truth) > float(info.max)) & (hand * truth > 0)
        off = np.where(flushed | overflowed, 0.0, abs(hand - truth) / unit(truth, dtype))
    return np.where(np.isnan(off) & ~np.isnan(truth), np.inf, off)
