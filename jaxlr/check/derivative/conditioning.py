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

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxlr.check.derivative.quantities import Arrays, Function, Point, Quantity

_DRAWS = 24
_LONGEST = 1e6  # of a Cauchy number: its tail overflows
_LARGE = 100_000  # numbers from which on fewer draws are kept in memory
_FEW = 8


def condition(
    quantity: Quantity,
    f: Function,
    moving: tuple[int, ...],
    at: Point,
    varied: tuple[bool, ...],
    cotangent: bool = True,
) -> dict[str, Arrays]:
    """``sum_j |dg/du_j| |u_j|`` of every number g of a quantity, in the types of ``at``.

    Numbers 0 and 1 in leaves that are not ``varied`` are exact, and so is the cotangent unless
    terms that it multiplies are added up.
    """
    leaves, tree = jax.tree.flatten(at)
    scaled = [v if cotangent else jnp.zeros_like(v) for v in at.cotangent]
    sizes = jax.tree.leaves(at._replace(floats=_inexact(at.floats, varied), cotangent=scaled))

    ends = np.cumsum([v.size for v in leaves])

    def moved(turn: tuple[Array, Array]) -> Any:
        key, only = turn
        noise = _cauchy(key, int(ends[-1]))
        tangents = [
            size
            * jnp.where(only < 0, noise[end - v.size : end].reshape(v.shape), _one(only == i, v))
            for i, (v, size, end) in enumerate(zip(leaves, sizes, ends, strict=True))
        ]
        found = jax.jvp(lambda p: quantity(f, moving, p), (at,), (tree.unflatten(tangents),))[1]
        return jax.tree.map(jnp.abs, found)

    draws = _FEW if sum(v.size for v in leaves) > _LARGE else _DRAWS
    keys = jax.random.split(jax.random.key(0), len(leaves) + draws)
    only = jnp.concatenate([jnp.arange(len(leaves)), jnp.full(draws, -1)])
    found = jax.lax.map(moved, (keys, only))

    def estimate(v: Array) -> Array:
        alone, drawn = v[: len(leaves)], v[len(leaves) :]
        return jnp.maximum(jnp.nansum(alone, axis=0), jnp.nan_to_num(jnp.nanmedian(drawn, axis=0)))

    return jax.tree.map(estimate, found)


def _cauchy(key: Array, n: int) -> Array:
    return jnp.clip(jax.random.cauchy(key, (n,), jnp.float64), -_LONGEST, _LONGEST)


def _one(yes: Array, v: Array) -> Array:
    return jnp.full(v.shape, yes.astype(v.dtype))


def _inexact(floats: Arrays, varied: tuple[bool, ...]) -> Arrays:
    return [
        v if free else jnp.where((v == 0) | (abs(v) == 1), jnp.zeros_like(v), v)
        for v, free in zip(floats, varied, strict=True)
    ]
