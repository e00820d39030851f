"""What every format gives: rows in the file's order, from any row on, as numbers or columns."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxlr.data.errors import DataError
from jaxlr.data.sources.places import File

if TYPE_CHECKING:
    import pyarrow as pa


class Where(NamedTuple):
    """Numbers of some rows, from 0 over all files, and the file they are in.

    ``first`` is the number of that file's first row; messages count rows from 1 in the file.
    """

    file: str
    at: range | np.ndarray
    first: int = 0

    def pick(self, index: slice | np.ndarray) -> "Where":
        """Take some of these rows."""
        at = self.at if isinstance(index, slice) else np.asarray(self.at)
        return self._replace(at=at[index])

    def row(self, i: int) -> int:
        """Give the number in the file, from 1, of the i-th of these rows."""
        return int(self.at[i]) - self.first + 1


class Batch(ABC):
    """Some rows of a source as they are in the file, of one file, in any order."""

    where: Where

    def __len__(self) -> int:
        return len(self.where.at)

    def place(self, name: str, i: int, what: str) -> str:
        """Tell file, column and row, and ``what`` is there."""
        return f"{self.where.file}: column {name!r} {what} in row {self.where.row(i)}"

    @abstractmethod
    def numbers(self, names: Sequence[str], rows: slice, out: np.ndarray) -> None:
        """Write columns of numbers as rows into out (m, k); NaN where there is no value."""

    @abstractmethod
    def column(self, name: str) -> "pa.Array | pa.ChunkedArray":
        """Give one column, of any type."""

    @abstractmethod
    def pick(self, index: slice | np.ndarray) -> "Batch":
        """Take some of the rows."""


class Source(ABC):
    """Rows of one file, or of the files of a folder.

    ``columns`` are all names; ``n`` the number of rows, None while it is not known; ``seeks``
    whether rows are reached without reading those before them; ``target`` and ``weight`` the
    columns that are labels and weights by the format itself; ``files`` all that is read.
    """

    path: str
    files: Sequence[File]
    stem: str
    columns: tuple[str, ...]
    n: int | None = None
    seeks: bool = True
    target: str | None = None
    weight: str | None = None

    def note_files(self) -> None:
        """Remember the files as they are now."""
        self._stamps = [file.stamp() for file in self.files]

    def check_files(self) -> None:
        """Refuse to go on with a file that was written since `note_files`.

        Raises
        ------
        DataError
            Naming the file.
        """
        for file, before in zip(self.files, self._stamps, strict=True):
            if file.stamp() != before:
                raise DataError(
                    f"{file.path}: the file has been changed since it was first read. Leave it as "
                    "it is until all is done, and begin again"
                )

    def most_values(self) -> int:
        """Tell how many numbers there are at most, without reading them."""
        return (self.n or 0) * len(self.columns)

    def expect(self, numbers: Sequence[str], texts: Sequence[str]) -> None:  # noqa: B027
        """Take columns as numbers, or as they are spelled, where the format leaves that open."""

    @abstractmethod
    def batches(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[Batch]:
        """Give the rows from number ``start`` on, in the file's order, some ``rows`` at once.

        ``names`` are the columns that will be asked for; other columns need not be read.
        """

    def between(
        self, names: Sequence[str], rows: int, start: int, stop: int | None
    ) -> Iterator[Batch]:
        """Give the rows from ``start`` on, as `batches` does, up to ``stop`` or to the end."""
        if stop is None:
            yield from self.batches(names, rows, start)
        elif start < stop:
            for batch in self.batches(names, rows, start):
                left = stop - int(batch.where.at[0])
                yield batch if len(batch) <= left else batch.pick(slice(left))
                if len(batch) >= left:
                    return

    def pick(self, names: Sequence[str], rows: int, index: np.ndarray) -> Iterator[Batch]:
        """Read the rows of these numbers, which rise, in one pass at most."""
        for run in np.split(index, self._cuts(index, rows)):
            for batch in self.batches(names, rows, int(run[0])):
                at = batch.where.at
                inside = run[np.searchsorted(run, at[0]) : np.searchsorted(run, at[-1] + 1)]
                if len(inside):
                    yield batch.pick(inside - at[0])
                if at[-1] >= run[-1]:
                    break

    def _cuts(self, index: np.ndarray, rows: int) -> np.ndarray:
        """Where between these rows to seek the next one, instead of reading up to it."""
        return np.flatnonzero(np.diff(index) > (rows if self.seeks else np.inf)) + 1
