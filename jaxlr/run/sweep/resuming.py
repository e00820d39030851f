"""A sweep that goes on after a break."""

from collections.abc import Mapping
from pathlib import Path

import jax

from jaxlr.run.folder import RunFolderError, held
from jaxlr.run.parts import Tell
from jaxlr.run.resuming import check_origin
from jaxlr.run.sweep import folder
from jaxlr.run.sweep.groups import Group
from jaxlr.run.sweep.outcome import Outcome, Sweep
from jaxlr.run.sweep.programs import keep_programs, read_programs
from jaxlr.run.sweep.progress import Callback
from jaxlr.run.sweep.sweep import carry_out, check_alone, prepare_sweep


def resume_sweep(
    sweep: str | Path, *, tell: Tell = lambda line: None, callback: Callback | None = None
) -> Sweep:
    """Go on with the sweep in a folder, to the same table as without the break.

    Parameters
    ----------
    sweep : str or Path
        A folder that `run_sweep` wrote, or was writing when it was killed.
    tell, callback
        As for `run_sweep`.

    Returns
    -------
    Sweep
        Also of a sweep that had ended; then nothing was trained.

    Raises
    ------
    DataError, RunFolderError
        If the data cannot be used, if it or the settings are not what they were, or if another
        process writes the folder; the message says why, and nothing is changed.

    Notes
    -----
    A program that has ended is not trained again, and one that was under way begins anew.

    Examples
    --------
    >>> import tempfile
    >>> from jaxlr.run import SweepConfig, run_sweep
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     config = SweepConfig(alpha=(0.01, 0.1), steps=20, out=f"{parent}/first")
    ...     first = run_sweep(config, callback=lambda progress: progress.step == 4)
    ...     rest = resume_sweep(first.folder)
    >>> first.interrupted, rest.interrupted, rest.best.alpha
    (True, False, 0.1)
    """
    check_alone()
    target = Path(sweep)
    config = folder.settings_of(target)
    members = config.members()
    with held(target):
        done = read_programs(target, members, tell)
        if sum(map(len, done.values())) == len(members):
            tell(f"{target}: all programs have ended: there is nothing to train")
            folder.reopen(target)
            return folder.finish(target, config, [o for found in done.values() for o in found])
        with jax.enable_x64(config.dtype == "float64"):
            task = prepare_sweep(config, tell)
            check_origin(target, config.data, task.origin(), tell)
            _check_groups(target, done, task.groups)
            tell(f"going on after {len(done)} of {len(task.groups)} programs")
            folder.reopen(target)
            keep_programs(target, len(done))
            return carry_out(task, target, done, callback)


def _check_groups(target: Path, done: Mapping[int, list[Outcome]], groups: list[Group]) -> None:
    for number, outcomes in done.items():
        numbers = [outcome.member for outcome in outcomes]
        if number >= len(groups) or numbers != groups[number].numbers:
            raise RunFolderError(
                f"{target}: program {number} had other members than it has now, for another "
                "version of jaxlr began this sweep: go on with that, or sweep anew"
            )
