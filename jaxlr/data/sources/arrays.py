"""NumPy's files: X as npy or inside an npz, memory-mapped; nothing is ever unpickled."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxlr.data.errors import DataError, listed
from jaxlr.data.sources.base import Batch, Source, Where
from jaxlr.data.sources.places import find, readable
from jaxlr.extras import extra

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".npy", ".npz")
_LOCAL_HEADER = 30  # bytes of a file's header in a zip, before its name
_NAMES = ("X", "y", "sample_weight", "features")


class ArrayBatch(Batch):
    """Rows of a matrix and of the vectors beside it."""

    def __init__(
        self, X: np.ndarray, where: Where, place: dict[str, int], beside: dict[str, np.ndarray]
    ) -> None:
        self.X, self.where, self._place, self._beside = X, where, place, beside

    def numbers(self, names: Sequence[str], rows: slice, out: np.ndarray) -> None:
        """Copy columns of the matrix, or a vector beside it."""
        if names[0] in self._beside:
            out[:, 0] = self._beside[names[0]][rows]
            return
        at = [self._place[name] for name in names]
        if at == list(range(at[0], at[0] + len(at))):
            out[:] = self.X[rows, at[0] : at[0] + len(at)]
        else:
            out[:] = self.X[rows][:, at]

    def column(self, name: str) -> "pa.Array":
        """Give one column of the matrix, or a vector beside it."""
        with extra("data"):
            import pyarrow as pa
        v = self._beside[name] if name in self._beside else self.X[:, self._place[name]]
        return pa.array(np.ascontiguousarray(v, v.dtype.newbyteorder("=")))

    def pick(self, index: slice | np.ndarray) -> "ArrayBatch":
        """Take some of the rows."""
        beside = {name: v[index] for name, v in self._beside.items()}
        return ArrayBatch(self.X[index], self.where.pick(index), self._place, beside)


class ArraySource(Source):
    """Rows of a matrix X (n, d), with labels and weights as vectors (n,) beside it.

    The columns are called by ``features``, or x0, x1 and so on. Nothing of a memory-mapped X
    is in memory but the pages that are being copied, which the system takes back.
    """

    def __init__(
        self, path: str | Path, *, target: str | None = None, weight: str | None = None
    ) -> None:
        files, folder = find(path, ENDINGS)
        if folder:
            raise DataError(f"{path}: a folder is read as Parquet; of NumPy's files, name one")
        file = files[0].local("NumPy's files")
        self.path, self.stem = str(path), file.stem
        found, self.files = _arrays_of(file), files
        for name, other in (("y", target), ("sample_weight", weight)):
            if other is not None and other.lower().endswith(".npy") and name not in found:
                beside = find(other, ENDINGS)[0]
                found[name] = _map_npy(beside[0].local("NumPy's files"))
                self.files = [*self.files, *beside]
        names = found.pop("features", None)
        self.X = _checked(found.pop("X"), 2, "X", self.path)
        self.n = len(self.X)
        self._beside = {name: _vector(v, name, self) for name, v in found.items()}
        columns = _names(names, self.X.shape[1], self.path)
        both = sorted({*columns} & {*self._beside})
        if both:
            raise DataError(f"{path}: features cannot be called {listed(both)} beside such arrays")
        self._place = {name: j for j, name in enumerate(columns)}
        self.columns = (*columns, *self._beside)
        self.target = "y" if "y" in self._beside else None
        self.weight = "sample_weight" if "sample_weight" in self._beside else None

    def batches(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[ArrayBatch]:
        """Give the rows from ``start`` on."""
        assert self.n is not None
        for first in range(start, self.n, rows):
            yield self._batch(slice(first, min(first + rows, self.n)))

    def pick(self, names: Sequence[str], rows: int, index: np.ndarray) -> Iterator[ArrayBatch]:
        """Copy the rows of these numbers, and read no others."""
        for first in range(0, len(index), rows):
            yield self._batch(index[first : first + rows])

    def _batch(self, rows: slice | np.ndarray) -> ArrayBatch:
        at = range(rows.start, rows.stop) if isinstance(rows, slice) else rows
        beside = {name: v[rows] for name, v in self._beside.items()}
        return ArrayBatch(self.X[rows], Where(self.path, at), self._place, beside)


def _arrays_of(path: Path) -> dict[str, np.ndarray]:
    if path.suffix.lower() == ".npy":
        return {"X": _map_npy(path)}
    with readable(str(path)):
        try:
            with zipfile.ZipFile(path) as members:
                inside = {Path(name).stem: name for name in members.namelist()}
                if "X" not in inside:
                    raise DataError(
                        f"{path}: no array 'X'; there are {listed(sorted(inside))}. Save it as "
                        "numpy.savez(FILE, X=X, y=y), sample_weight= and features= if you like"
                    )
                wanted = [name for name in _NAMES if name in inside]
                return {name: _member(path, members, inside[name]) for name in wanted}
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise DataError(f"{path}: damaged, or no npz file: {error}") from error


def _member(path: Path, members: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of an npz: mapped where it is stored as it is, else read."""
    info = members.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        with members.open(name) as file:
            return _read(file, path, name)
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
        start = info.header_offset + _LOCAL_HEADER
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return _map(path, file, start, name)


def _read(file, path: Path, name: str) -> np.ndarray:
    try:
        return np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise _no_array(path, name, error) from error


def _map_npy(path: Path) -> np.ndarray:
    with readable(str(path)), path.open("rb") as file:
        return _map(path, file, 0, path.name)


def _map(path: Path, file, start: int, name: str) -> np.ndarray:
    form = np.lib.format
    file.seek(start)
    try:
        version = form.read_magic(file)
        read_header = (
            form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise _no_array(path, name, "it holds Python objects")
        if not np.prod(shape):
            return np.empty(shape, dtype)
        order = "F" if fortran else "C"
        return np.memmap(path, dtype, "r", offset=file.tell(), shape=shape, order=order)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise _no_array(path, name, error) from error


def _no_array(path: Path, name: str, why: object) -> DataError:
    return DataError(
        f"{path}: {name} is damaged, or no array of numbers ({why}). Pickled objects are never "
        "loaded: save arrays of numbers with numpy.save or numpy.savez"
    )


def _checked(v: np.ndarray, rank: int, name: str, path: str) -> np.ndarray:
    if v.dtype.kind not in "fiub":
        raise DataError(f"{path}: {name} holds {v.dtype}, and real numbers are needed")
    if v.ndim != rank:
        needed = "(n, d): a row for each example" if rank == 2 else "(n,)"
        raise DataError(f"{path}: {name} has the shape {v.shape}, and not {needed}")
    if not v.size:
        raise DataError(f"{path}: {name} of shape {v.shape} is empty")
    return v


def _vector(v: np.ndarray, name: str, source: ArraySource) -> np.ndarray:
    if name != "y" or v.dtype.kind != "U":  # labels may be text
        v = _checked(v, 1, name, source.path)
    if v.shape != (source.n,):
        raise DataError(
            f"{source.path}: {name} has {len(v)} values, and X {source.n} rows: one for each row "
            "is needed"
        )
    return v


def _names(names: np.ndarray | None, d: int, path: str) -> list[str]:
    if names is None:
        return [f"x{j}" for j in range(d)]
    if names.dtype.kind != "U" or names.shape != (d,):
        raise DataError(
            f"{path}: features is {names.dtype} {names.shape}, and {d} names are needed, one for "
            "each column of X"
        )
    if len({*names.tolist()}) < d:
        raise DataError(f"{path}: several features have the same name")
    return names.tolist()
