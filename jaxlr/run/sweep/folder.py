"""The folder of a sweep: complete or not there."""

from collections.abc import Mapping
from pathlib import Path

from jaxlr.run import folder
from jaxlr.run.folder import RunFolderError

# Not config.toml: a sweep is no run, and `jaxlr runs` does not list it.
SWEEP, TABLE, BEST = _OURS = ("sweep.toml", "sweep.jsonl", "best.toml")


def check_free(target: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a folder that `write` would refuse after it.

    Raises
    ------
    RunFolderError
        If it is there, and is not to be overwritten or holds what no sweep wrote.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        raise RunFolderError(f"{target} exists: choose another folder (--out), or --overwrite it")
    if not (target / SWEEP).is_file():
        raise RunFolderError(
            f"{target} is no folder of a sweep (no {SWEEP} in it): not overwritten"
        )
    others = sorted(path.name for path in target.iterdir() if path.name not in _OURS)
    if others:
        raise RunFolderError(
            f"{target} holds {others[0]}, which no sweep wrote: move it away, or choose another "
            "folder (--out)"
        )


def write(target: Path, files: Mapping[str, str | bytes], *, overwrite: bool) -> None:
    """Write the files into ``target``, which appears complete or not at all."""
    target = target.absolute()
    check_free(target, overwrite=overwrite)
    folder.put(target, files)
