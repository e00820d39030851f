"""When a difference is a derivative: more digits and smaller steps until it is, or is refused."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxlr.check.exact.arithmetic import Raw, load, magnitude
from jaxlr.check.exact.arrays import build, elementwise
from jaxlr.check.exact.differences import Move, Point, Sides, stencil
from jaxlr.check.exact.trace import Traced, bits_of

_SHRINK = 16  # the second step is 2^-16 of the first
_STEP = 37  # bits more for the second step: its rounding counts less, not more
_CLOSES = 4  # sides that close up by less than 2^-4 from step to step form a kink
_LEVELS = 1, 2, 4  # times the digits, and times the digits of the step
_NOTHING = 300  # 2^-300 of the value for a move of the argument's own size counts as 0, at last

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
    """One try: steps and digits, and what counts as 0 in it."""

    formula: Formula
    scales: list[int]
    steps: list[list[int]]  # two for each move, binary exponents
    bits: int
    goal: int  # bits that two steps must agree in
    last: bool


def settle(traced: Traced, moves: list[Move], digits: int, formula: Formula) -> list[np.ndarray]:
    """Derive all outputs, flat, each at the first level where it is smooth."""
    q = bits_of(digits // 4)
    scales, spread = [m.scale for m in moves], sum(m.spread for m in moves)
    settled: list[np.ndarray] = []
    for times in _LEVELS:
        bits = times * (bits_of(digits) + (len(moves) - 1) * q) + spread
        steps = [[scale - times * q - shrink for scale in scales] for shrink in (0, _SHRINK)]
        level = Level(formula, scales, steps, bits, q, times == _LEVELS[-1])
        near = stencil(traced, moves, steps[0], bits, seed=2 * times)
        nearer = stencil(traced, moves, steps[1], bits + _STEP, seed=2 * times + 1)
        found = [_judge_all(level, near, nearer, i) for i in range(len(next(iter(near.values()))))]
        settled = [
            elementwise(_first_settled, *both) for both in zip(settled or found, found, strict=True)
        ]
        if all(d.settled for array in settled for d in array.ravel().tolist()):
            break
    return settled


def _first_settled(before: Derivative, after: Derivative) -> Derivative:
    return before if before.settled else after


def _judge_all(
    level: Level, near: dict[Point, Any], nearer: dict[Point, Any], output: int
) -> np.ndarray:
    points = list(near)
    shape = near[points[0]][output].shape
    columns = [
        zip(*(values[p][output].ravel().tolist() for p in points), strict=True)
        for values in (near, nearer)
    ]
    return build(
        (
            _judge(level, dict(zip(points, a, strict=True)), dict(zip(points, b, strict=True)))
            for a, b in zip(*columns, strict=True)
        ),
        shape,
    )


def _judge(level: Level, near: dict[Point, Raw], nearer: dict[Point, Raw]) -> Derivative:
    lib = load().libmp
    far, far_sides = level.formula(near, level.steps[0], level.bits)
    value, sides = level.formula(nearer, level.steps[1], level.bits + _STEP)
    error = lib.mpf_abs(lib.mpf_sub(value, far, level.bits))
    largest = max(0, *(_size(v) for v in nearer.values()))

    def nothing(moves: tuple[int, ...]) -> float:
        if not level.last:
            return -np.inf
        return largest - _NOTHING - sum(level.scales[i] for i in moves)

    every = tuple(range(len(level.scales)))
    converges = _size(error) <= max(_size(value) - level.goal, nothing(every))
    closes = all(
        _size(_spread(b)) <= max(_size(_spread(a)) - _CLOSES, nothing(moves))
        for (moves, b), (_, a) in zip(sides, far_sides, strict=True)
    )
    smooth = _is_finite(value) and converges and closes
    at_infinity = not _is_finite(nearer[(0,) * len(every)])
    left, right = (_extrapolate(far_sides[0][1][i], sides[0][1][i], level.bits) for i in (0, -1))
    shown = value if smooth and not at_infinity else lib.fnan
    return Derivative(smooth or at_infinity, shown, smooth and not at_infinity, left, right, error)


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
