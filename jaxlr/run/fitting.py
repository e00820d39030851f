"""Runs that go to the optimum: `run_fit` and `run_cv`, from config to run folder."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxlr import shard
from jaxlr.data import DataError, Stream
from jaxlr.run.config import CvConfig, FitConfig
from jaxlr.run.folds import rows_in_folds
from jaxlr.run.model import Model
from jaxlr.run.parts import Parts, Tell, devices_for, place, prepare
from jaxlr.run.result import Run, settle, write
from jaxlr.run.rows import load_rows, open_rows
from jaxlr.run.streamed import Counted, StreamedParts, survey, whole
from jaxlr.run.streamed.parts import TRAIN
from jaxlr.run.summary import facts, to_json
from jaxlr.solve import CrossValidation, Fit, cross_validate, fit, fit_stream
from jaxlr.solve.scaling import Scaling


def run_fit(config: FitConfig, *, tell: Tell = lambda line: None) -> Run:
    """Fit as ``config`` says, and write the run folder.

    Parameters
    ----------
    config : FitConfig
    tell : callable, optional
        Called with a line of text at each stage.

    Returns
    -------
    Run
        ``summary["certificate"]`` says how good the answer is, ``summary["why"]`` the same in
        words, and ``summary["coefficients"]`` lists them with their standard errors, of raw
        features.

    Raises
    ------
    DataError, RunFolderError
        If the data cannot be used or the folder not be written; the message says why.

    Notes
    -----
    Rows that need more memory than ``config.memory`` are streamed, by `jaxlr.fit_stream`; what is
    said of streams in `run_training` holds here too. Before the first step the file is read twice:
    to learn its columns and their moments, and for the sample, scales and counts of the solver.
    That second read is the first that the certificate counts. With rows held out for the test there
    is one more between the two, for the moments of the training rows alone. After the last step,
    the metrics and the standard errors read the file once each.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     run = run_fit(FitConfig(l2=0.01, out=f"{parent}/first"))
    >>> run.summary["status"], run.summary["train"]["accuracy"] > 0.98
    ('converged', True)
    """
    config, target = settle(config)
    with jax.enable_x64(config.dtype == "float64"):
        rows = open_rows(config, tell)
        if isinstance(rows, Stream):
            parts = survey(rows, config, tell) if config.test_fraction else whole(rows, config)
            devices, found = jax.devices()[:1], _fit_streamed(parts, config, tell)
        else:
            parts = prepare(rows, config, tell)
            devices = devices_for(parts.train)
            found = _fit_in_memory(parts, devices, config)
        model = parts.model(found.params, config)
        summary = {**_outcome(found, model), **facts(found.params, parts, devices)}
    return write(target, config, model, _metrics(found), summary)


def run_cv(config: CvConfig, *, tell: Tell = lambda line: None) -> Run:
    """Cross-validate as ``config`` says, and write the run folder of the refitted model.

    Parameters, errors and the rest of the summary are those of `run_fit`.

    Returns
    -------
    Run
        ``summary["penalties"]`` holds the table, ``summary["l2"]`` the penalty that was chosen.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     run = run_cv(CvConfig(l2=(0.001, 0.1), out=f"{parent}/first"))
    >>> run.summary["l2"]
    0.001
    """
    config, target = settle(config)
    with jax.enable_x64(config.dtype == "float64"):
        with shard.together():
            rows = load_rows(config, tell, why="cross-validation keeps all rows in memory")
            parts = prepare(rows, config, tell)
            m = parts.sizes()["train"]
            if config.folds > m:
                raise DataError(f"{parts.train.name}: {m} rows are fewer than {config.folds} folds")
        X, y, s, folds = rows_in_folds(parts.train, config)
        found = cross_validate(
            X,
            y,
            sample_weight=s,
            l2=np.array(config.l2),
            folds=folds,
            choose=config.choose,
            tol=config.tol,
            max_steps=config.max_steps,
            seed=config.seed,
        )
        refit = found.refit
        model = parts.model(refit.params, config)
        summary = {
            **_outcome(refit, model),
            "l2": config.l2[found.chosen],
            "penalties": _table(found),
            "folds_not_converged": sum(not c.converged for c in found.fits.certificates),
            **facts(refit.params, parts, shard.devices_of_hosts(1)),
        }
    return write(target, config, model, _metrics(refit), summary)


def _fit_in_memory(parts: Parts, devices: Sequence[Any], config: FitConfig) -> Fit:
    X, y, s = place(parts.train, devices)
    return fit(X, y, sample_weight=s, l2=config.l2, **_settings(config))


def _fit_streamed(parts: StreamedParts, config: FitConfig, tell: Tell) -> Fit:
    rows = parts.part(TRAIN)
    rows = Counted(rows, tell) if parts.division.is_whole else rows
    return fit_stream(rows, l2=config.l2, memory=parts.memory // 2, **_settings(config))


def _settings(config: FitConfig) -> dict[str, Any]:
    return {"tol": config.tol, "max_steps": config.max_steps, "method": config.method}


def _outcome(found: Fit, model: Model) -> dict[str, Any]:
    certificate = found.certificate._asdict()
    certificate["status"] = found.certificate.status.name.lower()
    features = model.features
    certificate["runaway"] = [
        found.certificate.name_of(j, features) for j in certificate["runaway"]
    ]
    return {
        "status": certificate["status"],
        "why": found.certificate.describe(features),
        "certificate": certificate,
        "coefficients": _coefficients(found, model),
    }


def _coefficients(found: Fit, model: Model) -> list[dict[str, Any]]:
    """Coefficients of raw features, the intercept last, with standard errors where there are."""
    values = np.append(model.w, model.b)
    try:
        to_raw = Scaling(model.mean[None], model.scale[None], intercept=True).derivative()
        errors = np.sqrt(np.diag(to_raw @ found.covariance() @ to_raw.T)).tolist()
    except DataError:  # the file, which is read once more
        raise
    except ValueError:  # there are none; `why` says so where it is the fit's fault
        errors = [None] * len(values)
    names = [*model.features, "(intercept)"]
    return [
        {"name": name, "value": value, "standard_error": error}
        for name, value, error in zip(names, values.tolist(), errors, strict=True)
    ]


def _metrics(found: Fit) -> str:
    lines = (
        dict(zip(found.history._fields, (v.item() for v in turn), strict=True))
        for turn in zip(*found.history, strict=True)
    )
    return "".join(to_json(line) + "\n" for line in lines)


def _table(found: CrossValidation) -> list[dict[str, Any]]:
    """Rows of the penalties; None is a score that these labels do not have."""
    columns: dict[str, Any] = {"l2": found.l2}
    for name in ("log_loss", "accuracy", "auc"):
        score = getattr(found, name)
        columns |= {name: score.mean, f"{name}_standard_error": score.standard_error}
    return [
        {name: None if math.isnan(v) else v for name, v in zip(columns, row, strict=True)}
        for row in np.column_stack(list(columns.values())).tolist()
    ]
