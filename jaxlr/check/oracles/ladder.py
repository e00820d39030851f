"""One derivative out of differences at many steps: its value, an honest error, or a refusal.

The rungs run from coarse to fine. Three things decide:

- Neville's extrapolation in h^2 (Richardson), of order 0, 1 and 2 on every rung. Its error is how
  far neighbouring rungs are apart, and what rounding can make of the values: measured as the
  scatter of all finer rungs, and no less than some units of the values.
- Finer rungs overrule coarser ones: a value that no finer one can contradict is taken, the one
  of the smallest error.
- A derivative from both sides must be one: where the sides stay apart as the step shrinks there
  is a kink, where the values themselves do, a jump.
"""

from typing import NamedTuple

import numpy as np

from jaxlr.check.oracles.reading import Reading, refuse

EPS = float(np.finfo(np.float64).eps)
_ULPS = 8  # rounding of a value, in units of it
_TAIL = 7  # rungs at the fine end that at least are looked at for rounding
_APART = 4.0  # neighbours are as far from the truth as from each other where h^(1/2) counts
_RESOLVED = 1e-3  # relative error of a value that may be given
_ORDERS = 3  # of extrapolation: none, once, twice
_ROUGH = 2.0**-20  # steps in the values that are this short, relative, may be rounding's


class Rungs(NamedTuple):
    """Differences at steps h, coarse to fine, n of them that are usable.

    Attributes
    ----------
    h : (n,) array
        Steps.
    size : (n,) array
        What differences were divided by: h, or the product of two steps.
    middle : (n,) array
        Central differences.
    sides : (n, k) array
        One-sided differences.
    values : (n, p) array
        Values of the function that they are made of, without the one at the point itself.
    at : float
        That value.
    off : (n,) array
        Relative rounding of the moves.
    scale : float
        Step that counts as long.
    """

    h: np.ndarray
    size: np.ndarray
    middle: np.ndarray
    sides: np.ndarray
    values: np.ndarray
    at: float
    off: np.ndarray
    scale: float


def judge(oracle: str, rungs: Rungs) -> Reading:
    """Return the derivative that a ladder shows.

    Examples
    --------
    >>> h = 2.0 ** -np.arange(30)
    >>> up, down = np.exp(h), np.exp(-h)
    >>> sides = np.stack([(up - 1) / h, (1 - down) / h], 1)
    >>> values = np.stack([up, down], 1)
    >>> middle = sides.mean(1)
    >>> found = judge("by hand", Rungs(h, h, middle, sides, values, 1.0, 0 * h, 1.0))
    >>> abs(found.value - 1) <= found.error < 1e-12
    True
    """
    if not np.isfinite(rungs.at) or not len(rungs.h):
        return refuse(oracle, "not finite")
    if len(rungs.h) < _TAIL + _ORDERS:
        return refuse(oracle, "not resolved")
    if _jumps(rungs):
        return refuse(oracle, "jump")
    if _has_kink(rungs):
        return refuse(oracle, "kink")
    value, error, is_zero = _best(rungs)
    if not np.isfinite(error) or not (error <= _RESOLVED * abs(value) or is_zero):
        return refuse(oracle, "not resolved")
    return Reading(oracle, float(value), float(error))


def _moved(rungs: Rungs) -> np.ndarray:
    """How far the values of each rung are from the one at the point."""
    return abs(rungs.values - rungs.at).max(axis=1)


def _rounding(rungs: Rungs) -> np.ndarray:
    """Return what rounding may do to a value of each rung, at least."""
    return _ULPS * EPS * np.maximum(abs(rungs.values).max(axis=1), abs(rungs.at))


def _hidden(rungs: Rungs) -> float:
    """Return what rounding inside of a function may do, on numbers as large as the point."""
    return _ULPS * EPS * max(1.0, rungs.scale)


def _jumps(rungs: Rungs) -> bool:
    """Whether the values close by, quiet among themselves, are not the value at the point."""
    tail = rungs.values[-_TAIL:]
    noise = _ULPS * abs(np.diff(tail, axis=0)).max() + _rounding(rungs)[-1]
    return bool(_moved(rungs)[-1] > 4 * noise)


def _has_kink(rungs: Rungs) -> bool:
    """Whether the sides do not close up where rounding just lets it be seen."""
    gap = np.ptp(rungs.sides, axis=1)
    scatter = abs(np.diff(rungs.sides, axis=0)).max(axis=1) * rungs.size[1:]
    noise = (scatter[-_TAIL:].max() + _rounding(rungs) + _hidden(rungs)) / rungs.size
    noise = 4 * (noise + rungs.off * abs(rungs.sides).max(axis=1))
    seen = np.flatnonzero(gap > 8 * noise)
    if not len(seen):
        return False
    j = seen[-1]
    if (noise[j + 1 :] < gap[j] / 16).any():  # finer rungs would see half of it, and see nothing
        return False
    coarser = np.flatnonzero(rungs.h >= 4 * rungs.h[j])
    return not len(coarser) or bool(gap[coarser[-1]] < 2 * gap[j])


def _best(rungs: Rungs) -> tuple[float, float, bool]:
    """Value and error of the best rung, and whether it is plainly 0."""
    value, error, plain = _extrapolate(rungs)
    error = np.where(np.isfinite(value + error), error, np.inf)
    value = np.where(np.isfinite(value), value, 0)
    lower = np.maximum.accumulate((value - error)[::-1])[::-1]
    upper = np.minimum.accumulate((value + error)[::-1])[::-1]
    k = int(np.argmin(np.where(lower <= upper, error, np.inf)))
    if _has_rival(rungs, value, error, k) or _grows(rungs, value[k], k):
        return np.nan, np.inf, False
    seen = abs(rungs.sides[: k + 1]).max()
    small = error[k] <= 1e-6 * seen or error[k] <= 2 * plain[k]
    is_zero = bool(abs(value[k]) <= error[k] and small)
    stands_still = is_zero and not rungs.sides[k].any()
    hidden = _hidden(rungs) / rungs.size[k] if stands_still else 0.0
    return value[k], error[k] + hidden, is_zero


def _grows(rungs: Rungs, value: float, k: int) -> bool:
    """Whether finer rungs than ``k`` plainly show more: there the derivative may be infinite."""
    scatter = abs(np.diff(rungs.middle)) * rungs.size[1:]
    rounding = _rounding(rungs) + _hidden(rungs) + scatter[-_TAIL:].max()
    noise = 32 * rounding / rungs.size
    more = abs(rungs.middle) > np.maximum(noise, 4 * max(abs(value), abs(rungs.middle[k])))
    return bool(more[k + 1 :].any())


def _has_rival(rungs: Rungs, value: np.ndarray, error: np.ndarray, k: int) -> bool:
    """Whether long steps show another derivative than the very short ones of rung ``k``.

    Rounding inside of a function, of (x + 1e9) - 1e9 for instance, makes stairs of a straight
    line, on which a function of 0 and one of rounding's cannot be told apart.
    """
    if rungs.h[k] > _ROUGH * rungs.scale:
        return False
    smooth = np.ptp(rungs.sides, axis=1) <= abs(rungs.middle) / 8
    clear = (error <= _RESOLVED * abs(value)) & (rungs.h > rungs.h[k]) & smooth
    return bool((clear & (abs(value - value[k]) > error + error[k])).any())


def _extrapolate(rungs: Rungs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each rung the order of the smallest error: value, error, and rounding's part of it."""
    n, h = len(rungs.h), rungs.h
    value, best, plain = np.zeros(n), np.full(n, np.inf), np.zeros(n)
    table, rounding = rungs.middle, _rounding(rungs)
    for order in range(_ORDERS):
        rows = n - order
        size = rungs.size[order:]  # the finest step of each counts most
        noise = 2 * (_noise(table, size) + rounding[:rows]) / size
        error = noise + (_ULPS * EPS + 2 * rungs.off[order:]) * abs(table)
        error += _APART * _apart(table, order)
        better = np.flatnonzero(error < best[:rows])
        value[better], best[better] = table[better], error[better]
        plain[better] = (2 * rounding[:rows] / size)[better]
        ratio = (h[: rows - 1] / h[order + 1 :]) ** 2
        table = table[1:] + np.diff(table) / (ratio - 1)
    return value, best, plain


def _noise(table: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Measure the rounding of values by how differences scatter on this rung and finer ones."""
    scatter = abs(np.diff(table)) * size[1:]
    worst = np.maximum.accumulate(scatter[::-1])[::-1]
    worst[-_TAIL:] = worst[-_TAIL]
    return np.append(worst, worst[-1])


def _apart(table: np.ndarray, order: int) -> np.ndarray:
    """How far neighbours are apart; a coarser one by at least 4 times as much, per order."""
    finer = np.append(abs(np.diff(table)), np.inf)
    coarser = np.append(0, abs(np.diff(table))) / 4.0 ** (order + 1)
    return np.maximum(finer, coarser)
