"""Rows of a source, by an encoding, as X, y and weights."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.categories import write
from jaxlr.data.encoding import Encoding, Number
from jaxlr.data.errors import DataError, listed
from jaxlr.data.labels import to_y
from jaxlr.data.numbers import chunks, refuse_number
from jaxlr.data.settings import present
from jaxlr.data.sources import Batch, Source
from jaxlr.data.weights import weights_of
from jaxlr.shard import aligned_empty


class Rows(NamedTuple):
    """Room for rows: X (m, d) that a device takes as it is, y (m,) and weight (m,), or None."""

    X: np.ndarray
    y: np.ndarray | None
    weight: np.ndarray | None

    def part(self, start: int, stop: int) -> "Rows":
        """Take some of the rows, in place."""
        X, y, weight = self
        return Rows(
            X[start:stop],
            None if y is None else y[start:stop],
            None if weight is None else weight[start:stop],
        )


class Encoder:
    """Writes batches as numbers of one type, as ``(x - mean) / scale`` where these are given."""

    def __init__(
        self,
        encoding: Encoding,
        dtype: DTypeLike,
        *,
        labelled: bool = True,
        mean: np.ndarray | float = 0.0,
        scale: np.ndarray | float = 1.0,
    ) -> None:
        self.encoding, self.dtype = encoding, np.dtype(dtype)
        self.target = encoding.target if labelled else None
        self.weight = encoding.weight if labelled else None
        mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
        self._plain = not mean.any() and bool((scale == 1).all())
        self._mean = np.broadcast_to(mean, encoding.d)
        self._scale = np.broadcast_to(scale, encoding.d)
        self._at = {name: i for i, name in enumerate(encoding.flagged)}

    @property
    def read(self) -> list[str]:
        """Columns of the source that are needed."""
        labels = [name for name in (self.target, self.weight) if name is not None]
        return [*self.encoding.columns, *labels]

    def room(self, m: int) -> Rows:
        """Memory for m rows."""
        return Rows(
            aligned_empty((m, self.encoding.d), self.dtype),
            None if self.target is None else aligned_empty((m,), self.dtype),
            None if self.weight is None else aligned_empty((m,), self.dtype),
        )

    def write(self, batch: Batch, out: Rows) -> None:
        """Write all rows of a batch.

        Raises
        ------
        DataError
            If a value cannot be used, naming its file, column and row.
        """
        X, k = out.X, len(self.encoding.numbers)
        flags = X[:, X.shape[1] - len(self._at) :]
        flags[:] = 0
        if k:
            self._write_numbers(batch, X[:, :k], flags)
        start = k
        for column in self.encoding.categories:
            stop = start + len(column.features)
            gaps = write(batch, column, self.encoding.unknown, X[:, start:stop])
            if column.flagged:
                flags[:, self._at[column.name]] = gaps
            start = stop
        if not self._plain and X.shape[1] > k:
            X[:, k:] = (X[:, k:] - self._mean[k:]) / self._scale[k:]
        if out.y is not None and self.target is not None and self.encoding.labels is not None:
            out.y[:] = to_y(batch, self.target, self.encoding.labels)
        if out.weight is not None and self.weight is not None:
            out.weight[:] = weights_of(batch, self.weight)

    def _write_numbers(self, batch: Batch, X: np.ndarray, flags: np.ndarray) -> None:
        columns = self.encoding.numbers
        names = [column.name for column in columns]
        room = X if self._plain else np.empty((0, len(columns)))
        k = len(columns)
        for rows, chunk in chunks(batch, names, room):
            with np.errstate(over="ignore", invalid="ignore"):
                whole = np.isfinite(chunk.sum())
            if not whole:
                self._fill(batch, rows, chunk, flags)
            if self._plain:
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                chunk -= self._mean[:k]
                chunk /= self._scale[:k]
                X[rows] = chunk
                whole = np.isfinite(X[rows].sum())
            if not whole:
                self._refuse_large(batch, rows, X[rows])

    def _fill(self, batch: Batch, rows: slice, chunk: np.ndarray, flags: np.ndarray) -> None:
        """Fill the gaps of a piece of rows, and refuse what is not finite."""
        for j, column in enumerate(self.encoding.numbers):
            values = chunk[:, j]
            if np.isfinite(values).all():
                continue
            fillable = column.fill is not None
            refuse_number(batch, rows, column.name, values, chunk.dtype, gaps=fillable)
            gaps = np.isnan(values)
            values[gaps] = column.fill
            if column.flagged:
                flags[rows, self._at[column.name]] = gaps

    def _refuse_large(self, batch: Batch, rows: slice, X: np.ndarray) -> None:
        if np.isfinite(X).all():  # only their sum is too large
            return
        i, j = (int(v) for v in np.argwhere(~np.isfinite(X))[0])
        column: Number = self.encoding.numbers[j]
        value = batch.column(column.name)[rows.start + i].as_py()
        raise DataError(
            f"{batch.place(column.name, rows.start + i, f'is {value}')}, too large for "
            f"{self.dtype} even standardised. Scale it down, or compute in float64"
        )


def match(encoding: Encoding, source: Source, ignore: tuple[str, ...] = ()) -> None:
    """Refuse a source without the columns of an encoding, or with others it does not know."""
    known = {*encoding.exclude, *ignore, encoding.target, encoding.weight}
    known |= {source.target, source.weight}
    present(source.path, encoding.columns, source.columns)
    unknown = [name for name in source.columns if name not in {*encoding.columns, *known}]
    if unknown:
        raise DataError(
            f"{source.path}: the model does not know the columns {listed(unknown)}. If they are "
            "no features, exclude them (--exclude)"
        )
