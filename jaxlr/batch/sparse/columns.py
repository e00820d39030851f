"""Some columns of a sparse X, back on the host."""

from typing import Any

import jax
import numpy as np
from jax import Array

from jaxlr.batch.sparse.layout import Lines, SparseX


def take_sparse_columns(X: SparseX, columns: np.ndarray) -> Any:
    """Columns of X as SciPy's CSR: X[:, columns]; empty where ``columns`` is beyond the last.

    Their chunks are gathered on the device; beside them only what says where they are is read.

    Examples
    --------
    >>> import numpy as np, scipy.sparse
    >>> from jaxlr.batch.sparse import lay_out
    >>> X = lay_out(scipy.sparse.csr_array(np.eye(3)))
    >>> print(take_sparse_columns(X, np.array([2, 3])).toarray())
    [[0. 0.]
     [0. 0.]
     [1. 0.]]
    """
    from scipy.sparse import coo_array  # only where X is sparse anyway

    known = np.flatnonzero(columns < X.d)
    found = []
    for i in range(X.blocks):
        start = min(i * X.block_rows, X.n - X.block_rows)
        row, number, value = _entries(X.stacked.columns, i, columns[known])
        new = row + start >= i * X.block_rows  # and not in the block before
        found.append((row[new] + start, known[number[new]], value[new]))
    row, column, value = (np.concatenate(v) for v in zip(*found, strict=True))
    return coo_array((value, (row, column)), shape=(X.n, len(columns))).tocsr()


def _entries(lines: Lines, i: int, of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries of the lines ``of`` block i: place, which of the lines, and value; no zeros."""
    chunks, line = _chunks(lines, i, of)
    place, value = _gathered(lines, i, chunks)
    kept = value != 0
    return place[kept], np.broadcast_to(line, value.shape)[kept], value[kept]


def _chunks(lines: Lines, i: int, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the chunks of some lines, and which of the lines each is of."""
    every = np.arange(len(of))
    chunks, line = [np.asarray(lines.end)[i, of]], [every]
    for number, level in enumerate(lines.levels):
        at, which = np.asarray(level.end)[i, of], every
        for below in reversed(lines.levels[: number + 1]):
            some = at < below.place.shape[-1] - 1  # the last adds up nothing
            place = np.asarray(below.place)[i][:, at[some]]
            at, which = place.ravel(), np.tile(which[some], len(place))
        chunks.append(at)
        line.append(which)
    return np.concatenate(chunks), np.concatenate(line)


def _gathered(lines: Lines, i: int, chunks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and values (width, chunks) of some chunks; the memory of a CPU is read in place."""
    if jax.default_backend() == "cpu":
        place, value = (np.asarray(v)[i][:, chunks] for v in (lines.place, lines.value))
        return place, value
    fill = np.resize(chunks, 1 << len(chunks).bit_length())  # few numbers to compile for
    place, value = (np.asarray(_take(v, i, fill)) for v in (lines.place, lines.value))
    return place[:, : len(chunks)], value[:, : len(chunks)]


@jax.jit
def _take(v: Array, i: int, chunks: np.ndarray) -> Array:
    return v[i][:, chunks]
