"""How a sparse X lies in memory: once by rows, for X w, and once by columns, for X' dz.

Both products are sums of what a gather brings: ``z_i = sum_j x_ij w_j`` over the entries of row i,
and the like over those of column j. The entries of a line (a row, or a column) are cut into chunks
of 4 to 16, and the sums of its chunks into chunks again, until one sum is left. So lines may be of
any length, few places are empty, and no two sums are written to the same place.

Where what is computed for all rows would not fit into memory, as z and dz of many classes, X lies
in blocks of rows, each laid out by itself.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxlr import shard
from jaxlr.batch.sparse.sizes import Sizes, choose_sizes

_BLOCK_BITS = 13  # of places whose factors stay in a core's cache: 2^13
_FILLED_AT_ONCE = 4096  # chunks


class Level(NamedTuple):
    """Chunks of sums: chunk c adds the sums of the level before at ``place`` (width, chunks)[:, c].

    Lines whose sum is one of these find it at ``end`` (lines,), all others find a 0 there.
    """

    place: Array
    end: Array


class Lines(NamedTuple):
    """All entries, line by line, in chunks: ``value`` and ``place`` (width, chunks), 0 if empty.

    ``place`` is the column of an entry of a row, or the row of one of a column. Lines of one chunk
    find its sum at ``end`` (lines,), all others a 0; ``levels`` have the sums of those.
    """

    value: Array
    place: Array
    end: Array
    levels: tuple[Level, ...]


class Block(NamedTuple):
    """Some rows of a sparse X: by ``rows``, and once more by ``columns``.

    Where X only is to be multiplied by w, ``columns`` has no line.
    """

    rows: Lines
    columns: Lines


@partial(jax.tree_util.register_dataclass, data_fields=("stacked",), meta_fields=("n", "d"))
@dataclass(frozen=True)
class SparseX:
    """Sparse features X (n, d) on a device: blocks of rows, all of one size, ``stacked``.

    The last begins early, with rows that the one before has too.
    """

    stacked: Block
    n: int
    d: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows n and columns d."""
        return self.n, self.d

    @property
    def ndim(self) -> int:
        """Axes, two."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.stacked.rows.value.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of both layouts."""
        return sum(v.nbytes for v in jax.tree.leaves(self))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.stacked.rows.end.shape[0]

    @property
    def block_rows(self) -> int:
        """Rows of a block."""
        return self.stacked.rows.end.shape[1]

    def block(self, i: Any) -> Block:
        """Block i, a number or traced."""
        return jax.tree.map(lambda v: v[i], self.stacked)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.n


def lay_out(X: Any, *, by_columns: bool = True, most_rows: int | None = None) -> SparseX:
    """Lay out SciPy's CSR ``X`` (n, d), without duplicates, on the default device.

    A block has ``most_rows`` rows at most.
    """
    n, d = X.shape
    blocks = -(-n // (most_rows or n))
    m = -(-n // blocks)
    by_row = [_rows(X, min(i * m, n - m), m) for i in range(blocks)]
    by_column = [(X if by_columns else X[:0, :0]).tocsc() for X in by_row]
    columns = _lines(by_column, m)
    del by_column  # as large as X
    return SparseX(Block(_lines(by_row, d), columns), n, d)


def _rows(X: Any, start: int, m: int) -> Any:
    """Take m rows of SciPy's CSR, without a copy of their entries."""
    if m == X.shape[0]:
        return X
    pointer = X.indptr[start : start + m + 1]
    entries = slice(pointer[0], pointer[-1])
    parts = X.data[entries], X.indices[entries], pointer - pointer[0]
    return type(X)(parts, shape=(m, X.shape[1]))


def _lines(blocks: Sequence[Any], places: int) -> Lines:
    """Cut the lines of SciPy's CSR or CSC into chunks, block by block."""
    length = np.stack([np.diff(X.indptr) for X in blocks]).astype(np.int64)
    sizes = choose_sizes(length, places)
    shape = len(blocks), *sizes[0]
    value = shard.aligned_empty(shape, blocks[0].data.dtype)
    place = shard.aligned_empty(shape, np.int32)
    sums = [_cut_block(*one, places, sizes) for one in zip(blocks, value, place, strict=True)]
    end, levels = jax.tree.map(lambda *v: jax.device_put(np.stack(v)), *sums)
    return Lines(jax.device_put(value), jax.device_put(place), end, levels)


def _cut_block(
    X: Any, value: np.ndarray, place: np.ndarray, places: int, sizes: Sizes
) -> tuple[Any, tuple[Level, ...]]:
    """Fill the chunks of a block, in an order that its many places like; and say where sums are.

    Chunks come by blocks of places, by that of their middle entry: of the factors, which are read
    in no order, one block at a time is in the cache.
    """
    width, chunks = place.shape
    length = np.diff(X.indptr).astype(np.int64)
    first, stop, count = _cut(X.indptr[:-1].astype(np.int64), length, width)
    at = np.arange(len(first), dtype=np.int32)
    if len(first):
        shift = max(_BLOCK_BITS, places.bit_length() - 16)
        block = X.indices[(first + stop) // 2] >> shift
        order = np.argsort(block.astype(np.uint16), kind="stable")
        first, stop, at[order] = first[order], stop[order], at.copy()
    edges = np.linspace(0, chunks, shard.cores() + 1).astype(int)
    parts = [slice(*part) for part in itertools.pairwise(edges)]
    shard.in_threads([partial(_fill, X, first, stop - first, value, place, p) for p in parts])
    return _levels(at, count, sizes)


def _cut(
    first: np.ndarray, length: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut lines into chunks: the first entry of each, the one after its last; chunks a line."""
    count = -(-length // width)
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)  # in its line
    start = np.repeat(first, count) + width * number
    return start, np.minimum(start + width, np.repeat(first + length, count)), count


def _fill(
    X: Any, first: np.ndarray, size: np.ndarray, value: np.ndarray, place: np.ndarray, part: slice
) -> None:
    """Fill the chunks of a part, some at a time, with so many entries from the first one on."""
    lanes = np.arange(len(value))
    for start in range(part.start, part.stop, _FILLED_AT_ONCE):
        some = slice(start, min(start + _FILLED_AT_ONCE, part.stop))
        entry = first[some, None] + lanes
        empty = lanes >= size[some, None]
        for source, target in ((X.data, value), (X.indices, place)):
            target[:, some] = 0  # those after the last
            if len(entry):
                found = np.take(source, entry, mode="clip")
                np.copyto(found, 0, where=empty)
                target[:, start : start + len(entry)] = found.T


def _levels(at: np.ndarray, count: np.ndarray, sizes: Sizes) -> tuple[Any, tuple[Level, ...]]:
    """Add up the ``count`` sums of each line, which are ``at`` their places one line after another.

    These are of chunks of the first of ``sizes``; the others are to be made. The last chunk of each
    is empty: there is a sum of nothing.
    """
    zero = sizes[0][1] - 1
    first = np.cumsum(count) - count
    end = np.full(len(count), zero, np.int32)
    end[count == 1] = at[first[count == 1]]
    if len(sizes) == 1:
        return end, ()
    width, chunks = sizes[1]
    start, stop, left = _cut(first, np.where(count > 1, count, 0), width)
    place: Any = np.full((width, chunks), zero, np.int32)
    for j, lane in enumerate(place):
        entry = start + j
        lane[: len(start)] = np.where(entry < stop, np.take(at, entry, mode="clip"), zero)
    next_end, levels = _levels(np.arange(len(start), dtype=np.int32), left, sizes[1:])
    return end, (Level(place, next_end), *levels)
