"""Differences of a function in arbitrary precision: points around its arguments, and formulas.

A step is a power of 2, so that moving and dividing are exact.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import jax
import numpy as np

from jaxlr.check.exact.arithmetic import Raw, load, magnitude
from jaxlr.check.exact.arrays import elementwise, exact, is_exact
from jaxlr.check.exact.trace import PyTree, Traced

Point = tuple[int, ...]
_LARGE = 3, -5  # eighths of the arguments' size: for the most part it stays on its side of 0

Sides = tuple[tuple[int, ...], list[Raw]]  # which moves; the derivative from each side


class Move:
    """A direction in raw numbers; the scale of a step along it and the spread of the arguments."""

    def __init__(self, traced: Traced, direction: Sequence[PyTree]) -> None:
        self.by = [
            _along(path, at, v)
            for path, at, v in zip(
                traced.paths, traced.leaves, _leaves(traced, direction), strict=True
            )
        ]
        sizes = [
            (magnitude(x) if x[1] else 0) - magnitude(d)
            for at, by in zip(traced.leaves, self.by, strict=True)
            if by is not None
            for x, d in zip(at.ravel().tolist(), by.ravel().tolist(), strict=True)
            if d[1] and (x[1] or not x[2])
        ]
        if not sizes:
            raise ValueError("the direction moves no argument that is finite: there is no slope")
        self.scale, self.spread = min(sizes), max(sizes) - min(sizes)


def _leaves(traced: Traced, direction: Sequence[PyTree]) -> list[Any]:
    leaves, tree = jax.tree.flatten(tuple(direction), is_leaf=lambda v: v is None)
    some_rest = any(v is None for v in leaves)
    if len(leaves) != len(traced.leaves) or (tree != traced.tree and not some_rest):
        raise ValueError(f"the direction is {tree}, but the arguments are {traced.tree}")
    return leaves


def _along(path: str, at: Any, v: Any) -> np.ndarray | None:
    """Direction of one leaf in raw numbers, None where it does not move."""
    if v is None or not isinstance(v, float | int | jax.Array | np.ndarray | np.generic):
        return None
    if np.asarray(v).dtype == jax.dtypes.float0:
        return None
    by = exact(v)
    if not any(d[1] or d[2] for d in by.ravel().tolist()):
        return None
    if not is_exact(at):
        raise TypeError(f"args{path} is not floating point and cannot move")
    if by.shape != at.shape:
        raise ValueError(f"args{path} has shape {at.shape}, its direction {by.shape}")
    return by


def stencil(
    traced: Traced, moves: list[Move], steps: list[int], bits: int, seed: int
) -> list[dict[Point, np.ndarray]]:
    """Evaluate each output at -1, 0 and 1 steps along each move, with the same roundings."""
    points = [tuple(i - 1 for i in p) for p in np.ndindex((3,) * len(moves))]
    shifts = [
        [_power_of_two(step, times) for step, times in zip(steps, p, strict=True)] for p in points
    ]
    runs = _run_alike(traced, [_moved(traced, moves, shift) for shift in shifts], bits, seed)
    return [dict(zip(points, outputs, strict=True)) for outputs in zip(*runs, strict=True)]


def still(traced: Traced, moves: list[Move], bits: int) -> list[np.ndarray]:
    """Whether each output keeps all its digits when one of the moves is large."""
    lib = load().libmp
    shifts = [[lib.fzero] * len(moves)]
    ends_of_moves = [0]
    for i, move in enumerate(moves):
        for eighths, scale in product(_LARGE, {move.scale, max(move.scale, 0)}):
            far = lib.mpf_shift(lib.from_int(eighths), scale - 3)
            shifts.append([far if j == i else lib.fzero for j in range(len(moves))])
        ends_of_moves.append(len(shifts) - 1)
    runs = _run_alike(traced, [_moved(traced, moves, shift) for shift in shifts], bits, seed=0)

    def rests(at: Raw, *moved: Raw) -> bool:
        each = (moved[slice(*ends)] for ends in pairwise(ends_of_moves))
        return any(all(v == at for v in one) for one in each)

    return [elementwise(rests, *outputs).astype(bool) for outputs in zip(*runs, strict=True)]


def _run_alike(
    traced: Traced, points: list[list[Any]], bits: int, seed: int
) -> list[list[np.ndarray]]:
    """Evaluate at points, all with the same bits: a gap found at one is one for all."""
    while True:
        extra = traced.extra
        runs = [list(map(exact, traced.run(p, bits, seed, margin=bits))) for p in points]
        if traced.extra == extra:
            return runs


def _power_of_two(step: int, times: int) -> Raw:
    lib = load().libmp
    return lib.mpf_shift(lib.from_int(times), step)


def _moved(traced: Traced, moves: list[Move], shifts: list[Raw]) -> list[Any]:
    lib = load().libmp
    leaves = list(traced.leaves)
    for move, shift in zip(moves, shifts, strict=True):
        for i, by in enumerate(move.by):
            if by is not None and shift[1]:
                leaves[i] = elementwise(
                    lambda x, d, shift=shift: lib.mpf_add(x, lib.mpf_mul(d, shift)), leaves[i], by
                )
    return leaves


def first_order(f: dict[Point, Raw], steps: list[int], bits: int) -> tuple[Raw, list[Sides]]:
    """Central difference, and the slopes of both sides."""
    (step,) = steps
    value = _difference(f[1,], f[-1,], step + 1, bits)
    return value, [_sides((0,), f[-1,], f[0,], f[1,], step, bits)]


def mixed_order(f: dict[Point, Raw], steps: list[int], bits: int) -> tuple[Raw, list[Sides]]:
    """Mean of the four quadrants, the quadrants, and the sides along each move."""
    a, b = steps
    quadrants = [_quadrant(f, s, t, a + b, bits) for s in (-1, 1) for t in (-1, 1)]
    lib = load().libmp
    mean = lib.mpf_shift(lib.mpf_sum(quadrants, bits, "d"), -2)
    return mean, [
        ((0, 1), quadrants),
        _sides((0,), f[-1, 0], f[0, 0], f[1, 0], a, bits),
        _sides((1,), f[0, -1], f[0, 0], f[0, 1], b, bits),
    ]


def _quadrant(f: dict[Point, Raw], s: int, t: int, step: int, bits: int) -> Raw:
    lib = load().libmp
    along = lib.mpf_sub(f[s, t], f[s, 0], bits)
    before = lib.mpf_sub(f[0, t], f[0, 0], bits)
    slope = _difference(along, before, step, bits)
    return slope if s * t > 0 else lib.mpf_neg(slope)


def _sides(moves: tuple[int, ...], below: Raw, at: Raw, above: Raw, step: int, bits: int) -> Sides:
    return moves, [_difference(at, below, step, bits), _difference(above, at, step, bits)]


def _difference(above: Raw, below: Raw, step: int, bits: int) -> Raw:
    lib = load().libmp
    return lib.mpf_shift(lib.mpf_sub(above, below, bits, "d"), -step)
