"""Sums over rows, block by block, so that X is read from memory once.

The sums of the blocks are added with their rounding errors carried along (Knuth's two-sum), so
that a million rows in float32 lose no more than one block of them does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from jaxlr import shard

Rows = Any  # a NamedTuple of arrays, one row of each per example; weights ``s``, or None
Sums = TypeVar("Sums")
Out = TypeVar("Out")

# Bytes of X in one block. On a CPU a block should still be in a core's cache when it is read
# for the second time, and smaller where every core has a block of its own; on an accelerator it
# should be a share of the last-level cache, and large enough to hide the cost of a loop turn.
_BLOCK_BYTES_CPU, _BLOCK_BYTES_CPU_SPLIT, _BLOCK_BYTES_OTHER = 1 << 20, 1 << 18, 1 << 25
# Rows in one block on a CPU, where a product adds them one after the other: 2^20 equal rows of 3
# features lost 6e-4 of their gradient in float32 without this limit.
_BLOCK_ROWS_CPU = 2048
_SIDE_BY_SIDE = 256  # models at a time, on an accelerator


class Part(NamedTuple):
    """One of several parts of the blocks of rows: the ``number``-th, from 0, ``of`` so many.

    Parts are summed by calls of the same compiled function, which `shard.in_threads` runs at once.
    """

    number: Any  # an integer, traced or not
    of: Any

    def span(self, count: int) -> tuple[Any, Any]:
        """Which of ``count`` things are this part's: the first, and the one after the last."""
        return count * self.number // self.of, count * (self.number + 1) // self.of


_WHOLE = Part(0, 1)


def sum_over_rows(
    sums: Callable[[Any, Rows], Sums],
    params: Any,
    rows: Rows,
    *,
    mesh: Mesh | None = None,
    row_bytes: int,
    index: Array | None = None,
    part: Part | None = None,
) -> Sums:
    """Sum ``sums(params, rows)`` over all rows on all devices, block by block on each.

    ``row_bytes`` is what one row needs while it is worked on. With ``index``, only those rows
    are read, each block of them taken out of the whole when its turn comes. With ``part``, which
    is for rows on one device, only its blocks are summed.
    """
    block = _block_rows(row_bytes, alone=mesh is None and part is None)
    blockwise = partial(_sum_over_blocks, sums, block, part)
    return shard.sum_over_devices(blockwise, mesh)(params, (rows, index))


def map_models(f: Callable[..., Out], *models: Any, part: Part | None = None) -> Out:
    """``f`` of each of K models, whose arguments are stacked: one after the other on a CPU.

    Elsewhere they are taken side by side. Of models that are not of this ``part``, all is 0.
    """
    if jax.default_backend() != "cpu":
        return lax.map(lambda one: f(*one), models, batch_size=_SIDE_BY_SIDE)

    def add(k: Array, found: Out) -> Out:
        result = f(*jax.tree.map(lambda v: v[k], models))
        return jax.tree.map(lambda v, one: v.at[k].set(one), found, result)

    K = len(jax.tree.leaves(models)[0])
    one = jax.eval_shape(f, *jax.tree.map(lambda v: v[0], models))
    nothing = jax.tree.map(lambda v: jnp.zeros((K, *v.shape), v.dtype), one)
    return lax.fori_loop(*(part or _WHOLE).span(K), add, nothing)


def _sum_over_blocks(
    sums: Callable[[Any, Rows], Sums],
    block: int,
    part: Part | None,
    params: Any,
    source: tuple[Rows, Array | None],
) -> Sums:
    rows, index = source
    m = len(jax.tree.leaves(rows)[0] if index is None else index)
    if m <= block and part is None:
        return sums(params, _rows_from(rows, index, 0, m))
    block = min(block, m)
    blocks = -(-m // block)

    def of_block(i: Array) -> Sums:
        return sums(params, rows_of_block(rows, i, block, m, index))

    def add_block(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        total, lost = carry
        part, _ = ravel_pytree(of_block(i))
        longer = total + part
        return longer, _add_lost(lost, total, part, longer)

    first, stop = (jnp.asarray(i, jnp.int32) for i in (part or _WHOLE).span(blocks))
    nothing = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), jax.eval_shape(of_block, first))
    flat, restored = ravel_pytree(nothing)  # one vector: an operation for each sum costs more
    total, lost = lax.fori_loop(first, stop, add_block, (flat, flat))
    return restored(total + lost)


def rows_of_block(rows: Rows, i: Array, block: int, m: int, index: Array | None = None) -> Rows:
    """Rows of block i, of m rows in all: the last block begins early, to be of the size of all.

    Compiled code is for one size. Rows that had their turn weigh nothing in it.
    """
    start = jnp.minimum(i * block, m - block)
    new = start + jnp.arange(block, dtype=start.dtype) >= i * block
    return _weighing(_rows_from(rows, index, start, block), new)


def _weighing(rows: Rows, which: Array) -> Rows:
    """Rows of which only those weigh anything."""
    if rows.s is None:
        return rows._replace(s=which)
    which = jnp.expand_dims(which, range(1, rows.s.ndim))
    return rows._replace(s=jnp.where(which, rows.s, jnp.zeros_like(rows.s)))


def _rows_from(rows: Rows, index: Array | None, start: Array | int, size: int) -> Rows:
    def block_of(v: Array) -> Array:
        return lax.dynamic_slice_in_dim(v, start, size)

    if index is None:
        return jax.tree.map(block_of, rows)
    return jax.tree.map(lambda v: v.at[block_of(index)].get(mode="clip"), rows)


def _add_lost(lost: Array, a: Array, b: Array, rounded: Array) -> Array:
    """Add to ``lost`` what ``rounded = a + b`` lost of a + b (Knuth's two-sum)."""
    b_got = rounded - a
    return lost + ((a - (rounded - b_got)) + (b - b_got))


def _block_rows(row_bytes: int, *, alone: bool) -> int:
    on_cpu = jax.default_backend() == "cpu"
    size = _BLOCK_BYTES_OTHER
    if on_cpu:
        size = _BLOCK_BYTES_CPU if alone else _BLOCK_BYTES_CPU_SPLIT
    rows = max(8, size // max(1, row_bytes) // 8 * 8)
    return min(rows, _BLOCK_ROWS_CPU) if on_cpu else rows
