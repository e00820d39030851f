"""How far rounding may take a derivative from the truth: computed, of its own terms.

A quantity g depends on numbers u_j: the arguments, the cotangent, the direction. If each of them
is moved by its rounding unit, g moves by at most ``eps sum_j |dg/du_j| |u_j|``: the sum of the
absolute values of its terms where g is a sum, its condition number where it is elementwise. An
accurate program stays within a few of these; the size of the array plays no part, and neither
does what a program makes of its own intermediate results.

For all g at once that sum has no cheap exact form, but a cheap estimate: multiply each ``u_j`` by
a random number of the Cauchy distribution, which is stable: ``sum_j a_j C_j`` is distributed as
``(sum_j |a_j|) C``, and half the absolute values of C lie below 1. So the median of
``|jvp of g|`` over some draws is the sum of absolute values (Indyk, 2006). One draw for each leaf
alone, with all its numbers moved alike, makes it exact where nothing is added up.
"""

import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxlr.check.derivative.quantities import Arrays, Function, Point, Quantity

_DRAWS = 24
_LONGEST = 1e6  # of a Cauchy number: its tail overflows
_LARGE = 100_000  # numbers from which on fewer draws are kept in memory
_FEW = 8


class Moves(NamedTuple):
    """In each turn, the leaf that moves alone, or -1 and the ``row`` of ``drawn`` for all.

    ``only`` and ``row`` (turns,), ``drawn`` (draws, size): one number for each of a point.
    """

    only: Any
    row: Any
    drawn: Any


def condition(
    quantity: Quantity,
    f: Function,
    moving: tuple[int, ...],
    at: Point,
    moves: "Moves",
    varied: tuple[bool, ...],
    cotangent: bool = True,
) -> dict[str, Arrays]:
    """Return how far each number of a quantity goes in each of `moves`, for `size_of_terms`.

    Numbers 0 and 1 in leaves that are not ``varied`` are exact, and so is the cotangent unless
    terms that it multiplies are added up.
    """
    leaves, tree = jax.tree.flatten(at)
    scaled = [v if cotangent else jnp.zeros_like(v) for v in at.cotangent]
    sizes = jax.tree.leaves(at._replace(floats=_inexact(at.floats, varied), cotangent=scaled))
    ends = np.cumsum([v.size for v in leaves])

    def moved(turn: tuple[Array, Array]) -> Any:
        only, row = turn
        drawn = moves.drawn[row]
        tangents = [
            size
            * jnp.where(only < 0, drawn[end - v.size : end].reshape(v.shape), _one(only == i, v))
            for i, (v, size, end) in enumerate(zip(leaves, sizes, ends, strict=True))
        ]
        found = jax.jvp(lambda p: quantity(f, moving, p), (at,), (tree.unflatten(tangents),))[1]
        return jax.tree.map(jnp.abs, found)

    return jax.lax.map(moved, (moves.only, moves.row))


def moves(at: Point, *, elementwise: bool = False) -> Moves:
    """Relative moves of all numbers of a point: of one leaf alone, then Cauchy's.

    Where nothing is added up, those of one leaf alone say all.
    """
    return _moves(tuple(int(np.size(v)) for v in jax.tree.leaves(at)), elementwise)


def size_of_terms(found: dict[str, Arrays], at: Point) -> dict[str, list[np.ndarray]]:
    """``sum_j |dg/du_j| |u_j|`` of every number g, from how far it went in each move."""
    alone = len(jax.tree.leaves(at))

    def estimate(v: Any) -> np.ndarray:
        v = np.asarray(v)
        moved_alike, drawn = np.nansum(v[:alone], axis=0), v[alone:]
        if not len(drawn):
            return moved_alike
        with warnings.catch_warnings():  # where all is NaN, the median is 0
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.maximum(moved_alike, np.nan_to_num(np.nanmedian(drawn, axis=0)))

    return jax.tree.map(estimate, found)


@lru_cache(maxsize=2)  # points of one check have the same sizes
def _moves(sizes: tuple[int, ...], elementwise: bool) -> Moves:
    total = sum(sizes)
    draws = 0 if elementwise else _FEW if total > _LARGE else _DRAWS
    drawn = np.random.default_rng(0).standard_cauchy((max(1, draws), total))
    return Moves(
        only=np.append(np.arange(len(sizes)), np.full(draws, -1)).astype(np.int32),
        row=np.append(np.zeros(len(sizes)), np.arange(draws)).astype(np.int32),
        drawn=drawn.clip(-_LONGEST, _LONGEST),
    )


def _one(yes: Array, v: Array) -> Array:
    return jnp.full(v.shape, yes.astype(v.dtype))


def _inexact(floats: Arrays, varied: tuple[bool, ...]) -> Arrays:
    return [
        v if free else jnp.where((v == 0) | (abs(v) == 1), jnp.zeros_like(v), v)
        for v, free in zip(floats, varied, strict=True)
    ]
