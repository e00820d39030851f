"""How a sparse X lies in memory: once by rows, for X w, and once by columns, for X' dz.

Both products are sums of what a gather brings: ``z_i = sum_j x_ij w_j`` over the entries of row i,
and the like over those of column j. The entries of a line (a row, or a column) are cut into chunks
of 8 or 16, and the sums of its chunks into chunks again, until one sum is left. So lines may be of
any length, few places are empty, and no two sums are written to the same place.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxlr import shard

LANES = 8  # added at once. Compiled loops over 16 or 32 are 2 to 3 times slower (CPU, jax 0.10.2)
_WIDTHS = (LANES, 2 * LANES)  # of chunks of entries
_SUM_WIDTHS = (4, LANES)  # of chunks of sums
_DEAR = 4  # places that take as long as one more sum of a chunk
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


@partial(jax.tree_util.register_dataclass, data_fields=("rows", "columns"), meta_fields=("d",))
@dataclass(frozen=True)
class SparseX:
    """Sparse features X (n, d) on a device: by ``rows``, and once more by ``columns``.

    Where X only is to be multiplied by w, ``columns`` has no line.
    """

    rows: Lines
    columns: Lines
    d: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows n and columns d."""
        return len(self), self.d

    @property
    def ndim(self) -> int:
        """Axes, two."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.rows.value.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of both layouts."""
        return sum(v.nbytes for v in jax.tree.leaves(self))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows.end)


def lay_out(X: Any, *, by_columns: bool = True) -> SparseX:
    """Lay out SciPy's CSR ``X`` (n, d), without duplicates, on the default device."""
    n, d = X.shape
    by_column = X.tocsc() if by_columns else X[:0, :0].tocsc()
    columns = _lines(by_column, n)
    del by_column  # as large as X
    return SparseX(_lines(X, d), columns, d)


def _lines(X: Any, places: int) -> Lines:
    """Cut the lines of SciPy's CSR or CSC into chunks, in an order that its many places like.

    Chunks come by blocks of places, by that of their middle entry: of the factors, which are read
    in no order, one block at a time is in the cache.
    """
    length = np.diff(X.indptr).astype(np.int64)
    width = min(_WIDTHS, key=lambda width: (width + _DEAR) * int((-(-length // width)).sum()))
    first, stop, count = _cut(X.indptr[:-1].astype(np.int64), length, width)
    at = np.arange(len(first), dtype=np.int32)
    if len(first):
        shift = max(_BLOCK_BITS, places.bit_length() - 16)
        block = X.indices[(first + stop) // 2] >> shift
        order = np.argsort(block.astype(np.uint16), kind="stable")
        first, stop, at[order] = first[order], stop[order], at.copy()
    chunks = _filled_up(len(first) + 1)  # the last is empty: what it sums to is 0
    value = shard.aligned_empty((width, chunks), X.data.dtype)
    place = shard.aligned_empty((width, chunks), np.int32)
    edges = np.linspace(0, chunks, shard.cores() + 1).astype(int)
    parts = [slice(*part) for part in itertools.pairwise(edges)]
    shard.in_threads([partial(_fill, X, first, stop - first, value, place, p) for p in parts])
    end, levels = _levels(at, count, chunks - 1)
    return Lines(jax.device_put(value), jax.device_put(place), end, levels)


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


def _levels(at: np.ndarray, count: np.ndarray, zero: int) -> tuple[Array, tuple[Level, ...]]:
    """Add up the ``count`` sums of each line, which are ``at`` their places one line after another.

    At ``zero`` there is a sum of nothing.
    """
    first = np.cumsum(count) - count
    end = np.full(len(count), zero, np.int32)
    end[count == 1] = at[first[count == 1]]
    more = np.where(count > 1, count, 0)
    if not more.any():
        return jax.device_put(end), ()
    width = min(_SUM_WIDTHS, key=lambda width: _places(more, width))
    start, stop, left = _cut(first, more, width)
    chunks = _filled_up(len(start) + 1)
    place = np.full((width, chunks), zero, np.int32)
    for j, lane in enumerate(place):
        entry = start + j
        lane[: len(start)] = np.where(entry < stop, np.take(at, entry, mode="clip"), zero)
    sums = np.arange(len(start), dtype=np.int32)
    next_end, levels = _levels(sums, left, chunks - 1)
    return jax.device_put(end), (Level(jax.device_put(place), next_end), *levels)


def _places(count: np.ndarray, width: int) -> int:
    """Places that it takes to add up the sums of all lines in chunks of this width."""
    places = 0
    while (count := count[count > 1]).size:
        count = -(-count // width)
        places += width * int(count.sum())
    return places


def _filled_up(chunks: int) -> int:
    """Return a number of chunks at most a sixteenth larger: there are few to compile for."""
    step = max(16, 1 << max(0, chunks.bit_length() - 5))
    return -(-chunks // step) * step
