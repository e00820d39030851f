"""One sitting at a training run: from the first step, or from a checkpoint, to the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr import core, shard
from jaxlr.check import Report
from jaxlr.core import Params
from jaxlr.data import Stream
from jaxlr.run.checkpoint import Checkpoint, Checkpoints, require_orbax
from jaxlr.run.config import TrainConfig
from jaxlr.run.crosscheck import check_gradient_at, odd_point
from jaxlr.run.events import Events, require_tensorboard
from jaxlr.run.fingerprint import fingerprint, origin_of
from jaxlr.run.folder import EVENTS, METRICS
from jaxlr.run.hosts import OwnRows
from jaxlr.run.keeper import Callback, Keeper
from jaxlr.run.metrics import Metrics
from jaxlr.run.parts import Parts, Tell, devices_for, place, prepare
from jaxlr.run.result import Run, finish
from jaxlr.run.rows import open_rows
from jaxlr.run.streamed import StreamedParts, step_rows, survey
from jaxlr.run.summary import facts
from jaxlr.train import (
    Best,
    DivergedError,
    Optimizer,
    Result,
    Status,
    TrainState,
    first_state,
    train,
    train_stream,
)

INTERRUPTED = "interrupted"
KEYS = "threefry2x32"  # said, so that no setting of JAX changes the order of the rows


class GradientCheckError(RuntimeError):
    """The hand-written gradient fails on these rows; nothing was trained. See ``.report``."""

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(f"the gradient check failed, so nothing was trained. {report}")


class Task(NamedTuple):
    """A training, ready for its first step: its rows, checked, and the devices for them."""

    config: TrainConfig
    parts: Parts | StreamedParts
    optimizer: Optimizer
    gradient_check: str
    devices: Sequence[Any]
    fingerprint: dict[str, Any]

    def origin(self) -> dict[str, Any]:
        """Return what a run must have in common with itself to give the same bits after a break."""
        return origin_of(self.fingerprint, self.devices)

    def beginning(self) -> Checkpoint:
        """Return what there is before the first step."""
        key = jax.random.key(self.config.seed, impl=KEYS)
        params = core.zeros(self.parts.d, self.config.params_dtype)
        state = first_state(params, self.optimizer)
        return Checkpoint(state, np.asarray(jax.random.key_data(key)))

    def pattern(self) -> Checkpoint:
        """Return a checkpoint with the shapes and types that those of this run have."""
        beginning = self.beginning()
        if not self.parts.has_validation:
            return beginning
        best = Best(beginning.state.params, 0, 0.0, 0)
        return beginning._replace(state=beginning.state._replace(best=best))


def prepare_training(config: TrainConfig, tell: Tell) -> Task:
    """Load the rows and have the gradient judged on some of them."""
    with shard.together():
        return _prepared(config, tell)


def _prepared(config: TrainConfig, tell: Tell) -> Task:
    require_orbax()
    if config.tensorboard:
        require_tensorboard()
    parts, found = _parts(config, tell)
    report = _check_sample(parts, config)
    tell(f"gradient check: {report.summary()}")
    if not report:
        raise GradientCheckError(report)
    return Task(
        config, parts, config.make_optimizer(), report.summary(), _devices(parts, config), found
    )


def _parts(config: TrainConfig, tell: Tell) -> tuple[Parts | StreamedParts, dict[str, Any]]:
    """Open the rows and part them; return their fingerprint too."""
    rows, share = open_rows(config, tell), config.validation_fraction
    if isinstance(rows, Stream):
        streamed = survey(rows, config, tell, validation_fraction=share)
        return streamed, streamed.fingerprint
    found = rows.fingerprint if isinstance(rows, OwnRows) else fingerprint(rows)
    return prepare(rows, config, tell, validation_fraction=share), found


def _devices(parts: Parts | StreamedParts, config: TrainConfig) -> Sequence[Any]:
    """Devices to train on: one of each process, where rows are few at a time or lie anywhere."""
    if config.batch_size or isinstance(parts, StreamedParts):
        return shard.devices_of_hosts(1)
    return devices_for(parts.train)


def carry_out(task: Task, folder: Path, begin: Checkpoint, callback: Callback | None) -> Run:
    """Train from ``begin`` on, and finish the run folder."""
    config, checkpoints = task.config, Checkpoints(folder)
    events = Events(folder / EVENTS, begin.state.step) if config.tensorboard else None
    with ExitStack() as stack:
        stack.callback(checkpoints.close)
        if events:
            stack.callback(events.close)
        go_on = stack.enter_context(_on_rows(task, begin.key))
        begin = _with_first_validation(begin, go_on)
        with shard.together():
            metrics = Metrics(
                folder / METRICS,
                step=begin.state.step,
                size=begin.metrics_size,
                validation_loss=begin.validation_loss,
                events=events,
            )
        keeper = Keeper(config, metrics, checkpoints, begin, callback)
        params, outcome = _outcome(lambda: go_on(begin.state, config.steps, keeper), keeper)
        metrics.close()
    summary = {
        **outcome,
        "seconds": round(keeper.seconds(), 3),
        "gradient_check": task.gradient_check,
        **facts(params, task.parts, task.devices),
    }
    with shard.together():
        return finish(folder, task.parts.model(params, config), summary)


@contextmanager
def _on_rows(task: Task, key: np.ndarray) -> Iterator[Callable[..., Result]]:
    """`train` or `train_stream` on the rows of a task, from a state on, to so many steps."""
    config, parts = task.config, task.parts
    settings = {
        "l2": config.l2,
        "validate_every": config.validate_every,
        "patience": config.patience,
    }
    if isinstance(parts, StreamedParts):
        validation = parts.loss_at if parts.has_validation else None
        with step_rows(parts, config.batch_size, config.seed) as rows:
            yield partial(
                _go_on, train_stream, task, (rows,), {**settings, "validation": validation}
            )
        return
    X, y, s = place(parts.train, task.devices)
    held_out = parts.validation
    settings |= {
        "sample_weight": s,
        "batch_size": config.batch_size,
        "key": jax.random.wrap_key_data(jnp.asarray(key), impl=KEYS),
        "validation": None if held_out is None else place(held_out, task.devices),
    }
    yield partial(_go_on, train, task, (X, y), settings)


def _go_on(
    loop: Callable[..., Result],
    task: Task,
    rows: tuple[Any, ...],
    settings: dict[str, Any],
    state: TrainState,
    steps: int,
    callback: Callback | None = None,
) -> Result:
    return loop(state, *rows, task.optimizer, steps=steps, callback=callback, **settings)


def _with_first_validation(begin: Checkpoint, go_on: Callable[..., Result]) -> Checkpoint:
    """Take the validation loss of the first parameters, which no step comes before."""
    if begin.state.step > 0:
        return begin
    first = go_on(begin.state, 0)
    losses = first.history.validation_loss
    return begin._replace(
        state=first.state, validation_loss=float(losses[0]) if len(losses) else None
    )


def _outcome(run: Callable[[], Result], keeper: Keeper) -> tuple[Params, dict[str, Any]]:
    """Parameters (host arrays) that a training found, and how it ended."""
    try:
        result = run()
        status, why = result.status.name.lower(), result.status.value
        if result.status is Status.STOPPED_BY_CALLBACK:
            status = why = INTERRUPTED
        steps, params_step = result.steps, result.params_step
        keeper.finish(result.state)
    except DivergedError as error:
        result, status, why = error, "diverged", error.why
        steps, params_step = error.step, max(0, error.step - 1)
    facts = {"status": status, "why": why, "steps": steps, "params_step": params_step}
    return jax.device_get(result.params), facts


def _check_sample(parts: Parts | StreamedParts, config: TrainConfig) -> Report:
    """Judge the gradient on a sample of the rows, weighted as in training, where nothing is 0."""
    rng = np.random.default_rng(config.seed)
    rows = parts.sample(rng)
    return check_gradient_at(*odd_point(rows, rng), sample_weight=rows.weight, l2=config.l2)
