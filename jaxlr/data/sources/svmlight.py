"""libsvm, or svmlight: a label and column:value pairs in each line, as dense rows."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from jaxlr.data.errors import DataError
from jaxlr.data.sources.arrays import ArrayBatch
from jaxlr.data.sources.base import Source, Where
from jaxlr.data.sources.places import find, readable
from jaxlr.extras import extra

ENDINGS = (".libsvm", ".svmlight", ".svm")
_PIECE = 1 << 20  # bytes
_LABEL = "label"


class SvmlightSource(Source):
    """Rows of a libsvm file; columns are called by their numbers in it, labels ``label``.

    Column numbers begin with 1, or with 0 if there is one; as many columns are taken as the
    model knows, or the file has. Opening reads the file once, a MiB at a time.
    """

    target = _LABEL

    def __init__(self, path: str | Path, columns: Sequence[str] | None = None) -> None:
        files, folder = find(path, ENDINGS)
        if folder:
            raise DataError(f"{path}: a folder is read as Parquet; of libsvm, name one file")
        self.path, self.stem, self.file = str(path), Path(str(path)).stem, files[0]
        self.files = files
        n, low, high = 0, 1, 0
        self._starts: list[tuple[int, int]] = []  # of pieces: number of the first row, and byte
        for byte, text in self._pieces(0):
            self._starts.append((n, byte))
            rows, _ = self._parse(text, None)
            n += rows.shape[0]
            if rows.nnz:
                low, high = min(low, rows.indices.min()), max(high, rows.indices.max())
        self.n = n
        if not n:
            raise DataError(f"{self.path}: there is no row in it")
        named = [int(name) for name in columns or () if name.isdecimal()]
        self._low = 0 if low == 0 or 0 in named else 1
        self._width = max([high, *named]) + 1
        if self._width <= self._low:
            raise DataError(f"{self.path}: no row has a value: there is no feature")
        self._place = {str(j): j - self._low for j in range(self._low, self._width)}
        self.columns = (*self._place, _LABEL)

    def batches(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[ArrayBatch]:
        """Give the rows from ``start`` on."""
        row, byte = self._starts[bisect_right(self._starts, (start, float("inf"))) - 1]
        for _, text in self._pieces(byte):
            X, y = self._parse(text, self._width)
            for first in range(max(0, start - row), X.shape[0], rows):
                part = slice(first, min(first + rows, X.shape[0]))
                dense = X[part].toarray()[:, self._low :]
                where = Where(self.path, range(row + part.start, row + part.stop))
                yield ArrayBatch(dense, where, self._place, {_LABEL: y[part]})
            row += X.shape[0]

    def _pieces(self, byte: int) -> Iterator[tuple[int, bytes]]:
        """Whole lines, about a MiB of them, and where they begin."""
        with readable(self.path), closing(self.file.open()) as file:
            file.seek(byte)
            while text := file.read(_PIECE) + file.readline():
                yield byte, text
                byte += len(text)

    def _parse(self, text: bytes, width: int | None) -> Any:
        """Sparse rows, by the column numbers in the file, and labels."""
        with extra("data"):
            from sklearn.datasets import load_svmlight_file
        load: Any = load_svmlight_file
        try:
            return load(BytesIO(text), n_features=width, zero_based=True)
        except (ValueError, OverflowError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> DataError:
        """Find the first line that is broken."""
        with closing(self.file.open()) as file:
            for number, line in enumerate(file, 1):
                words = line.partition(b"#")[0].split()
                bad = next((w for i, w in enumerate(words) if not _is_right(w, i)), None)
                if bad is not None:
                    word = bad.decode(errors="replace")
                    return DataError(
                        f"{self.path}: line {number} has {word!r}, and a label and column:value "
                        "pairs are needed: 1 3:0.5 7:2"
                    )
        return DataError(f"{self.path}: not readable as libsvm: {error}")


def _is_right(word: bytes, i: int) -> bool:
    column, colon, value = word.partition(b":")
    try:
        if i == 0:
            return not colon and np.isfinite(float(word))
        float(value)
        return column == b"qid" or int(column) >= 0
    except ValueError:
        return False
