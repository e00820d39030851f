"""One training run from config to run folder."""

import json
import math
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr import batch, core, data
from jaxlr.check import Report
from jaxlr.core import Params
from jaxlr.data import Dataset
from jaxlr.extras import extra
from jaxlr.run import folder
from jaxlr.run.config import FILE as CONFIG_FILE
from jaxlr.run.config import TrainConfig
from jaxlr.run.crosscheck import check_gradient_at
from jaxlr.run.model import FILE as MODEL_FILE
from jaxlr.run.model import Model
from jaxlr.train import DivergedError, History, Progress, train

_ROWS_CHECKED = 256


class GradientCheckError(RuntimeError):
    """The hand-written gradient fails on these rows; nothing was trained. See ``.report``."""

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(f"the gradient check failed, so nothing was trained. {report}")


class Run(NamedTuple):
    """A finished run: its folder, its model, and what ``summary.json`` says."""

    folder: Path
    model: Model
    summary: dict[str, Any]


def run_training(
    config: TrainConfig,
    *,
    tell: Callable[[str], None] = lambda line: None,
    callback: Callable[[Progress], bool | None] | None = None,
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
        ``summary["status"]`` says how training ended; "diverged" comes with the last good
        parameters.

    Raises
    ------
    DataError, RunFolderError
        If the data cannot be used or the folder not be written; the message says why.
    GradientCheckError
        If the hand-written gradient does not pass the judge on a sample of the rows.

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
    target = config.folder(datetime.now().strftime("%Y%m%d-%H%M%S"))
    folder.check_free(target, overwrite=config.overwrite)
    with jax.enable_x64(config.dtype == "float64"):
        return _run(config, target, tell, callback)


def _run(
    config: TrainConfig,
    target: Path,
    tell: Callable[[str], None],
    callback: Callable[[Progress], bool | None] | None,
) -> Run:
    everything = data.load(
        config.data,
        target=config.target,
        exclude=config.exclude,
        positive=config.positive,
        dtype=config.dtype,
    )
    tell(_describe(everything))
    rows, test, held_out = _split(everything, config)
    mean, scale = _standardize(config.standardize, rows, test, held_out)
    parts = {"train": rows, "validation": held_out, "test": test}
    sizes = {name: len(part.y) for name, part in parts.items() if part is not None}
    tell("split: " + ", ".join(f"{size} rows to {name}" for name, size in sizes.items()))

    X, y = jax.device_put(rows.X), jax.device_put(rows.y)
    report = _check_sample(X, y, config)
    tell(f"gradient check: {report.summary()}")
    if not report:
        raise GradientCheckError(report)

    start = time.perf_counter()
    status, params, steps, params_step, history = _train(X, y, held_out, config, callback)
    seconds = time.perf_counter() - start

    model = Model.from_standardized(params, mean, scale, rows.features, rows.labels)
    summary = {
        "status": status,
        "steps": steps,
        "params_step": params_step,
        "seconds": round(seconds, 3),
        "train": evaluate(params, rows),
        "test": None if test is None else evaluate(params, test),
        "gradient_check": report.summary(),
        "data": {
            "name": rows.name,
            "rows": sizes,
            "features": len(rows.features),
            "labels": list(rows.labels),
        },
        "versions": {"jaxlr": version("jaxlr"), "jax": jax.__version__},
        "device": str(X.device),
    }
    files = {
        CONFIG_FILE: config.to_toml().encode(),
        MODEL_FILE: model.to_bytes(),
        "metrics.jsonl": _metrics(history).encode(),
        "summary.json": (json.dumps(_finite(summary), indent=2) + "\n").encode(),
    }
    folder.write(target, files, overwrite=config.overwrite)
    return Run(target, model, summary)


def _train(
    X: jax.Array,
    y: jax.Array,
    held_out: Dataset | None,
    config: TrainConfig,
    callback: Callable[[Progress], bool | None] | None,
) -> tuple[str, Params, int, int, History]:
    try:
        result = train(
            core.zeros(X.shape[1], X.dtype),
            X,
            y,
            config.make_optimizer(),
            steps=config.steps,
            batch_size=config.batch_size,
            l2=config.l2,
            key=jax.random.key(config.seed),
            validation=None if held_out is None else (held_out.X, held_out.y),
            validate_every=config.validate_every,
            patience=config.patience,
            callback=callback,
        )
    except DivergedError as error:
        return "diverged", error.params, error.step, max(0, error.step - 1), error.history
    status = result.status.name.lower()
    return status, result.params, result.steps, result.params_step, result.history


def evaluate(params: Params, rows: Dataset) -> dict[str, float | None]:
    """Loss (nats), accuracy, area under the ROC curve and Brier score of a model on rows.

    With soft labels, accuracy and the area are None; so is the area with one label only.
    """
    with extra("data"):
        from sklearn.metrics import roc_auc_score
    a = np.asarray(batch.probabilities(params, rows.X), np.float64)
    y = rows.y.astype(np.float64)
    hard = bool(np.isin(y, (0, 1)).all())
    both = hard and 0 < y.mean() < 1
    return {
        "loss": float(batch.loss(params, rows.X, rows.y)),
        "accuracy": float(np.mean((a >= 0.5) == y)) if hard else None,
        "roc_auc": float(roc_auc_score(y, a)) if both else None,
        "brier": float(np.mean((a - y) ** 2)),
    }


def _split(
    everything: Dataset, config: TrainConfig
) -> tuple[Dataset, Dataset | None, Dataset | None]:
    rows, test, held_out = everything, None, None
    if config.test_fraction:
        rows, test = data.split(rows, config.test_fraction, seed=config.seed)
    if config.validation_fraction:
        share = config.validation_fraction / (1 - config.test_fraction)
        rows, held_out = data.split(rows, share, seed=config.seed)
    return rows, test, held_out


def _standardize(
    wanted: bool, rows: Dataset, *others: Dataset | None
) -> tuple[np.ndarray, np.ndarray]:
    """Standardise all of them in place by the mean and standard deviation of ``rows``."""
    d, dtype = rows.X.shape[1], rows.X.dtype
    mean, scale = np.zeros(d, dtype), np.ones(d, dtype)
    if not wanted:
        return mean, scale
    mean[:] = rows.X.mean(axis=0, dtype=np.float64)
    scale[:] = rows.X.std(axis=0, dtype=np.float64)
    # A constant column stays constant: its deviation is rounding, and no scale.
    scale[scale <= 8 * np.finfo(dtype).eps * abs(mean)] = 1
    for part in (rows, *others):
        if part is not None:
            part.X[:] -= mean
            part.X[:] /= scale
    return mean, scale


def _check_sample(X: jax.Array, y: jax.Array, config: TrainConfig) -> Report:
    """Judge the gradient on a sample of the rows, at a point where nothing is zero."""
    rng = np.random.default_rng(config.seed)
    index = np.sort(rng.choice(len(X), min(len(X), _ROWS_CHECKED), replace=False))
    w = rng.standard_normal(X.shape[1]) / np.sqrt(X.shape[1])
    params = Params(jnp.asarray(w, X.dtype), jnp.asarray(0.5, X.dtype))
    return check_gradient_at(params, X[index], y[index], l2=config.l2)


def _describe(rows: Dataset) -> str:
    counts = [int(np.sum(rows.y == label)) for label in (0, 1)]
    soft = len(rows.y) - sum(counts)
    labels = ", ".join(
        f"label {i} = {name} ({count})"
        for i, (name, count) in enumerate(zip(rows.labels, counts, strict=True))
    )
    return f"data: {rows.name}, {len(rows.y)} rows x {len(rows.features)} features; {labels}" + (
        f", {soft} soft labels between them" if soft else ""
    )


def _metrics(history: History) -> str:
    """One JSON object for the parameters after each number of steps, 0 included."""
    validation = dict(zip(history.validation_step, history.validation_loss, strict=True))
    lines = []
    for t, (loss, norm) in enumerate(zip(history.loss, history.grad_norm, strict=True)):
        line = {"step": t, "loss": loss, "grad_norm": norm}
        if t in validation:
            line["validation_loss"] = validation[t]
        lines.append(line)
    if len(lines) in validation:  # after the last step, whose own loss nobody asked for
        lines.append({"step": len(lines), "validation_loss": validation[len(lines)]})
    return "".join(json.dumps(_finite(line)) + "\n" for line in lines)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
