"""CSV with a header: pieces of the file parsed side by side, given in order."""

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from jaxlr.data.errors import DataError, is_number, listed
from jaxlr.data.sources.base import Source, Where
from jaxlr.data.sources.csv_parse import explain, parse, sample_of
from jaxlr.data.sources.places import find, readable
from jaxlr.data.sources.table import TableBatch
from jaxlr.extras import extra
from jaxlr.shard import cores

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".csv",)
_PIECE = 1 << 20  # bytes: pyarrow parses pieces of 1 MiB twice as fast as those of 4 MiB
_SMALLEST = 1 << 14
_LONGEST_HEADER = 1 << 24
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


class CsvSource(Source):
    """Rows of a CSV file.

    The first MiB decides the types of the columns. In memory are, for each core and one more, a
    piece of text of at most 1 MiB (or a line, if that is longer) and its values. Once the file
    has been read, rows are found without parsing those before them.
    """

    def __init__(self, path: str | Path, ignore: Collection[str] = ()) -> None:
        with extra("data"):
            import pyarrow as pa
        files, folder = find(path, ENDINGS)
        self.path, self.stem, self.file = str(path), Path(str(path)).stem, files[0]
        if folder:
            raise DataError(f"{path}: a folder is read as Parquet; of CSV, name one file")
        with readable(self.path), closing(self.file.open()) as file:
            header = _header(file)
            _check_header_line(header, self.path)
            self._starts = [(0, file.tell())]  # of pieces: number of the first row, and byte
            text = file.read(_PIECE) + file.readline()
        sample = sample_of(header + text, self.path)
        self.columns = tuple(_names(sample, self.path))
        _check_names(self.columns, ignore, self.path)
        if not text.strip():
            raise DataError(f"{self.path}: there is no row below the header")
        self.seeks = False
        self._bytes_per_row = len(text) / max(1, sample.num_rows)
        number = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
        self.types = {
            name: pa.float64()
            if any(test(kind) for test in number)
            else kind
            if pa.types.is_boolean(kind)
            else pa.string()
            for name, kind in zip(self.columns, sample.schema.types, strict=True)
        }

    def most_values(self) -> int:
        """Tell how many values there are at most: each takes a byte of text or more."""
        return self.file.size()

    def expect(self, numbers: Sequence[str], texts: Sequence[str]) -> None:
        """Read columns as numbers (or booleans, as they are), or as they are spelled."""
        import pyarrow as pa

        self.types |= {n: pa.float64() for n in numbers if not pa.types.is_boolean(self.types[n])}
        self.types |= {name: pa.string() for name in texts}

    def batches(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[TableBatch]:
        """Give the rows from ``start`` on, a piece of text at a time."""
        if self.n is not None and start >= self.n:
            return
        row, byte = self._starts[bisect_right(self._starts, (start, float("inf"))) - 1]
        with closing(self._tables(byte, names, rows)) as tables:
            for byte, text, table in tables:
                if byte > self._starts[-1][1]:
                    self._starts.append((row, byte))
                if isinstance(table, Exception):
                    raise explain(table, text, self.path, self.columns, self.types, names, row)
                first, row = row, row + table.num_rows
                if row > start:
                    batch = TableBatch(table, Where(self.path, range(first, row)))
                    yield batch.pick(slice(max(0, start - first), None))
        self.n, self.seeks = row, True  # all starts are known

    def _tables(
        self, start: int, names: Sequence[str], rows: int
    ) -> "Generator[tuple[int, bytes, pa.RecordBatch | Exception]]":
        """Pieces of text with the byte they start at, and what became of each."""
        import pyarrow as pa

        size = int(min(_PIECE, max(_SMALLEST, rows * self._bytes_per_row)))
        types = {name: self.types[name] for name in names}

        def attempt(text: bytes) -> "pa.RecordBatch | Exception":
            try:
                return parse(text, self.columns, types)
            except pa.ArrowException as error:
                return error

        # Left early, the pool ends its pieces and its threads.
        with readable(self.path), closing(self.file.open()) as file, _pool() as pool:
            file.seek(start)
            under_way: deque = deque()
            while text := file.read(size) + file.readline():
                if text.strip():
                    under_way.append((start, text, pool.submit(attempt, text)))
                start += len(text)
                if len(under_way) > cores():
                    byte, text, table = under_way.popleft()
                    yield byte, text, table.result()
            while under_way:
                byte, text, table = under_way.popleft()
                yield byte, text, table.result()


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="jaxlr-csv")


def _header(file: BinaryIO) -> bytes:
    while (line := file.readline(_LONGEST_HEADER)) and not line.strip():
        pass
    return line


def _check_header_line(line: bytes, path: str) -> None:
    """Refuse what reads as one column only because it is no CSV file in UTF-8."""
    if line.startswith(_BYTE_ORDER_MARKS) or b"\0" in line:
        raise DataError(f"{path}: this is UTF-16, or no text: save the file as CSV in UTF-8")
    if b"\r" in line.rstrip(b"\r\n"):
        raise DataError(f"{path}: its lines end with \\r alone: save the file with \\n or \\r\\n")
    for separator, name in ((b";", "semicolons"), (b"\t", "tabs")):
        if separator in line and b"," not in line:
            raise DataError(
                f"{path}: the columns of the header are separated by {name}: save the file with "
                "commas (and with points in its numbers)"
            )


def _names(sample: "pa.RecordBatch", path: str) -> list[str]:
    import pyarrow as pa

    try:
        names = sample.schema.names
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the header is not UTF-8: save the file as UTF-8") from error
    for name, kind in zip(names, sample.schema.types, strict=True):
        if pa.types.is_binary(kind):
            raise DataError(f"{path}: column {name!r} is not UTF-8: save the file as UTF-8")
    return names


def _check_names(names: Sequence[str], ignore: Collection[str], path: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: these column names stand in the header twice: {listed(twice)}")
    if all(is_number(name) for name in names):
        raise DataError(f"{path}: the first line must name the columns, and holds only numbers")
    nameless = [i + 1 for i, name in enumerate(names) if not name and name not in ignore]
    if nameless:
        raise DataError(
            f"{path}: column {nameless[0]} has no name. If it only counts the rows, as the index "
            "that pandas writes does, leave it out (--exclude ''); else name it"
        )
