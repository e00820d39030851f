"""Rows that need not fit into memory: blocks of them, in the file's order, the same every time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from jaxlr.data.dataset import Dataset
from jaxlr.data.encoder import Encoder, Rows
from jaxlr.data.encoding import Encoding
from jaxlr.data.errors import DataError
from jaxlr.data.learner import usable_scale
from jaxlr.data.moments import Moments
from jaxlr.data.sources import Source

MEMORY = 1 << 26  # bytes
_BLOCKS = 4  # in memory at once: used, waiting, being made, and the batches it is made from
_MOST_BATCH = 1 << 16  # rows


class Block(NamedTuple):
    """Rows ``start`` to ``start + m`` of a stream: X (m, d), y (m,) and weight (m,), or None."""

    X: np.ndarray
    y: np.ndarray | None
    weight: np.ndarray | None
    start: int


class Stream:
    """Rows of a source, read block by block as often as asked for; made by `open_stream`.

    ``features`` (d,) and ``labels`` are names, ``encoding`` is what a model keeps to read any
    other source alike, ``block_rows`` the number of rows in every block but the last.
    """

    def __init__(
        self,
        source: Source,
        encoding: Encoding,
        *,
        labelled: bool = True,
        dtype: DTypeLike = np.float32,
        block_rows: int | None = None,
        memory: int = MEMORY,
        moments: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._source, self.encoding, self._labelled = source, encoding, labelled
        self.dtype = np.dtype(dtype)
        self.name = source.stem
        self.block_rows = block_rows or block_rows_in(memory, self.d, self.dtype)
        limit = batch_rows_in(memory, len(encoding.columns))
        self._batch_rows = -(-self.block_rows // -(-self.block_rows // limit))  # no small rests
        self._moments = moments

    def in_type(self, dtype: DTypeLike, memory: int) -> "Stream":
        """Read the same rows in another type, in blocks that together may take so many bytes."""
        return Stream(
            self._source,
            self.encoding,
            labelled=self._labelled,
            dtype=dtype,
            memory=memory,
            moments=self._moments,
        )

    @property
    def path(self) -> str:
        """Path or URL of the source."""
        return self._source.path

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of X."""
        return self.encoding.features

    @property
    def labels(self) -> tuple[str, str]:
        """Names of labels 0 and 1."""
        if self.encoding.labels is None:
            raise DataError(f"{self._source.path}: the model has no labels")
        return self.encoding.labels.names

    @property
    def d(self) -> int:
        """Number of features."""
        return self.encoding.d

    @property
    def n(self) -> int:
        """Number of rows. Where no pass has told it yet, reads the file."""
        if self._source.n is None:
            for _ in self._source.batches(self.encoding.columns[:1], self._batch_rows):
                pass
        assert self._source.n is not None
        return self._source.n

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the features over all rows: (d,) each, in float64.

        From the pass that learned the encoding; of a stream that was given one, from a pass of
        its own. Where a column is constant but for rounding, the deviation given is 1.
        """
        if self._moments is None:
            encoder, total = Encoder(self.encoding, np.float64, labelled=False), Moments(self.d)
            for batch in self._source.batches(encoder.read, self._batch_rows):
                room = encoder.room(len(batch))
                encoder.write(batch, room)
                total.add(room.X)
            mean, scale = total.mean(), total.scale()
            self._moments = mean, usable_scale(mean, scale, self.features, self._source.path)
        return self._moments

    def blocks(
        self,
        start_row: int = 0,
        stop_row: int | None = None,
        *,
        mean: np.ndarray | float = 0.0,
        scale: np.ndarray | float = 1.0,
    ) -> Iterator[Block]:
        """Blocks of rows from one row on, as ``(x - mean) / scale``, and only then in ``dtype``.

        Parameters
        ----------
        start_row : int
            Number of the first row, from 0 to n. Parquet, npy, npz and libsvm go there; so does
            CSV once it has been read.
        stop_row : int, optional
            Number of the row that is no more read; without it, all are.
        mean, scale : ndarray, shape (d,), or float

        Yields
        ------
        Block
            Of ``block_rows`` rows, the last one of what remains, in memory of its own, aligned
            such that a device takes it without a copy.

        Raises
        ------
        DataError
            If a value cannot be used, naming its file, column and row; or if a file was written
            since the stream was opened, before this read or during it.
        """
        if start_row < 0:
            raise DataError(f"{self._source.path}: no row {start_row}: rows count from 0")
        self._source.check_files()
        encoder = self._encoder(mean, scale)
        batches = self._source.between(encoder.read, self._batch_rows, start_row, stop_row)
        start, filled, room = start_row, 0, encoder.room(self.block_rows)
        for batch in batches:
            taken = 0
            while taken < len(batch):
                m = min(len(batch) - taken, self.block_rows - filled)
                part = batch if m == len(batch) else batch.pick(slice(taken, taken + m))
                encoder.write(part, room.part(filled, filled + m))
                taken, filled = taken + m, filled + m
                if filled == self.block_rows:
                    yield Block(*room, start)
                    start, filled, room = start + filled, 0, encoder.room(self.block_rows)
        if filled:
            yield Block(*room.part(0, filled), start)
        self._source.check_files()

    def take(
        self,
        row_numbers: ArrayLike,
        *,
        mean: np.ndarray | float = 0.0,
        scale: np.ndarray | float = 1.0,
    ) -> Dataset:
        """Read rows into memory by their numbers, from 0, in the order given; in one pass at most.

        Raises
        ------
        DataError
            If there is no such row, the stream has no labels, or a file was written since it was
            opened.
        """
        self._source.check_files()
        index = np.asarray(row_numbers, dtype=np.int64)
        outside = index[(index < 0) | (index >= self.n)]
        if outside.size:
            raise DataError(f"{self._source.path}: no row {outside[0]}, of {self.n} from 0 on")
        encoder = self._encoder(mean, scale)
        rising, back = np.unique(index, return_inverse=True)
        room, filled = encoder.room(len(rising)), 0
        if len(rising):
            for batch in self._source.pick(encoder.read, self._batch_rows, rising):
                encoder.write(batch, room.part(filled, filled + len(batch)))
                filled += len(batch)
        if len(rising) != len(index) or (back[:-1] > back[1:]).any():
            ordered = encoder.room(len(index))
            for v, out in zip(room, ordered, strict=True):
                if v is not None and out is not None:
                    np.take(v, back, axis=0, out=out)
            room = ordered
        return self._dataset(room)

    def _encoder(self, mean: np.ndarray | float, scale: np.ndarray | float) -> Encoder:
        return Encoder(self.encoding, self.dtype, labelled=self._labelled, mean=mean, scale=scale)

    def _dataset(self, room: Rows) -> Dataset:
        if room.y is None:
            raise DataError(f"{self._source.path}: these rows have no labels")
        labels = self.labels
        return Dataset(room.X, room.y, self.features, labels, self.name, room.weight, self.encoding)


def block_rows_in(memory: int, d: int, dtype: DTypeLike) -> int:
    """Rows in a block, when all blocks together may take so many bytes."""
    return max(1, memory // _BLOCKS // (d * np.dtype(dtype).itemsize))


def batch_rows_in(memory: int, k: int) -> int:
    """Rows of k columns to read at once, 8 bytes for each value, under the same limit."""
    return min(_MOST_BATCH, max(1, memory // _BLOCKS // (8 * k)))
