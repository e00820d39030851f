"""Parquet: one file or a folder of them, read by row groups from any row on."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxlr.data.errors import DataError, listed
from jaxlr.data.sources.base import Source, Where
from jaxlr.data.sources.places import File, find, readable
from jaxlr.data.sources.table import TableBatch
from jaxlr.extras import extra

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

ENDINGS = (".parquet", ".pq")
_BUFFER = 1 << 16  # bytes
_MANY = 1 << 14  # rows of a batch: for fewer, handing columns to threads costs more than it saves
_INDEX = re.compile(r"__index_level_\d+__")  # which pandas writes and takes for no column either


class _Part(NamedTuple):
    """One file: the number of its first row, and the ends of its row groups, from that row."""

    file: File
    first: int
    ends: np.ndarray


class ParquetSource(Source):
    """Rows of Parquet files.

    Only what is being decoded is in memory: the batch, and of each column that is read one page
    (1 MiB unless the writer said otherwise); of a URL, also its bytes in the row group.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.stem = str(path), Path(str(path)).stem
        self._parts: list[_Part] = []
        self.n = 0
        kinds: dict[str, str] = {}
        self.files = find(path, ENDINGS)[0]
        for file in self.files:
            kinds = self._add(file, kinds)
        self.columns = tuple(kinds)
        if not self.n:
            raise DataError(f"{self.path}: there is no row in it")

    def batches(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[TableBatch]:
        """Give the rows from ``start`` on; row groups before it are not read."""
        for part in self._parts:
            groups = np.flatnonzero(part.first + part.ends > start)
            if not len(groups):
                continue
            at = part.first + (int(part.ends[groups[0] - 1]) if groups[0] else 0)
            with _open(part.file) as file:
                for batch in file.iter_batches(
                    rows, row_groups=groups.tolist(), columns=list(names), use_threads=rows >= _MANY
                ):
                    skip = min(max(0, start - at), batch.num_rows)
                    where = Where(part.file.path, range(at, at + batch.num_rows), part.first)
                    at += batch.num_rows
                    if skip < batch.num_rows:
                        yield TableBatch(batch, where).pick(slice(skip, None))

    def _cuts(self, index: np.ndarray, rows: int) -> np.ndarray:
        """Where a row group without a row that is wanted lies between."""
        ends = np.concatenate([part.first + part.ends for part in self._parts])
        return np.flatnonzero(np.diff(np.searchsorted(ends, index, side="right")) > 1) + 1

    def _add(self, file: File, before: dict[str, str]) -> dict[str, str]:
        with _open(file) as opened:
            meta = opened.metadata
            names, types = opened.schema_arrow.names, opened.schema_arrow.types
            sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{file.path}: several columns are called {listed(twice)}")
        kinds = {
            name: _kind(kind)
            for name, kind in zip(names, types, strict=True)
            if not _INDEX.fullmatch(name)
        }
        if before and {**kinds} != before:
            self._refuse_mixed(file, kinds, before)
        assert self.n is not None
        self._parts.append(_Part(file, self.n, np.cumsum(sizes, dtype=np.int64)))
        self.n += sum(sizes)
        return before or kinds

    def _refuse_mixed(self, file: File, kinds: dict[str, str], before: dict[str, str]) -> None:
        first = self._parts[0].file.path
        lacks, more = [n for n in before if n not in kinds], [n for n in kinds if n not in before]
        said = [f"no column {listed(lacks)}"] * bool(lacks)
        said += [f"the further column {listed(more)}"] * bool(more)
        said += [
            f"column {name!r} as {kinds[name]}, which is {kind} there"
            for name, kind in before.items()
            if kinds.get(name, kind) != kind
        ]
        raise DataError(
            f"{file.path}: it has {' and '.join(said)}, other than {first}. All files of a "
            "folder need the same columns"
        )


def _kind(kind: "pa.DataType") -> str:
    """Tell what matters of a type: numbers of any width may stand in one column."""
    import pyarrow as pa

    value = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    if any(test(value) for test in numbers):
        return "numbers"
    return "text" if "string" in str(value) else str(value)


@contextmanager
def _open(file: File) -> "Iterator[parquet.ParquetFile]":
    with extra("data"):
        import pyarrow as pa
        from pyarrow import parquet

    with readable(file.path):
        try:
            here = file.system is None
            source = file.path if here else pa.PythonFile(file.open(), mode="r")
            buffer = _BUFFER if here else 0  # from afar, a column of a row group at once
            with parquet.ParquetFile(source, pre_buffer=False, buffer_size=buffer) as opened:
                yield opened
        except pa.ArrowException as error:
            raise DataError(f"{file.path}: damaged, or no Parquet file: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise DataError(f"{file.path}: damaged, or no Parquet file: {error}") from error
