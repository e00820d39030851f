"""Mini-batches of a stream, shuffled in windows that fit the memory."""

from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple

import numpy as np

from jaxlr.data.errors import DataError
from jaxlr.data.stream import Block
from jaxlr.data.streamed.draws import draws
from jaxlr.data.streamed.part import StreamedPart
from jaxlr.shard import aligned_empty, prefetch

_CHUNKS = 8  # in a window
_LEAST_CHUNK = 256  # rows: fewer are not worth looking for in a file
_WINDOWS = 4  # in memory at once: used, waiting, being made, and what it is made from
_OF_CHUNKS, _OF_ROWS = 1, 2


class _Window(NamedTuple):
    """Rows in memory, the order in which they are used, and whether an epoch ends with them."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    order: np.ndarray
    is_last: bool


class Shuffled:
    """Mini-batches of a part of a stream: every epoch visits every row of positive weight once.

    The file is cut into chunks of ``chunk_rows`` rows. In each epoch, the chunks come in random
    order; eight at a time are a window, whose rows are shuffled among each other. The order
    depends on the seed, the epoch and ``chunk_rows`` alone, so that what a step sees is a
    function of the step's number.

    Parameters
    ----------
    part : StreamedPart
    counts : ndarray of int
        For each chunk, how many rows of the part have a positive weight.
    chunk_rows, size, seed : int
        ``size`` is that of a mini-batch; the last one of an epoch is filled with weight 0.
    """

    def __init__(
        self, part: StreamedPart, counts: np.ndarray, chunk_rows: int, size: int, seed: int
    ) -> None:
        self.part, self.counts, self.chunk_rows, self.seed = part, counts, chunk_rows, seed
        self.total = int(counts.sum())
        self.size = min(size, self.total)
        self.per_epoch = -(-self.total // self.size)

    def batches(self, step: int) -> Generator[Block]:
        """Give the mini-batches from that of ``step`` on, without end; a thread reads ahead.

        Raises
        ------
        DataError
            As `Stream.take`; and if the file is no longer what it was.
        """
        epoch, turn = divmod(step, self.per_epoch)
        room, filled = self._room(), 0
        with closing(prefetch(self._windows(epoch, turn * self.size))) as windows:
            for window in windows:
                at, end = 0, len(window.order)
                while at < end:
                    m = min(end - at, self.size - filled)
                    _copy(window, window.order[at : at + m], room, filled)
                    at, filled = at + m, filled + m
                    if filled == self.size or (window.is_last and at == end):
                        yield _emptied(room, filled)
                        room, filled = self._room(), 0

    def _windows(self, epoch: int, skip: int) -> Generator[_Window]:
        """Windows from one epoch on, without its first ``skip`` rows."""
        while True:
            order = np.argsort(draws(np.arange(len(self.counts)), self.seed, _OF_CHUNKS, epoch))
            windows = [order[i : i + _CHUNKS] for i in range(0, len(order), _CHUNKS)]
            rows = [int(self.counts[chunks].sum()) for chunks in windows]
            last = max(i for i, m in enumerate(rows) if m)
            for i, (chunks, m) in enumerate(zip(windows, rows, strict=True)):
                if m > skip:
                    yield self._read(chunks, m, epoch, skip, is_last=i == last)
                skip = max(0, skip - m)
            epoch, skip = epoch + 1, 0

    def _read(self, chunks: np.ndarray, m: int, epoch: int, skip: int, *, is_last: bool) -> _Window:
        part, c = self.part, self.chunk_rows
        n = part.stream.n
        numbers = np.concatenate(
            [part.numbers(k * c, min((k + 1) * c, n)) for k in np.sort(chunks).tolist()]
        )
        rows = part.stream.take(numbers, mean=part.mean, scale=part.scale)
        s = rows.weight
        used = np.arange(len(numbers)) if s is None else np.flatnonzero(s)
        if len(used) != m:
            raise DataError(
                f"{rows.name}: the rows have changed while they were trained on: of some, {m} had "
                f"a weight above 0, and now {len(used)} have. Put the file back, or train anew"
            )
        order = used[np.argsort(draws(numbers[used], self.seed, _OF_ROWS, epoch))]
        return _Window(rows.X, rows.y, s, order[skip:], is_last)

    def _room(self) -> Block:
        dtype, d = self.part.stream.dtype, self.part.stream.d
        y, weight = (aligned_empty((self.size,), dtype) for _ in range(2))
        return Block(aligned_empty((self.size, d), dtype), y, weight, 0)


def chunk_rows_in(memory: int, d: int, itemsize: int) -> int:
    """Rows of a chunk, when windows of eight of them may take so many bytes together."""
    return max(_LEAST_CHUNK, memory // _WINDOWS // _CHUNKS // ((d + 2) * itemsize))


def _copy(window: _Window, index: np.ndarray, room: Block, start: int) -> None:
    to = slice(start, start + len(index))
    room.X[to] = window.X[index]
    assert room.y is not None
    assert room.weight is not None
    room.y[to] = window.y[index]
    room.weight[to] = 1 if window.weight is None else window.weight[index]


def _emptied(room: Block, filled: int) -> Block:
    for v in (room.X, room.y, room.weight):
        assert v is not None
        v[filled:] = 0
    return room
