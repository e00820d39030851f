"""The folder of a sweep: there once it begins; the table, which comes last, says that it ended."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxlr.run import folder
from jaxlr.run.config import RunConfig
from jaxlr.run.folder import LOCK, ORIGIN, RunFolderError, read_json
from jaxlr.run.session import INTERRUPTED
from jaxlr.run.summary import to_json
from jaxlr.run.sweep.config import SweepConfig
from jaxlr.run.sweep.outcome import Outcome, Sweep, rank
from jaxlr.run.sweep.programs import PROGRAMS

# Not config.toml: a sweep is no run, and `jaxlr runs` names it only where it was cut short.
SWEEP, TABLE, BEST = ("sweep.toml", "sweep.jsonl", "best.toml")
_OURS = (SWEEP, TABLE, BEST, PROGRAMS, ORIGIN, LOCK)


def is_sweep(target: Path) -> bool:
    """Whether a sweep wrote this folder, or is writing it."""
    return (target / SWEEP).is_file()


def cut_short(parent: Path) -> list[Path]:
    """Return the folders in ``parent`` of sweeps that were killed or interrupted, or still run."""
    return [path for path in sorted(parent.iterdir()) if is_sweep(path) and not _has_ended(path)]


def _has_ended(target: Path) -> bool:
    try:
        table = (target / TABLE).read_bytes()
    except OSError:
        return False
    return f'"status": "{INTERRUPTED}"'.encode() not in table


def check_free(target: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a folder that `begin` would refuse.

    Raises
    ------
    RunFolderError
        If it is there, and is not to be overwritten or holds what no sweep wrote.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite and is_sweep(target) and not (target / TABLE).is_file():
        raise RunFolderError(
            f"{target} holds an unfinished sweep: continue it (jaxlr resume {target}), choose "
            "another folder (--out), or --overwrite it"
        )
    if not overwrite:
        raise RunFolderError(f"{target} exists: choose another folder (--out), or --overwrite it")
    if not is_sweep(target):
        raise RunFolderError(
            f"{target} is no folder of a sweep (no {SWEEP} in it): not overwritten"
        )
    folder.check_replaceable(target, _OURS, "sweep")


def begin(target: Path, config: SweepConfig, origin: dict[str, Any]) -> None:
    """Write the folder that a sweep begins with: its settings, and what it was begun with."""
    target, settings = target.absolute(), config.to_toml()
    check_free(target, overwrite=config.overwrite)
    files = {
        SWEEP: settings,
        ORIGIN: to_json({**origin, "config": _digest(settings)}, indent=2) + "\n",
        PROGRAMS: "",
    }
    folder.put(target, files, folder.held(target))


def settings_of(target: Path) -> SweepConfig:
    """Read the settings of a sweep that is to go on.

    Raises
    ------
    RunFolderError
        If there is no such sweep, or its settings are not those that it began with.
    """
    if not (target / ORIGIN).is_file():
        raise RunFolderError(
            f"{target} holds no sweep that can go on: only those written from this version on can"
        )
    path = target / SWEEP
    try:
        text = path.read_text("utf-8")
        config = RunConfig.from_toml(text)
        before = read_json(target / ORIGIN).get("config")
    except RunFolderError as error:
        raise RunFolderError(
            f"{error}: put it back, or sweep anew in another folder (jaxlr sweep {path} "
            "--out FOLDER)"
        ) from error
    except (ValueError, OSError, RecursionError) as error:
        raise RunFolderError(f"{path}: {error}") from error
    if not isinstance(config, SweepConfig) or before != _digest(text):
        raise RunFolderError(
            f"{path} is not what the sweep began with: put it back, or sweep anew in another "
            f"folder (jaxlr sweep {path} --out FOLDER)"
        )
    return config


def reopen(target: Path) -> None:
    """Take back what a sweep ended with, the table first, for it goes on."""
    folder.clear_leftovers(target, _OURS)
    for name in (TABLE, BEST):
        (target / name).unlink(missing_ok=True)


def finish(target: Path, config: SweepConfig, outcomes: Sequence[Outcome]) -> Sweep:
    """Rank the members that were begun, and write what a sweep ends with."""
    sweep = Sweep(target, rank([*outcomes], config.metric, len(config.seed)))
    if sweep.best is not None:
        folder.write_file(target / BEST, sweep.best.to_toml().encode())
    lines = [to_json(member.line()) + "\n" for one in sweep.ranked for member in one.members]
    folder.write_file(target / TABLE, "".join(lines).encode())
    return sweep


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
