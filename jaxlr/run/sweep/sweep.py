"""A sweep from config to folder: group by group, each of them one program."""

import dataclasses
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jax
import numpy as np

from jaxlr import core, data, shard
from jaxlr.data import DataError
from jaxlr.run.parts import Parts, Tell, devices_for, place, prepare
from jaxlr.run.rows import load_rows
from jaxlr.run.scoring import evaluate
from jaxlr.run.session import INTERRUPTED, KEYS, GradientCheckError
from jaxlr.run.summary import to_json
from jaxlr.run.sweep import folder
from jaxlr.run.sweep.config import SweepConfig
from jaxlr.run.sweep.crosscheck import check_gradient_of_many
from jaxlr.run.sweep.groups import Group, groups_of, optimizer_of
from jaxlr.run.sweep.outcome import Outcome, Sweep, rank
from jaxlr.train import DivergedError, ManyProgress, Member, Result, Status, train_many


@dataclass(frozen=True)
class SweepProgress:
    """What a callback sees after each step of a program, of ``step`` of all programs' steps.

    ``rows`` is how many rows its members read together.
    """

    step: int
    rows: int
    many: ManyProgress

    @property
    def loss(self) -> float:
        """Smallest loss of the members that still train; it waits for the device."""
        losses, live = np.asarray(self.many.loss, float), np.asarray(self.many.live)
        return float(np.min(losses, where=live, initial=np.inf))


Callback = Callable[[SweepProgress], bool | None]


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

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     config = SweepConfig(alpha=(0.01, 0.1), steps=100, out=f"{parent}/first")
    ...     sweep = run_sweep(config)
    ...     print(sorted(path.name for path in sweep.folder.iterdir()))
    ['best.toml', 'sweep.jsonl', 'sweep.toml']
    >>> sweep.best.alpha
    0.1
    """
    if shard.host_count() > 1:
        raise shard.HostsError("a sweep runs as one process: start it without --processes")
    target = config.folder(datetime.now().strftime("%Y%m%d-%H%M%S"))
    folder.check_free(target, overwrite=config.overwrite)
    config = dataclasses.replace(config, data=data.absolute(config.data))
    with jax.enable_x64(config.dtype == "float64"):
        outcomes = _train_all(config, tell, callback)
    ranked = rank(outcomes, config.metric, len(config.seed))
    stopped = any(outcome.status == INTERRUPTED for outcome in outcomes)
    sweep = Sweep(target, ranked, stopped)
    lines = [to_json(outcome.line()) + "\n" for one in ranked for outcome in one.members]
    files = {folder.SWEEP: config.to_toml(), folder.TABLE: "".join(lines)}
    if sweep.best is not None:
        files[folder.BEST] = sweep.best.to_toml()
    folder.write(target, files, overwrite=config.overwrite)
    return sweep


def _train_all(config: SweepConfig, tell: Tell, callback: Callback | None) -> list[Outcome]:
    members = config.members()
    rows = load_rows(members[0], tell, why="a sweep reads its rows in memory")
    groups = groups_of(members, rows.X.shape[1])
    tell(f"{len(members)} members in {len(groups)} programs")
    found: list[Outcome] = []
    numbered = enumerate(groups)
    for _, of_seed in itertools.groupby(numbered, key=lambda one: one[1].members[0].seed):
        parts = None
        for number, group in of_seed:
            parts = parts or _prepared(rows, group, config, tell)
            found += _train_group(number, group, parts, callback)
            if found[-1].status == INTERRUPTED:
                return found
    return found


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
    start = time.monotonic()
    results = _results(number, group, parts, callback)
    seconds = round(time.monotonic() - start, 3)
    return [
        _outcome(i, config, result, parts)._replace(group=number, seconds=seconds)
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
