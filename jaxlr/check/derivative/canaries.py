"""Faults planted in what was just found right: a judge that lets one pass proves nothing."""

from collections.abc import Callable, Iterable

import numpy as np

from jaxlr.check.derivative.comparison import Comparison
from jaxlr.check.derivative.tolerance import exceeds


def canaries(made: Iterable[Comparison]) -> dict[str, bool]:
    """Plant every fault in comparisons of a leaf that passed; say of each whether it was caught.

    A fault that changes nothing (the sign of 0, a permutation of equal numbers) is planted
    elsewhere; one that can be planted nowhere is not a canary of this leaf.
    """
    passed = list(made)
    found = {}
    for fault, plant in _FAULTS.items():
        planted = [(c, v) for c in passed if (v := plant(c)) is not None]
        if planted:
            found[fault] = any(_seen(c, v) for c, v in planted)
    return found


def floor(made: Iterable[Comparison]) -> float:
    """Smallest relative change of the numbers of a leaf that would be seen; nan if they are 0."""
    found = []
    for c in made:
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = (c.allowed + abs(c.hand - c.truth)) / abs(c.truth)
        relative = relative[np.isfinite(relative)]
        if relative.size:
            found.append(float(np.median(relative)))
    return min(found, default=np.nan)


def visibility(c: Comparison) -> float:
    """How small a change would be seen: the truth in units of what is allowed, at best."""
    return float(np.max(_ratio(c), initial=0.0))


def _ratio(c: Comparison) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = abs(c.truth) / c.allowed
    return np.where(np.isfinite(ratio), ratio, 0.0)


def _seen(c: Comparison, planted: np.ndarray) -> bool:
    return bool(exceeds(planted, c.truth, c.allowed, c.place.dtype).any())


def _one(change: Callable[[float, float], float]) -> Callable[[Comparison], np.ndarray | None]:
    def plant(c: Comparison) -> np.ndarray | None:
        if not c.hand.size or not np.isfinite(c.truth).any():
            return None
        planted, i = c.hand.ravel().copy(), int(np.argmax(_ratio(c)))
        planted[i] = change(planted[i], c.allowed.ravel()[i])
        return None if planted[i] == c.hand.ravel()[i] else planted.reshape(c.hand.shape)

    return plant


def _permuted(c: Comparison) -> np.ndarray | None:
    for axis in reversed(range(c.hand.ndim)):
        planted = np.roll(c.hand, 1, axis)
        with np.errstate(invalid="ignore"):
            if np.any(abs(planted - c.hand) > 2 * c.allowed):
                return planted
    return None


_FAULTS: dict[str, Callable[[Comparison], np.ndarray | None]] = {
    "sign of one element": _one(lambda v, _: -v),
    "one element times 1 + 2 budgets": _one(
        lambda v, allowed: v + 2 * allowed * (1 if v >= 0 else -1)
    ),
    "one element zero": _one(lambda v, _: 0.0),
    "permuted axis": _permuted,
    "NaN": _one(lambda v, _: np.nan),
}
