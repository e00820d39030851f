"""`cross_validate`: which penalty predicts best, all folds and penalties in one solve."""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.batch import Models, Rows
from jaxlr.core import Params
from jaxlr.solve.fit import fit
from jaxlr.solve.many import Fits, fit_many
from jaxlr.solve.result import Fit
from jaxlr.solve.rows import take_rows

_SCORES_AT_A_TIME = 1 << 24


class Score(NamedTuple):
    """One measure out of fold: its mean over folds and the standard error of that, (L,) each.

    ``folds`` (L, F) holds the single folds. NaN where the measure is not defined: accuracy and
    AUC with soft labels, AUC in a fold of one label; the mean is over the folds that have it.
    """

    mean: np.ndarray
    standard_error: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class CrossValidation:
    """Outcome of `jaxlr.cross_validate` for L penalties and F folds.

    Attributes
    ----------
    l2 : ndarray, shape (L,)
        Penalties, as given.
    log_loss, accuracy, auc : Score
        Out of fold; log-loss in nats.
    best : int
        Number of the penalty with the smallest log-loss.
    one_standard_error : int
        Number of the largest penalty whose log-loss is within one standard error of the best.
    chosen : int
        Which of these two was asked for.
    fold : ndarray, shape (n,)
        Fold of each row.
    fits : Fits
        The L F models: penalty by penalty within fold by fold.
    refit : Fit
        The model with the chosen penalty, on all rows.
    """

    l2: np.ndarray
    log_loss: Score
    accuracy: Score
    auc: Score
    best: int
    one_standard_error: int
    chosen: int
    fold: np.ndarray
    fits: Fits
    refit: Fit


def cross_validate(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l2: ArrayLike,
    l1_ratio: float | None = None,
    folds: int | ArrayLike = 5,
    choose: Literal["best", "one standard error"] = "best",
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
    seed: int = 0,
) -> CrossValidation:
    """Cross-validate the penalty of a logistic regression.

    Parameters
    ----------
    X, y, sample_weight, offset, fit_intercept, tol, max_steps
        As for `fit`.
    l2 : array_like, shape (L,)
        Penalties to compare.
    l1_ratio : float, optional
        Share of l1 in each of them, as for `fit`: 1 is the lasso.
    folds : int or array_like, shape (n,)
        Number of folds, drawn at random with the labels in the same proportions; or the fold of
        each row.
    choose : {"best", "one standard error"}
        Which penalty to refit.
    seed : int
        For the folds.

    Returns
    -------
    CrossValidation

    Raises
    ------
    ValueError
        As `fit`, and if there are fewer than two folds or a fold is empty.

    References
    ----------
    T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 7.10.

    Examples
    --------
    >>> import numpy as np, jaxlr
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3))
    >>> y = X[:, 0] + rng.logistic(size=200) > 0
    >>> cv = jaxlr.cross_validate(X, y, l2=[1e-3, 1e-2, 1e-1, 1.0])
    >>> print(cv.best, cv.one_standard_error, cv.auc.mean.round(2))
    1 2 [0.73 0.73 0.73 0.72]
    """
    if choose not in ("best", "one standard error"):
        raise ValueError(f"choose is {choose!r}: it must be 'best' or 'one standard error'")
    penalties = np.atleast_1d(np.asarray(l2, np.float64))
    if penalties.ndim != 1 or penalties.size == 0:
        raise ValueError(f"l2 has shape {penalties.shape}: pass one penalty or more, (L,)")
    fold = draw_folds(folds, shard.on_host(y), seed)
    names = np.unique(fold)
    F, L = len(names), len(penalties)
    weight = None if sample_weight is None else shard.on_host(sample_weight)
    for name in names:
        if weight is not None and not weight[fold == name].any():
            raise ValueError(f"no row of fold {name} weighs anything: there is nothing to score")
    settings: dict[str, Any] = {"fit_intercept": fit_intercept, "l1_ratio": l1_ratio}
    settings |= {"tol": tol, "max_steps": max_steps}
    rows = {"sample_weight": sample_weight, "offset": offset}
    with jax.enable_x64(True):  # on the device once, for all that follows
        taken = take_rows(X, y, sample_weight, offset)
    X = taken.X
    fits = fit_many(
        X, y, l2=np.tile(penalties, F), folds=(fold, np.repeat(names, L)), **rows, **settings
    )
    scores = np.full((3, L, F), np.nan)
    with jax.enable_x64(True):
        own, fold_of_own = _own(taken, fold)
        for f, name in enumerate(names):
            lanes, numbers = slice(f * L, (f + 1) * L), np.flatnonzero(fold_of_own == name)
            scores[:, :, f] = _out_of_fold(
                fits.params, lanes, own, numbers, apart=shard.is_elsewhere(X)
            )
    log_loss, accuracy, auc = (_score(of_folds) for of_folds in scores)
    best = int(np.argmin(log_loss.mean))
    limit = log_loss.mean[best] + log_loss.standard_error[best]
    within = np.flatnonzero(log_loss.mean <= limit)
    one_standard_error = int(within[np.argmax(penalties[within])])
    chosen = best if choose == "best" else one_standard_error
    refit = fit(X, y, l2=penalties[chosen], **rows, **settings)
    return CrossValidation(
        penalties, log_loss, accuracy, auc, best, one_standard_error, chosen, fold, fits, refit
    )


def draw_folds(folds: int | ArrayLike, y: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each row: labels in turn, so that each fold has its share of both."""
    if np.ndim(folds) == 1:
        fold = np.asarray(folds)
        if fold.shape != y.shape[:1]:
            raise ValueError(f"folds has shape {fold.shape}, but there are {len(y)} rows")
        if fold.dtype.kind == "f" and np.isnan(fold).any():
            raise ValueError(f"folds is nan in row {np.argmax(np.isnan(fold))} (counted from 0)")
        if len(np.unique(fold)) < 2:
            raise ValueError("folds has one fold only: two or more are needed")
        return fold
    count = int(folds)  # pyright: ignore[reportArgumentType]
    if count != folds or not 2 <= count <= len(y):
        raise ValueError(f"folds is {folds}: it must be a whole number from 2 to {len(y)}")
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int32)
    fold[order] = np.arange(len(y)) % count
    return fold


def _own(rows: Rows, fold: np.ndarray) -> tuple[Rows, np.ndarray]:
    """Rows that this process has, and their folds: of one process, all."""
    if not shard.is_elsewhere(rows.X):
        return rows, fold
    own = jax.tree.map(lambda v: jnp.asarray(shard.own_rows(v)), rows)
    return own, fold[shard.host_share(len(fold))]


def _out_of_fold(
    params: Params, lanes: slice, rows: Rows, numbers: np.ndarray, *, apart: bool
) -> np.ndarray:
    """Log-loss, accuracy and AUC (3, L) of the models ``lanes`` on the rows ``numbers``.

    With ``apart``, these are on several processes.
    """
    w, b = params.w[lanes], params.b[lanes]
    dtype = np.float64 if rows.X.dtype == np.float64 else np.float32
    models = Models(jnp.asarray(w, dtype), jnp.asarray(b, dtype))
    size = max(1, _SCORES_AT_A_TIME // (len(w) + rows.X.shape[1]))
    parts = [
        [np.asarray(v) for v in batch.scores(models, rows, jnp.asarray(numbers[i : i + size]))]
        for i in range(0, max(1, len(numbers)), size)
    ]
    whole = (np.concatenate(v, axis=1, dtype=np.float64) for v in zip(*parts, strict=True))
    s, y, z, L = (shard.join(v.T).T for v in whole) if apart else whole
    total = s.sum(axis=1)
    hard = np.isin(y[0], (0, 1)).all()
    right = np.sum(s * ((z >= 0) == (y == 1)), axis=1) / total if hard else np.nan
    each = [partial(_auc, *row) for row in zip(z, y, s, strict=True)]
    measures = np.sum(s * L, axis=1) / total, right, shard.in_threads(each) if hard else np.nan
    return np.stack([np.broadcast_to(v, len(w)) for v in measures])


def _auc(z: np.ndarray, y: np.ndarray, s: np.ndarray) -> float:
    """Area under the ROC curve: how often a row of label 1 is above one of label 0, ties half."""
    order = np.argsort(z)
    z, ones, zeros = z[order], (s * y)[order], (s * (1 - y))[order]
    first = np.append(0, np.flatnonzero(np.diff(z)) + 1)  # of each group of equal z
    ones, zeros = np.add.reduceat(ones, first), np.add.reduceat(zeros, first)
    below = np.cumsum(zeros) - zeros
    pairs = ones.sum() * zeros.sum()
    return float(np.sum(ones * (below + zeros / 2)) / pairs) if pairs > 0 else np.nan


def _score(of_folds: np.ndarray) -> Score:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of no fold at all the mean is NaN
        count = np.sum(~np.isnan(of_folds), axis=1)
        error = np.nanstd(of_folds, axis=1, ddof=1) / np.sqrt(count)
        return Score(np.nanmean(of_folds, axis=1), error, of_folds)
