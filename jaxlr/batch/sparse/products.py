"""Products with a sparse X, both ways: ``z = X w`` by its rows, ``dw = X' dz`` by its columns."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxlr.batch.sparse.layout import Lines
from jaxlr.batch.sparse.sizes import LANES

_AT_ONCE = 1 << 24  # sums of chunks, on an accelerator


def product(lines: Lines, v: Array, *, squared: bool = False) -> Array:
    """Multiply the matrix of these lines by v: one sum a line, in the type of v.

    ``sum_j x_ij v_j`` for line i, or ``sum_j x_ij^2 v_j`` where ``squared``. The sums of chunks are
    added as a tree, so that a line of a million entries in float32 loses no more than a short one.
    """
    if v.size == 0:  # there is nothing to gather from
        return jnp.zeros(len(lines.end), v.dtype)
    sums = _chunk_sums(v, lines.place, lines.value, squared=squared)
    found = _at(sums, lines.end)
    for level in lines.levels:
        sums = _chunk_sums(sums, level.place)
        found = found + _at(sums, level.end)
    return found


def products(lines: Lines, V: Array, *, squared: bool = False) -> Array:
    """Multiply by each row of V (K, m): (K, lines), one after the other on a CPU."""
    if len(V) == 1:
        return product(lines, V[0], squared=squared)[None]
    together = None
    if jax.default_backend() != "cpu":
        together = max(1, min(len(V), _AT_ONCE // lines.value.shape[1]))
    return lax.map(lambda v: product(lines, v, squared=squared), V, batch_size=together)


def _chunk_sums(
    v: Array, place: Array, value: Array | None = None, *, squared: bool = False
) -> Array:
    """Sum over each chunk, some lanes at a time: loops over the chunks, which XLA splits."""

    def add_lanes(first: int, total: Array) -> Array:
        for j in range(first, min(first + LANES, len(place))):
            term = _at(v, place[j])
            if value is not None:
                x = value[j].astype(v.dtype)
                term = (x**2 if squared else x) * term
            total = total + term
        return total

    total = jnp.zeros(place.shape[1], v.dtype)
    for first in range(0, len(place), LANES):
        # Left to itself, XLA would compute sums again wherever one is read. No place is below 0.
        add = partial(add_lanes, first)
        total = lax.cond(place[first, 0] >= 0, add, lambda total: total, total)
    return total


def _at(v: Array, place: Array) -> Array:
    return v.at[place].get(mode="promise_in_bounds")
