"""One training run from config to run folder."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr import core
from jaxlr.check import Report
from jaxlr.core import Params
from jaxlr.data import Dataset
from jaxlr.run.config import TrainConfig
from jaxlr.run.crosscheck import check_gradient_at
from jaxlr.run.parts import Parts, devices_for, place, prepare
from jaxlr.run.result import Run, settle, write
from jaxlr.run.summary import facts, metrics_lines
from jaxlr.train import DivergedError, History, Progress, Status, train

_ROWS_CHECKED = 256
Callback = Callable[[Progress], bool | None]


class GradientCheckError(RuntimeError):
    """The hand-written gradient fails on these rows; nothing was trained. See ``.report``."""

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(f"the gradient check failed, so nothing was trained. {report}")


def run_training(
    config: TrainConfig,
    *,
    tell: Callable[[str], None] = lambda line: None,
    callback: Callback | None = None,
) -> Run:
    """Train as ``config`` says, and write the run folder.

    Parameters
    ----------
    config : TrainConfig
    tell : callable, optional
        Called with a line of text at each stage.
    callback : callable, optional
        As for `jaxlr.train`. A run that it stops is written like any other.

    Returns
    -------
    Run
        ``summary["status"]`` says how training ended: "steps_done", "stopped_early",
        "interrupted" (by the callback), or "diverged", with the last good parameters.

    Raises
    ------
    DataError, RunFolderError
        If the data cannot be used or the folder not be written; the message says why.
    GradientCheckError
        If the hand-written gradient does not pass the judge on a sample of the rows.

    Notes
    -----
    Where there are several devices and rows enough for each, they share the training rows of full
    batches. Sums are then rounded in another order, so that a model has the same bytes again on
    as many devices; ``summary["devices"]`` says on how many.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     run = run_training(TrainConfig(steps=300, out=f"{parent}/first"))
    ...     print(sorted(path.name for path in run.folder.iterdir()))
    ['config.toml', 'metrics.jsonl', 'params.safetensors', 'summary.json']
    >>> run.summary["test"]["accuracy"] > 0.95
    True
    """
    config, target = settle(config)
    with jax.enable_x64(config.dtype == "float64"):
        parts = prepare(config, tell, validation_fraction=config.validation_fraction)
        report = _check_sample(parts.train, config)
        tell(f"gradient check: {report.summary()}")
        if not report:
            raise GradientCheckError(report)
        trained = _train(parts, config, callback)
        summary = _summary(parts, trained, report)
    model = parts.model(trained.params, config)
    return write(target, config, model, metrics_lines(trained.history), summary)


class _Trained(NamedTuple):
    """How a run came out; its parameters (host arrays) are those after ``params_step`` steps."""

    status: str
    why: str
    params: Params
    steps: int
    params_step: int
    history: History
    seconds: float
    devices: Sequence[Any]


def _train(parts: Parts, config: TrainConfig, callback: Callback | None) -> _Trained:
    # A mini-batch is small, and its rows lie anywhere.
    devices = jax.devices()[:1] if config.batch_size else devices_for(parts.train)
    X, y, s = place(parts.train, devices)
    start = time.perf_counter()
    try:
        result = train(
            core.zeros(X.shape[1], X.dtype),
            X,
            y,
            config.make_optimizer(),
            sample_weight=s,
            steps=config.steps,
            batch_size=config.batch_size,
            l2=config.l2,
            key=jax.random.key(config.seed),
            validation=None if parts.validation is None else place(parts.validation, devices),
            validate_every=config.validate_every,
            patience=config.patience,
            callback=callback,
        )
        status, why = result.status.name.lower(), result.status.value
        if result.status is Status.STOPPED_BY_CALLBACK:
            status, why = "interrupted", "interrupted"
        steps, params_step = result.steps, result.params_step
    except DivergedError as error:
        result, status, why = error, "diverged", error.why
        steps, params_step = error.step, max(0, error.step - 1)
    return _Trained(
        status=status,
        why=why,
        params=jax.device_get(result.params),
        steps=steps,
        params_step=params_step,
        history=result.history,
        seconds=time.perf_counter() - start,
        devices=devices,
    )


def _summary(parts: Parts, trained: _Trained, report: Report) -> dict[str, Any]:
    return {
        "status": trained.status,
        "why": trained.why,
        "steps": trained.steps,
        "params_step": trained.params_step,
        "seconds": round(trained.seconds, 3),
        "gradient_check": report.summary(),
        **facts(trained.params, parts, trained.devices),
    }


def _check_sample(rows: Dataset, config: TrainConfig) -> Report:
    """Judge the gradient on a sample of the rows, at a point where nothing is zero."""
    m, d = rows.X.shape
    rng = np.random.default_rng(config.seed)
    index = np.sort(rng.choice(m, min(m, _ROWS_CHECKED), replace=False))
    w = rng.standard_normal(d) / np.sqrt(d)
    params = Params(jnp.asarray(w, rows.X.dtype), jnp.asarray(0.5, rows.X.dtype))
    X, y = jax.device_put(rows.X[index]), jax.device_put(rows.y[index])
    return check_gradient_at(params, X, y, l2=config.l2)
