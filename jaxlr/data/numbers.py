"""Columns of numbers as rows, a piece at a time that stays in the cache."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.errors import DataError, GapError
from jaxlr.data.sources import Batch

_CHUNK_BYTES = 1 << 22  # 1 MiB is slower where rows are wide: calls for few values each
_PAGE = 1024  # bytes


def chunks(
    batch: Batch, names: Sequence[str], out: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Write columns of a batch as rows, piece by piece, and give each piece while it is at hand.

    Parameters
    ----------
    batch : Batch
        m rows.
    names : sequence of str
        k columns of numbers.
    out : ndarray, shape (m, k) or (0, k)
        Where to write; with no rows, each piece is written over the one before.

    Yields
    ------
    rows : slice
        Which rows these are.
    chunk : ndarray, shape (rows, k)
        NaN where there is no value.
    """
    k = len(names)
    step = min(len(batch), max(64, _CHUNK_BYTES // (k * out.itemsize)))
    own = not len(out)
    beside = None
    if own or out.strides[0] % _PAGE == 0:
        beside = room_for(step, k, out.dtype)
    for start in range(0, len(batch), step):
        rows = slice(start, min(start + step, len(batch)))
        chunk = out[rows] if beside is None else beside[: rows.stop - start]
        with np.errstate(over="ignore"):
            batch.numbers(names, rows, chunk)
        if beside is not None and not own:
            out[rows] = chunk
            chunk = out[rows]
        yield rows, chunk


def room_for(m: int, k: int, dtype: DTypeLike) -> np.ndarray:
    """Memory for m rows of k numbers, which do not keep each other out of the cache."""
    itemsize = np.dtype(dtype).itemsize
    # Rows that begin a power of two apart fall into the same few lines of it.
    clash = k * itemsize % _PAGE == 0
    return np.empty((m, k + clash * (64 // itemsize)), dtype)[:, :k]


def refuse_number(
    batch: Batch, rows: slice, name: str, values: np.ndarray, dtype: DTypeLike, *, gaps: bool
) -> None:
    """Refuse the first of these values of a column that is missing, infinite or too large."""
    with np.errstate(over="ignore"):
        right = np.isfinite(values.astype(dtype)) | (np.isnan(values) if gaps else False)
    if right.all():
        return
    i = int(np.argmin(right))
    at = rows.start + i
    if np.isnan(values[i]):
        advice = f"Fill in or drop such rows, or leave the column out (--exclude {name!r})"
        raise GapError(batch.place(name, at, "has no value"), name, advice)
    value = batch.column(name)[at].as_py()
    raise DataError(f"{batch.place(name, at, f'is {value}')}, not finite as {np.dtype(dtype)}")
