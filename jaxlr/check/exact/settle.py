"""When a difference is a derivative: more digits and smaller steps until it is, or is refused.

Three things must hold. The value itself is known: other roundings give the same. The differences
of two steps agree to a quarter of the digits, and rounding could not have hidden more than that
(a difference of 0 says only that the slope is less than rounding, unless the output stands still
for large moves too). The slopes from both sides close up with the step.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxlr.check.exact.arithmetic import Raw, load, magnitude
from jaxlr.check.exact.arrays import elementwise
from jaxlr.check.exact.differences import Move, Point, Sides, stencil, still
from jaxlr.check.exact.trace import Traced, bits_of

_SHRINK = 16  # the second step is 2^-16 of the first
_STEP = 37  # bits more for the second step: its rounding counts less, not more
_CLOSES = 4  # sides that close up by less than 2^-4 from step to step form a kink
_LEVELS = 1, 2, 4  # times the digits, and times the digits of the step
_SLACK = 8  # bits that rounding may lose in one value
_ZERO = -600  # a value below 2^-600 that is all rounding is 0
_NOTHING = 300  # at last a slope is 0 if it changes the value by less than 2^-300

Formula = Callable[[dict[Point, Raw], list[int], int], tuple[Raw, list[Sides]]]


class Derivative(NamedTuple):
    """Of one output, in raw numbers."""

    settled: bool
    value: Raw
    smooth: bool
    left: Raw
    right: Raw
    error: Raw


class Level(NamedTuple):
    """One try: scales and two steps along each move, as binary exponents; how many bits."""

    formula: Formula
    scales: list[int]
    steps: list[list[int]]
    bits: int
    goal: int  # bits that two steps must agree in
    last: bool


def settle(traced: Traced, moves: list[Move], digits: int, formula: Formula) -> list[np.ndarray]:
    """Derive all outputs, flat, each at the first level where it is smooth."""
    q = bits_of(digits // 4)
    more = sum(m.spread for m in moves) + sum(max(0, -m.scale) for m in moves[1:])
    at_rest = still(traced, moves, bits_of(digits // 4))
    settled: list[np.ndarray] = []
    for times in _LEVELS:
        bits = times * (bits_of(digits) + (len(moves) - 1) * q) + more
        steps = [[m.scale - times * q - shrink for m in moves] for shrink in (0, _SHRINK)]
        near = stencil(traced, moves, steps[0], bits, seed=2 * times)
        nearer = stencil(traced, moves, steps[1], bits + _STEP, seed=2 * times + 1)
        level = Level(
            formula,
            [m.scale for m in moves],
            steps,
            bits + len(moves) * traced.extra,
            q,
            times == _LEVELS[-1],
        )
        found = [_judge_all(level, *trio) for trio in zip(near, nearer, at_rest, strict=True)]
        pairs = zip(settled or found, found, strict=True)
        settled = [elementwise(_first_settled, *pair) for pair in pairs]
        if all(d.settled for array in settled for d in array.ravel().tolist()):
            break
    return settled


def _first_settled(before: Derivative, after: Derivative) -> Derivative:
    return before if before.settled else after


def _judge_all(
    level: Level, near: dict[Point, np.ndarray], nearer: dict[Point, np.ndarray], rest: np.ndarray
) -> np.ndarray:
    points, half = list(near), len(near)

    def judge(rest: bool, *values: Raw) -> Derivative:
        a, b = values[:half], values[half:]
        pair = (dict(zip(points, v, strict=True)) for v in (a, b))
        return _judge(level, *pair, at_rest=rest)

    return elementwise(judge, rest, *near.values(), *nearer.values())


def _judge(
    level: Level, near: dict[Point, Raw], nearer: dict[Point, Raw], at_rest: bool
) -> Derivative:
    lib = load().libmp
    far, far_sides = level.formula(near, level.steps[0], level.bits)
    value, sides = level.formula(nearer, level.steps[1], level.bits + _STEP)
    center = (0,) * len(level.steps[0])
    noise = _Noise(level, near, nearer)
    every = [v for _, slopes in (*far_sides, *sides) for v in slopes]
    if at_rest and noise.is_known and all(v == lib.fzero for v in every):
        return Derivative(True, value, True, value, value, value)
    error = lib.mpf_abs(lib.mpf_sub(value, far, level.bits))
    hidden = noise.in_slope(range(len(center)))
    vanishes = _size(error) <= hidden + 4 or _size(value) <= _size(far) - _CLOSES
    converges = max(_size(error), hidden) <= _size(value) - level.goal or (
        level.last and vanishes and max(_size(error), hidden) <= noise.nothing
    )
    closes = all(
        _closes(_spread(a), _spread(b), noise.in_slope(moves) if level.last else -np.inf)
        for (_, a), (moves, b) in zip(far_sides, sides, strict=True)
    )
    smooth = noise.is_known and _is_finite(value) and converges and closes
    left, right = (_extrapolate(far_sides[0][1][i], sides[0][1][i], level.bits) for i in (0, -1))
    if not noise.is_known:
        error = lib.finf
    elif _size(error) < hidden < np.inf:
        error = lib.mpf_shift(lib.fone, int(hidden))
    return Derivative(
        smooth or not noise.is_finite, value if smooth else lib.fnan, smooth, left, right, error
    )


class _Noise:
    """What rounding may hide, as binary exponents."""

    def __init__(self, level: Level, near: dict[Point, Raw], nearer: dict[Point, Raw]) -> None:
        center = (0,) * len(level.steps[0])
        lib = load().libmp
        largest = max(_size(v) for v in (*near.values(), *nearer.values()))
        seen = _size(lib.mpf_sub(near[center], nearer[center], level.bits))
        self.steps = level.steps[0]
        self.nothing = max(largest, 0) - _NOTHING - sum(max(scale, 0) for scale in level.scales)
        self.in_value = max(largest - level.bits, seen) + _SLACK
        self.is_finite = _is_finite(near[center]) and _is_finite(nearer[center])
        self.is_known = self.is_finite and (
            seen <= largest - level.goal or (level.last and largest <= _ZERO)
        )

    def in_slope(self, moves: Any) -> float:
        return self.in_value - sum(self.steps[i] for i in moves)


def _closes(far: Raw, near: Raw, hidden: float) -> bool:
    return _size(near) <= max(_size(far) - _CLOSES, hidden)


def _spread(sides: list[Raw]) -> Raw:
    lib = load().libmp
    if not all(map(_is_finite, sides)):
        return lib.finf
    ordered = sorted(sides, key=functools.cmp_to_key(lib.mpf_cmp))
    return lib.mpf_sub(ordered[-1], ordered[0])


def _extrapolate(far: Raw, near: Raw, bits: int) -> Raw:
    """One-sided slope without its error of first order."""
    lib = load().libmp
    more = lib.mpf_div(lib.mpf_sub(near, far, bits), lib.from_int(2**_SHRINK - 1), bits)
    return lib.mpf_add(near, more, bits) if _is_finite(near) else near


def _size(x: Raw) -> float:
    """Binary exponent; -inf of 0, inf of what is not finite."""
    if x[1]:
        return magnitude(x)
    return np.inf if x[2] else -np.inf


def _is_finite(x: Raw) -> bool:
    return bool(x[1]) or not x[2]
