"""A sweep from config to folder, at once or after a break: group by group, one program each."""

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import core, shard
from jaxlr.data import DataError, Dataset
from jaxlr.run.fingerprint import fingerprint, origin_of
from jaxlr.run.folder import held
from jaxlr.run.parts import Parts, Tell, devices_for, place, prepare
from jaxlr.run.result import located
from jaxlr.run.rows import load_rows
from jaxlr.run.scoring import evaluate
from jaxlr.run.session import INTERRUPTED, KEYS, GradientCheckError
from jaxlr.run.sweep import folder
from jaxlr.run.sweep.config import SweepConfig
from jaxlr.run.sweep.crosscheck import check_gradient_of_many
from jaxlr.run.sweep.groups import Group, groups_of, optimizer_of
from jaxlr.run.sweep.outcome import Outcome, Sweep
from jaxlr.run.sweep.programs import add_program
from jaxlr.run.sweep.progress import Callback, SweepProgress
from jaxlr.train import DivergedError, ManyProgress, Member, Result, Status, train_many


def run_sweep(
    config: SweepConfig, *, tell: Tell = lambda line: None, callback: Callback | None = None
) -> Sweep:
    """Train all members as ``config`` says, and write the folder of the sweep.

    Parameters
    ----------
    config : SweepConfig
    tell : callable, optional
        Called with a line of text at each stage.
    callback : callable, optional
        Called with a `SweepProgress` after each step; a true answer ends the sweep, and what is
        done is written.

    Returns
    -------
    Sweep
        ``ranked`` holds all members that were begun; ``best`` is a `TrainConfig`.

    Raises
    ------
    DataError, RunFolderError
        If the data cannot be used or the folder not be written; the message says why.
    GradientCheckError
        If the hand-written gradient does not pass the judge on a sample of the rows.

    Notes
    -----
    Members with the same seed, optimiser and batch size train in one program
    (`jaxlr.train_many`). A member that diverges, or whose program fails, is reported and not
    fatal. Test rows are split off and not looked at.

    The folder is there from the first program on, and keeps what became of each one that has ended
    (programs.jsonl), so that `resume_sweep` goes on where a sweep was killed; the table and the
    best settings come at the end.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     config = SweepConfig(alpha=(0.01, 0.1), steps=100, out=f"{parent}/first")
    ...     sweep = run_sweep(config)
    ...     print(sorted(path.name for path in sweep.folder.iterdir()))
    ['.lock', 'best.toml', 'programs.jsonl', 'run.json', 'sweep.jsonl', 'sweep.toml']
    >>> sweep.best.alpha
    0.1
    """
    check_alone()
    target = config.folder(datetime.now().strftime("%Y%m%d-%H%M%S"))
    folder.check_free(target, overwrite=config.overwrite)
    config = located(config).with_memory()  # a training of the best must part the rows alike
    with jax.enable_x64(config.dtype == "float64"):
        task = prepare_sweep(config, tell)
        task.prepared.of(task.groups[0])  # what is wrong with the rows is said before a folder
        folder.begin(target, config, task.origin())
        with held(target):
            return carry_out(task, target, {}, callback)


def check_alone() -> None:
    """Raise HostsError where this is one of several processes."""
    if shard.host_count() > 1:
        raise shard.HostsError("a sweep runs as one process: start it without --processes")


class Task(NamedTuple):
    """A sweep, ready for its first program."""

    config: SweepConfig
    groups: list[Group]
    prepared: "_Prepared"

    def origin(self) -> dict[str, Any]:
        """Return what a sweep must have in common with itself to give the same bits again."""
        return origin_of(fingerprint(self.prepared.rows), jax.devices())


def prepare_sweep(config: SweepConfig, tell: Tell) -> Task:
    """Load the rows, and part the members into groups."""
    members = config.members()
    rows = load_rows(members[0], tell, why="a sweep reads its rows in memory")
    groups = groups_of(members, rows.X.shape[1])
    tell(f"{len(members)} members in {len(groups)} programs")
    return Task(config, groups, _Prepared(rows, config, tell))


def carry_out(
    task: Task, target: Path, done: Mapping[int, list[Outcome]], callback: Callback | None
) -> Sweep:
    """Train the groups that are not done, each of which is kept when it ends; finish the folder."""
    found = [outcome for outcomes in done.values() for outcome in outcomes]
    for number, group in enumerate(task.groups):
        if number in done:
            continue
        parts, start = task.prepared.of(group), time.monotonic()
        outcomes = _train_group(number, group, parts, callback)
        found += outcomes
        if any(outcome.status == INTERRUPTED for outcome in outcomes):
            break
        add_program(target, number, round(time.monotonic() - start, 3), outcomes)
    return folder.finish(target, task.config, found)


class _Prepared:
    """Rows of one seed at a time, judged when they are first asked for."""

    def __init__(self, rows: Dataset, config: SweepConfig, tell: Tell) -> None:
        self.rows, self.config, self.tell = rows, config, tell
        self.seed: int | None = None
        self.parts: Parts | None = None

    def of(self, group: Group) -> Parts:
        """Give those of the seed of a group."""
        if self.parts is None or self.seed != group.members[0].seed:
            self.parts = None  # there need not be room for two
            self.parts = _prepared(self.rows, group, self.config, self.tell)
            self.seed = group.members[0].seed
        return self.parts


def _prepared(rows: Any, group: Group, config: SweepConfig, tell: Tell) -> Parts:
    """Rows of one seed, in which the gradient is right and which the metric can be taken of."""
    first = group.members[0]
    parts = prepare(rows, first, tell, validation_fraction=first.validation_fraction)
    held_out: Any = parts.validation
    zeros = core.zeros(held_out.X.shape[1], held_out.X.dtype)
    if evaluate(zeros, held_out)[config.metric] is None:
        raise DataError(
            f"{rows.name}: the validation rows have no {config.metric}, which needs labels 0 and 1 "
            "and none between them: choose --metric loss or brier"
        )
    rng = np.random.default_rng(first.seed)
    report = check_gradient_of_many(parts.sample(rng), first.l2, rng)
    tell(f"gradient check: {report.summary()}")
    if not report:
        raise GradientCheckError(report)
    return parts


def _train_group(
    number: int, group: Group, parts: Parts, callback: Callback | None
) -> list[Outcome]:
    results = _results(number, group, parts, callback)
    return [
        _outcome(i, config, result, parts)._replace(group=number)
        for i, config, result in zip(group.numbers, group.members, results, strict=True)
    ]


def _results(number: int, group: Group, parts: Parts, callback: Callback | None) -> list[Any]:
    """Return what `train_many` does, or for each member the error that ended the program."""
    first, held_out = group.members[0], parts.validation
    devices = jax.devices()[:1] if first.batch_size else devices_for(parts.train)
    X, y, s = place(parts.train, devices)
    key = jax.random.key(first.seed, impl=KEYS)

    def progress(many: ManyProgress) -> bool:
        rows = many.rows * len(many.members)
        seen = SweepProgress(number * first.steps + many.step, rows, many)
        return bool(callback and callback(seen))

    try:
        return train_many(
            core.zeros(X.shape[1], X.dtype),
            X,
            y,
            [Member(config.alpha, config.l2, key) for config in group.members],
            steps=first.steps,
            optimizer=optimizer_of(first),
            batch_size=first.batch_size,
            sample_weight=s,
            validation=None if held_out is None else place(held_out, devices),
            validate_every=first.validate_every,
            patience=first.patience,
            callback=progress,
        )
    except jax.errors.JaxRuntimeError as error:  # no memory for so many, say
        return [error] * len(group.members)


def _outcome(i: int, config: Any, result: Any, parts: Parts) -> Outcome:
    if isinstance(result, DivergedError):
        step = result.step
        return Outcome(i, config, "diverged", result.why, step, max(0, step - 1), None, 0)
    if not isinstance(result, Result):
        why = (str(result).strip() or type(result).__name__).splitlines()[0][:200]
        return Outcome(i, config, "failed", why, 0, 0, None, 0)
    status, why = result.status.name.lower(), result.status.value
    if result.status is Status.STOPPED_BY_CALLBACK:
        status = why = INTERRUPTED
    held_out: Any = parts.validation
    metrics = evaluate(result.params, held_out)
    return Outcome(i, config, status, why, result.steps, result.params_step, metrics, 0)
