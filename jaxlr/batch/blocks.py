"""Sums over rows, block by block, so that X is read from memory once.

The sums of the blocks are added with their rounding errors carried along (Knuth's two-sum), so
that a million rows in float32 lose no more than one block of them does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh

from jaxlr import shard

Rows = Any  # a tree of arrays, one row of each per example
Sums = TypeVar("Sums")

# Bytes of X in one block. On a CPU a block should still be in a core's cache when it is read
# for the second time, and smaller where every core has a block of its own; on an accelerator it
# should be a share of the last-level cache, and large enough to hide the cost of a loop turn.
_BLOCK_BYTES_CPU, _BLOCK_BYTES_CPU_SPLIT, _BLOCK_BYTES_OTHER = 1 << 20, 1 << 18, 1 << 25
# Rows in one block on a CPU, where a product adds them one after the other: 2^20 equal rows of 3
# features lost 6e-4 of their gradient in float32 without this limit.
_BLOCK_ROWS_CPU = 2048


def sum_over_rows(
    sums: Callable[[Any, Rows], Sums],
    params: Any,
    rows: Rows,
    *,
    mesh: Mesh | None = None,
    row_bytes: int,
    index: Array | None = None,
) -> Sums:
    """Sum ``sums(params, rows)`` over all rows on all devices, block by block on each.

    ``row_bytes`` is what one row needs while it is worked on. With ``index``, only those rows
    are read, each block of them taken out of the whole when its turn comes.
    """
    blockwise = partial(_sum_over_blocks, sums, _block_rows(row_bytes, mesh))
    return shard.sum_over_devices(blockwise, mesh)(params, (rows, index))


def _sum_over_blocks(
    sums: Callable[[Any, Rows], Sums], block: int, params: Any, source: tuple[Rows, Array | None]
) -> Sums:
    rows, index = source
    m = len(jax.tree.leaves(rows)[0] if index is None else index)
    blocks = (m - 1) // block  # whole blocks for the loop; the last 1 to `block` rows start it
    total = sums(params, _rows_from(rows, index, blocks * block, m - blocks * block))
    if blocks == 0:
        return total

    def add_block(i: Array, carry: tuple[Sums, Sums]) -> tuple[Sums, Sums]:
        total, lost = carry
        part = sums(params, _rows_from(rows, index, i * block, block))
        longer = jax.tree.map(jnp.add, total, part)
        return longer, jax.tree.map(_add_lost, lost, total, part, longer)

    nothing = jax.tree.map(lambda v: v * 0, total)
    return jax.tree.map(jnp.add, *lax.fori_loop(0, blocks, add_block, (total, nothing)))


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


def _block_rows(row_bytes: int, mesh: Mesh | None) -> int:
    on_cpu = jax.default_backend() == "cpu"
    size = _BLOCK_BYTES_OTHER
    if on_cpu:
        size = _BLOCK_BYTES_CPU if mesh is None else _BLOCK_BYTES_CPU_SPLIT
    rows = max(8, size // max(1, row_bytes) // 8 * 8)
    return min(rows, _BLOCK_ROWS_CPU) if on_cpu else rows
