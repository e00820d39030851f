"""Rows of each step of a streamed training: all of them, or a mini-batch."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager

from jaxlr.data import Block, Shuffled, prefetch
from jaxlr.run.streamed.parts import TRAIN, StreamedParts


@contextmanager
def step_rows(
    parts: StreamedParts, batch_size: int | None, seed: int
) -> "Iterator[FullBatches | MiniBatches]":
    """Rows for `jaxlr.train.train_stream`, and the end of what reads them ahead."""
    rows = MiniBatches(parts, batch_size, seed) if batch_size else FullBatches(parts)
    try:
        yield rows
    finally:
        rows.close()


class FullBatches:
    """All training rows in every step, in one read of the file each."""

    def __init__(self, parts: StreamedParts) -> None:
        self.part, self.size = parts.part(TRAIN), parts.rows[0]

    def step(self, t: int) -> Generator[Block]:
        """Read all rows; the next block is made while one is used."""
        with closing(prefetch(self.part.even_blocks())) as blocks:
            yield from blocks

    def close(self) -> None:
        """End what is read ahead: nothing between two steps."""


class MiniBatches:
    """One shuffled mini-batch a step; the file is read on, a window ahead."""

    def __init__(self, parts: StreamedParts, size: int, seed: int) -> None:
        self.shuffled = Shuffled(parts.part(TRAIN), parts.counts, parts.chunk_rows, size, seed)
        self.size = self.shuffled.size
        self._next, self._coming = -1, None

    def step(self, t: int) -> Iterable[Block]:
        """Give the mini-batch of step t."""
        if t != self._next or self._coming is None:
            self.close()
            self._coming = self.shuffled.batches(t)
        self._next = t + 1
        return (next(self._coming),)

    def close(self) -> None:
        """End the thread that reads ahead."""
        if self._coming is not None:
            self._coming.close()
            self._coming = None
