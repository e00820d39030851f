"""How far from the truth rounding may take a number, and nothing else."""

from typing import NamedTuple

import ml_dtypes
import numpy as np

COARSE = ("bfloat16", "float16")
_BUDGET = 8  # rounding units of the sum of absolute terms
_ELEMENTWISE = 4  # the same where nothing is added up
_BOTH = 4  # in float64 the truth is as inaccurate as the hand
_FLUSHED = 2**20  # smallest normal numbers: XLA takes 0 for less, and what follows multiplies it
_SMALLEST_NORMAL = {"float16": 2.0**-14}  # its smallest normal number


class Tolerance(NamedTuple):
    """What is allowed beyond the truth: 8 rounding units, 4 elementwise, and what the user adds.

    ``accuracy`` says of what: of the sum of absolute terms ("inputs"), or, where that is more, of
    what rounding does in the steps of the reference's own autodiff ("reference"), or in those of
    the program that is judged ("steps"). ``atol`` is an absolute distance.
    """

    elementwise: bool
    accuracy: str = "reference"
    atol: float = 0.0

    @property
    def budget(self) -> int:
        """Rounding units."""
        return _ELEMENTWISE if self.elementwise else _BUDGET

    def rounding(self, dtype: str, terms: np.ndarray) -> np.ndarray:
        """Distance that rounding explains, of numbers whose terms have these absolute sums."""
        both = _BOTH if dtype == "float64" else 1
        return self.budget * both * float(ml_dtypes.finfo(dtype).eps) * terms


def flushed(dtype: str) -> float:
    """Distance from 0 within which XLA, and what multiplies its results, may lose a number."""
    return _SMALLEST_NORMAL.get(dtype, _FLUSHED * float(ml_dtypes.finfo(dtype).tiny))


def exceeds(hand: np.ndarray, truth: np.ndarray, allowed: np.ndarray, dtype: str) -> np.ndarray:
    """Where ``hand`` is not within ``allowed`` of a truth that is a number."""
    largest = float(ml_dtypes.finfo(dtype).max)
    with np.errstate(invalid="ignore", over="ignore"):
        overflowed = np.isinf(hand) & (abs(truth) + allowed >= largest) & (hand * truth > 0)
        return ~(abs(hand - truth) <= allowed) & np.isfinite(truth) & ~overflowed
