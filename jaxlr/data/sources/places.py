"""Files by their path or URL: what is there, and how it is opened."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, BinaryIO, NamedTuple

from jaxlr.data.errors import DataError
from jaxlr.extras import extra

_URL = re.compile(r"[a-z][a-z0-9+.-]+://|[a-z0-9+.-]+::", re.IGNORECASE)


class File(NamedTuple):
    """One file: the path to show, and for a URL the file system of fsspec that has it."""

    path: str
    system: Any = None
    inside: str = ""  # its path in that file system

    def open(self) -> BinaryIO:
        """Open it for reading."""
        return Path(self.path).open("rb") if self.system is None else self.system.open(self.inside)

    def size(self) -> int:
        """Count its bytes."""
        return (
            Path(self.path).stat().st_size if self.system is None else self.system.size(self.inside)
        )

    def stamp(self) -> object:
        """Tell what becomes another value when the file is written anew."""
        with readable(self.path):
            if self.system is not None:  # what fsspec knows without asking for each file, as a rule
                return self.system.ukey(self.inside)
            found = Path(self.path).stat()
            return found.st_size, found.st_mtime_ns

    def local(self, what: str) -> Path:
        """Give its path on this machine."""
        if self.system is not None:
            raise DataError(
                f"{self.path}: {what} are read from this machine only: copy the file here, or "
                "keep the rows as Parquet"
            )
        return Path(self.path)


def is_url(path: str | Path) -> bool:
    """Whether fsspec opens it: ``memory://rows.csv``, ``s3://bucket/rows.parquet``."""
    return _URL.match(str(path)) is not None


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder, here or where fsspec looks."""
    if not is_url(path):
        return Path(path).is_dir()
    system, inside = _system_of(str(path))
    return system.isdir(inside)


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Say which file it is that the system does not read."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise DataError(f"{path}: not readable: {reason}") from error


def find(path: str | Path, endings: tuple[str, ...]) -> tuple[list[File], bool]:
    """Find a file, or in a folder the files with these endings, in the order of their names.

    Returns
    -------
    files : list of File
    folder : bool
        Whether the path is that of a folder.

    Raises
    ------
    DataError
        If there is nothing, or nothing with such an ending, or it cannot be looked at.
    """
    path = str(path)
    with readable(path):
        files = _in_system(path) if is_url(path) else _here(path)
    if files is None:
        hint = "" if is_url(path) else " (the built-in data set is called breast_cancer)"
        raise DataError(f"{path}: no such file{hint}")
    if isinstance(files, File):
        return [files], False
    files = [file for file in files if file.path.lower().endswith(endings)]
    if not files:
        raise DataError(f"{path}: no file in this folder ends with {' or '.join(endings)}")
    keys = sorted({part for f in files for part in f.path[len(path) :].split("/") if "=" in part})
    if keys and not any("=" in file.path.rsplit("/", 1)[-1] for file in files):
        raise DataError(
            f"{path}: its subfolders hold a column in their names ({keys[0]!r}), which is not "
            "read. Write the column into the files, or name one subfolder"
        )
    return files, True


def _here(path: str) -> File | list[File] | None:
    place = Path(path)
    try:
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if S_ISDIR(mode):
        list(place.iterdir())  # what rglob passes over in silence, where it may not look
        return [File(str(p)) for p in sorted(place.rglob("*")) if p.is_file() and _shown(p, place)]
    return File(path) if S_ISREG(mode) else None


def _shown(path: Path, folder: Path) -> bool:
    """Whether no part of the path begins as the names of logs and markers do."""
    return not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def _system_of(url: str) -> tuple[Any, str]:
    with extra("data"):
        import fsspec
    protocol = re.split("://|::", url)[0]
    try:
        return fsspec.core.url_to_fs(url)
    except ValueError as error:
        raise DataError(f"{url}: fsspec does not read it ({protocol!r}): {error}") from error
    except ImportError as error:
        raise DataError(f"{url}: fsspec needs another package for {protocol!r}: {error}") from error


def _in_system(url: str) -> File | list[File] | None:
    system, inside = _system_of(url)
    if system.isfile(inside):
        return File(url, system, inside)
    if not system.isdir(inside):
        return None
    root = inside.rstrip("/")
    found = sorted(system.find(inside))
    return [
        File(url.rstrip("/") + name[len(root) :], system, name)
        for name in found
        if _shown(Path(name), Path(root))
    ]
