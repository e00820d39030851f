"""Rounder numbers: 0 and 1 first, then few digits; leaf by leaf, then element by element."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from jaxlr.check.smallest.arrays import alike, is_array, is_floating, same
from jaxlr.check.smallest.search import Search, State

Simpler = Callable[[np.ndarray], np.ndarray]
_BLOCKS = 64  # a leaf of more elements is simplified in so many blocks of them
_DIGITS = (0, 1, 2, 3)


def simplify(search: Search) -> None:
    """Make the numbers as round as the failure allows; the cotangent first, whole leaves first."""
    for blocks in (1, _BLOCKS):
        for part in ("cotangent", "args"):
            for i in range(len(getattr(search.best, part))):
                _simplify_leaf(search, part, i, blocks)


def _simplify_leaf(search: Search, part: str, i: int, blocks: int) -> None:
    leaf = getattr(search.best, part)[i]
    if not is_array(leaf) or not np.size(leaf):
        return
    ways = _ways(leaf, part)
    for where in np.array_split(np.arange(np.size(leaf)), min(blocks, np.size(leaf))):
        values = np.array(getattr(search.best, part)[i])
        for simpler in _simpler(values.reshape(-1)[where], ways):
            changed = values.copy()
            changed.reshape(-1)[where] = simpler
            if search.accept(_with(search.best, part, i, alike(changed, leaf))):
                break


def _simpler(values: np.ndarray, ways: list[Simpler]) -> Iterator[np.ndarray]:
    """Yield what is simpler than ``values``, the simplest first."""
    for way in ways:
        simpler = way(values)
        if same(simpler, values):
            return
        yield simpler


def _with(state: State, part: str, i: int, leaf: Any) -> State:
    leaves = list(getattr(state, part))
    leaves[i] = leaf
    return state._replace(**{part: tuple(leaves)})


def _ways(leaf: Any, part: str) -> list[Simpler]:
    """Ways to simplify a leaf; integers and booleans only go towards 0."""
    if leaf.dtype == bool:
        return [np.zeros_like]
    if not is_floating(leaf):
        return [np.zeros_like, np.sign]
    rounded = [np.sign, *(partial(round_to, digits=digits) for digits in _DIGITS)]
    if part == "cotangent":  # at a cotangent of 0 there is little to see
        return [np.ones_like, np.zeros_like, *rounded]
    return [np.zeros_like, np.ones_like, *rounded]


def round_to(values: np.ndarray, digits: int) -> np.ndarray:
    """Round to so many significant decimal digits, within the dtype; 0 digits: a power of ten.

    What would become 0 or infinite by it stays as it is.

    Examples
    --------
    >>> values = np.array([0.1234, -567.0, np.inf], np.float32)
    >>> round_to(values, 2).tolist() == np.float32([0.12, -570.0, np.inf]).tolist()
    True
    >>> round_to(values, 0).tolist() == np.float32([0.1, -1000.0, np.inf]).tolist()
    True
    """
    flat = values.astype(np.float64).ravel().tolist()
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.array([_round(v, digits) for v in flat]).astype(values.dtype)
    rounded = rounded.reshape(values.shape)
    good = np.isfinite(rounded) & (rounded != 0)
    return np.where(good, rounded, values)


def _round(value: float, digits: int) -> float:
    if not math.isfinite(value) or value == 0:
        return value
    if digits:
        return float(f"{value:.{digits - 1}e}")
    fraction, exponent = f"{abs(value):.16e}".split("e")
    up = float(fraction) ** 2 >= 10
    return math.copysign(float(f"1e{int(exponent) + up}"), value)
