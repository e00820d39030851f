"""The run folder on disk: all of it or nothing."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

CONFIG, MODEL, METRICS, SUMMARY = FILES = (
    "config.toml",
    "params.safetensors",
    "metrics.jsonl",
    "summary.json",
)


class RunFolderError(OSError):
    """A run folder cannot be written or read; the message says why."""


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a folder that `write` would refuse after it."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not overwrite:
        raise RunFolderError(f"{folder} exists: choose another folder (--out), or --overwrite it")
    if not (folder / SUMMARY).is_file():
        raise RunFolderError(f"{folder} is no run folder (no {SUMMARY} in it): not overwritten")
    others = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
    if others:
        raise RunFolderError(
            f"{folder} holds {others[0]}, which no run wrote: move it away, or choose another "
            "folder (--out)"
        )


def write(folder: Path, files: Mapping[str, str | bytes], *, overwrite: bool) -> None:
    """Write the files into ``folder``, which appears complete or not at all."""
    folder = folder.absolute()
    check_free(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            new = Path(beside) / "new"
            new.mkdir()
            for name, content in files.items():
                _write_through(
                    new / name, content if isinstance(content, bytes) else content.encode()
                )
            _replace(folder, new, Path(beside) / "old")
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error.strerror}") from error


def _replace(folder: Path, new: Path, old: Path) -> None:
    """Put ``new`` in the place of ``folder``, and what was there back if that fails."""
    if not folder.exists():
        new.rename(folder)
        return
    folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        old.rename(folder)
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write one file, which appears complete or not at all; one that is there is replaced."""
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        _write_through(beside, content)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise RunFolderError(f"{path} cannot be written: {error.strerror}") from error


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
