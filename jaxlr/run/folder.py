"""The run folder on disk: each file is whole or not there; the summary comes last."""

import json
import os
import platform
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from jaxlr.extras import extra

CONFIG, MODEL, METRICS, SUMMARY = FILES = (
    "config.toml",
    "params.safetensors",
    "metrics.jsonl",
    "summary.json",
)
# What a training keeps besides: what it began with, how far it is, and who writes.
ORIGIN, CHECKPOINTS, EVENTS, LOCK = "run.json", "checkpoints", "tensorboard", ".lock"
_OURS = (*FILES, ORIGIN, CHECKPOINTS, EVENTS, LOCK)
_LOCK_SECONDS = 1.0  # a look whether the lock is held takes it for a moment


class RunFolderError(OSError):
    """A run folder cannot be written or read; the message says why."""


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object, which anyone may have written.

    Raises
    ------
    RunFolderError
        If there is none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise RunFolderError(f"{path} is damaged: it must hold one JSON object")
    return found


def is_finished(folder: Path) -> bool:
    """Whether a run ended in this folder."""
    return (folder / SUMMARY).is_file()


def is_unfinished(folder: Path) -> bool:
    """Whether a training began in this folder that has not ended."""
    return (folder / CONFIG).is_file() and (folder / ORIGIN).is_file() and not is_finished(folder)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a folder that `write` would refuse after it."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not overwrite and is_unfinished(folder):
        raise RunFolderError(
            f"{folder} holds an unfinished run: continue it (jaxlr resume {folder}), choose "
            "another folder (--out), or --overwrite it"
        )
    if not overwrite:
        raise RunFolderError(f"{folder} exists: choose another folder (--out), or --overwrite it")
    if not is_finished(folder) and not is_unfinished(folder):
        raise RunFolderError(f"{folder} is no run folder (no {SUMMARY} in it): not overwritten")
    check_replaceable(folder, _OURS, "run")


def check_replaceable(folder: Path, ours: Collection[str], what: str) -> None:
    """Refuse a folder that holds more than files of these names, or that is being written."""
    others = sorted(path.name for path in folder.iterdir() if not _is_of(path.name, ours))
    if others:
        raise RunFolderError(
            f"{folder} holds {others[0]}, which no {what} wrote: move it away, or choose another "
            "folder (--out)"
        )
    if who := holder(folder):
        raise RunFolderError(_held_by(folder, who))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the folder; the lock dies with this process.

    Raises
    ------
    RunFolderError
        If another process holds it, naming that process.
    """
    with extra("cli"):
        from filelock import FileLock, Timeout
    path = folder / LOCK
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
        path.write_text(f"process {os.getpid()} on {platform.node()}")
    except Timeout as error:
        raise RunFolderError(_held_by(folder, _name_in(path))) from error
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def holder(folder: Path) -> str | None:
    """Name the process that writes the folder, if there is one."""
    with extra("cli"):
        from filelock import FileLock, Timeout
    path = folder / LOCK
    if not path.exists() or not os.access(path, os.W_OK):
        return None
    try:
        with FileLock(path).acquire(timeout=0):
            return None
    except Timeout:
        return _name_in(path)


def _name_in(lock: Path) -> str:
    return lock.read_text("utf-8", errors="replace")[:200] or "another process"


def _held_by(folder: Path, who: str) -> str:
    return f"{folder} is being written by {who}: wait for it or end it"


def _is_of(name: str, ours: Collection[str]) -> bool:
    return name in ours or any(re.fullmatch(rf"\.{re.escape(file)}-\d+", name) for file in ours)


def clear_leftovers(folder: Path, ours: Collection[str] = _OURS) -> None:
    """Remove files that a process which was killed had not yet put in their place."""
    for path in folder.iterdir():
        if _is_of(path.name, ours) and path.name not in ours:
            path.unlink()


def write(folder: Path, files: Mapping[str, str | bytes], *, overwrite: bool) -> None:
    """Write the files into ``folder``, which appears complete or not at all."""
    folder = folder.absolute()
    check_free(folder, overwrite=overwrite)
    put(folder, files, held(folder))


def put(
    folder: Path,
    files: Mapping[str, str | bytes],
    replacing: AbstractContextManager[None] | None = None,
) -> None:
    """Write the files into ``folder``; one that is there is replaced, held by ``replacing``.

    Raises
    ------
    RunFolderError
        If that cannot be; then what was there is there again.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            new = Path(beside) / "new"
            new.mkdir()
            for name, content in files.items():
                _write_through(
                    new / name, content if isinstance(content, bytes) else content.encode()
                )
            _replace(folder, new, Path(beside) / "old", replacing or nullcontext())
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error.strerror}") from error


def _replace(folder: Path, new: Path, old: Path, replacing: AbstractContextManager[None]) -> None:
    """Put ``new`` in the place of ``folder``, and what was there back if that fails."""
    if not folder.exists():
        new.rename(folder)
        return
    with replacing:
        folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            old.rename(folder)
            raise


def write_file(path: Path, content: bytes) -> None:
    """Write one file, which appears complete or not at all; one that is there is replaced."""
    with appearing(path) as file:
        file.write(content)


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to be written, which takes the place of ``path`` once it is complete.

    Raises
    ------
    RunFolderError
        If it cannot be written. After that, and after any other error, ``path`` is what it was.
    """
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, RunFolderError):
            raise RunFolderError(f"{path} cannot be written: {error.strerror}") from error
        raise


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
