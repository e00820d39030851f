"""A training run that goes on after a break."""

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax

from jaxlr import shard
from jaxlr.run import folder
from jaxlr.run.checkpoint import Checkpoint, Checkpoints, checkpoint_of_first
from jaxlr.run.config import RunConfig, TrainConfig
from jaxlr.run.fingerprint import difference
from jaxlr.run.folder import CONFIG, ORIGIN, SUMMARY, RunFolderError, read_json
from jaxlr.run.hosts import own_folder
from jaxlr.run.keeper import Callback
from jaxlr.run.model import Model
from jaxlr.run.parts import Tell
from jaxlr.run.result import Run, reopen
from jaxlr.run.session import INTERRUPTED, Task, carry_out, prepare_training

_ENDED = {"status", "why", "train", "test"}


def resume_training(
    run: str | Path,
    *,
    steps: int | None = None,
    tell: Tell = lambda line: None,
    callback: Callback | None = None,
) -> Run:
    """Go on with the training in a run folder, to the same bits as without the break.

    Parameters
    ----------
    run : str or Path
        A folder that `run_training` wrote, or was writing when it was killed.
    steps : int, optional
        Number of updates in all, instead of those in the folder's config.
    tell, callback
        As for `run_training`.

    Returns
    -------
    Run
        Also of a run that had ended; then nothing was done.

    Raises
    ------
    DataError, RunFolderError
        If the data cannot be used or is not what it was, if another process writes the folder,
        or if it is no folder of a training; the message says why, and nothing is changed.

    Notes
    -----
    It goes on from the newest checkpoint that is whole, and begins anew where none was written yet.

    Examples
    --------
    >>> import tempfile
    >>> from jaxlr.run import TrainConfig, run_training
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     config = TrainConfig(steps=20, out=f"{parent}/first")
    ...     first = run_training(config, callback=lambda progress: progress.step == 4)
    ...     rest = resume_training(first.folder)
    >>> first.summary["status"], rest.summary["status"], rest.summary["steps"]
    ('interrupted', 'steps_done', 20)
    """
    with own_folder(Path(run), begun=True) as target, ExitStack() as stack:
        with shard.together():
            config = _config_of(target, steps)
            stack.enter_context(folder.held(target))
            ended = _ended(target, config)
        if ended is not None:
            tell(f"{target}: {ended.summary['why']}: there is nothing to do")
            return ended
        stack.enter_context(jax.enable_x64(config.dtype == "float64"))
        with shard.together():
            _origin(target)  # what is wrong with it is said before the rows are read
            task = prepare_training(config, tell)
            check_origin(target, config.data, task.origin(), tell)
            start = _start(target, task, tell)
            reopen(target, config)
        return carry_out(task, target, start, callback)


def _config_of(target: Path, steps: int | None) -> TrainConfig:
    config = RunConfig.load(target)
    if not isinstance(config, TrainConfig) or not (target / ORIGIN).is_file():
        raise RunFolderError(
            f"{target} holds no training that can go on (jaxlr {config.command} wrote it): only "
            "those of jaxlr train can, from this version on"
        )
    try:
        return config if steps is None else dataclasses.replace(config, steps=steps)
    except ValueError as error:
        raise RunFolderError(f"{target}: {error}") from error


def _ended(target: Path, config: TrainConfig) -> Run | None:
    """Return the run if it is over, even with the steps it has now."""
    if not folder.is_finished(target):
        return None
    summary = _summary(target)
    is_longer = summary["status"] == "steps_done" and config.steps > summary["steps"]
    if summary["status"] == INTERRUPTED or is_longer:
        return None
    return Run(target, Model.load(target), summary)


def _summary(target: Path) -> dict[str, Any]:
    try:
        summary = read_json(target / SUMMARY)
        if not isinstance(summary.get("steps"), int) or not summary.keys() >= _ENDED:
            raise RunFolderError(f"{target / SUMMARY} is damaged: it does not say how a run ended")
    except RunFolderError as error:
        raise RunFolderError(
            f"{error}. Remove that file, and jaxlr resume {target} goes on from the last checkpoint"
        ) from error
    return summary


def _origin(target: Path) -> dict[str, Any]:
    try:
        return read_json(target / ORIGIN)
    except RunFolderError as error:
        raise RunFolderError(
            f"{error}. Nothing else says what {target} was trained on: put it back, or train anew "
            f"(jaxlr train {target / CONFIG} --out FOLDER)"
        ) from error


def check_origin(target: Path, source: str, now: dict[str, Any], tell: Tell) -> None:
    """Refuse other rows of ``source``; tell of what may change the last bits."""
    before = read_json(target / ORIGIN)
    data = before.get("data")
    changed = difference(data if isinstance(data, dict) else {}, now["data"])
    if changed:
        raise RunFolderError(
            f"{source} is not what {target} was trained on: {changed}. Put it back, or "
            "train anew in another folder"
        )
    for name in ("processes", "devices", "device", "jax"):
        if before.get(name, now[name]) != now[name]:
            tell(
                f"{name}: {before.get(name)} when this run began, {now[name]} now; the last bits "
                "may come out otherwise"
            )


def _start(target: Path, task: Task, tell: Tell) -> Checkpoint:
    pattern, found = task.pattern(), None
    if shard.host_index() == 0:
        checkpoints = Checkpoints(target)
        try:
            found = checkpoints.newest(pattern, tell)
        finally:
            checkpoints.close()
    found = checkpoint_of_first(found, pattern)
    if found is None:
        tell("no checkpoint: training begins anew")
        return task.beginning()
    if found.state.step > task.config.steps:
        raise RunFolderError(
            f"{target} is {found.state.step} steps far: --steps must be at least that"
        )
    tell(f"going on after {int(found.state.step)} of {task.config.steps} steps")
    return found
