"""Sums over rows, block by block, so that X is read from memory once.

The sums of the blocks are added with their rounding errors carried along (Knuth's two-sum), so
that a million rows in float32 lose no more than one block of them does.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from jaxlr import shard
from jaxlr.core import Params

Rows = tuple[Array, Array, Array | None]  # X (m, d), y (m,), s (m,) or None
Sums = TypeVar("Sums")

# Bytes of X in one block. On a CPU a block should still be in a core's cache when it is read
# for the second time, and smaller where every core has a block of its own; on an accelerator it
# should be a share of the last-level cache, and large enough to hide the cost of a loop turn.
_BLOCK_BYTES_CPU, _BLOCK_BYTES_CPU_SPLIT, _BLOCK_BYTES_OTHER = 1 << 20, 1 << 18, 1 << 25
# Rows in one block on a CPU, where a product adds them one after the other: 2^20 equal rows of 3
# features lost 6e-4 of their gradient in float32 without this limit.
_BLOCK_ROWS_CPU = 2048


def sum_over_rows(
    sums: Callable[[Params, Rows], Sums], params: Params, rows: Rows, mesh: Mesh | None
) -> Sums:
    """Sum over all rows on all devices, block by block on each."""
    X, y, s = rows
    rows = X, y, None if s is None else s.astype(params.w.dtype)
    block = _block_rows(X, params.w.dtype, mesh)
    blockwise = partial(_sum_over_blocks, sums, block)
    return shard.sum_over_devices(blockwise, mesh)(params, rows)


def _sum_over_blocks(
    sums: Callable[[Params, Rows], Sums], block: int, params: Params, rows: Rows
) -> Sums:
    m = len(rows[0])
    blocks = (m - 1) // block  # whole blocks for the loop; the last 1 to `block` rows start it
    total = sums(params, jax.tree.map(lambda v: v[blocks * block :], rows))
    if blocks == 0:
        return total

    def add_block(i: Array, carry: tuple[Sums, Sums]) -> tuple[Sums, Sums]:
        total, lost = carry
        part = sums(params, jax.tree.map(lambda v: _rows_from(v, i * block, block), rows))
        longer = jax.tree.map(jnp.add, total, part)
        return longer, jax.tree.map(_add_lost, lost, total, part, longer)

    nothing = jax.tree.map(lambda v: v * 0, total)
    return jax.tree.map(jnp.add, *lax.fori_loop(0, blocks, add_block, (total, nothing)))


def _rows_from(v: Array, start: Array, size: int) -> Array:
    return lax.dynamic_slice_in_dim(v, start, size)


def _add_lost(lost: Array, a: Array, b: Array, rounded: Array) -> Array:
    """Add to ``lost`` what ``rounded = a + b`` lost of a + b (Knuth's two-sum)."""
    b_got = rounded - a
    return lost + ((a - (rounded - b_got)) + (b - b_got))


def _block_rows(X: Array, dtype: DTypeLike, mesh: Mesh | None) -> int:
    on_cpu = jax.default_backend() == "cpu"
    size = _BLOCK_BYTES_OTHER
    if on_cpu:
        size = _BLOCK_BYTES_CPU if mesh is None else _BLOCK_BYTES_CPU_SPLIT
    rows = max(8, size // (max(1, X.shape[1]) * jnp.dtype(dtype).itemsize) // 8 * 8)
    return min(rows, _BLOCK_ROWS_CPU) if on_cpu else rows
