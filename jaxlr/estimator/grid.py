"""All models of a cross-validation: folds times penalties, in one solve where they are large."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlr.core import Params
from jaxlr.estimator.inputs import Labelled
from jaxlr.estimator.penalty import Penalty
from jaxlr.estimator.solving import Found, Settings, is_small, judge, labels, solve, tighten
from jaxlr.solve import Certificate, fit_many

Fold = tuple[np.ndarray, np.ndarray]  # numbers of the rows to train on, and of those to test on


class Grid(NamedTuple):
    """Models of F folds and M penalties: coefficients (F, M, m, d), intercepts (F, M, m).

    ``certificates`` holds the F M of them, fold by fold; m is 1 for two classes, else K.
    """

    coef: np.ndarray
    intercept: np.ndarray
    certificates: list[Certificate]


def check_folds(folds: Sequence[Fold], rows: Labelled) -> None:
    """Raise ValueError where there is no fold, or one without rows to train on or to test on."""
    if not folds:
        raise ValueError("cv gives no folds: pass a number, a splitter, or pairs of row numbers")
    for f, (train, test) in enumerate(folds):
        check_weight(rows, train, f"train on in fold {f}")
        if len(rows.codes[test]) == 0:
            raise ValueError(f"cv: fold {f} has no row to test on: drop it, or use fewer folds")


def check_weight(rows: Labelled, numbers: np.ndarray, use: str) -> None:
    """Raise ValueError where none of some rows has a weight above 0."""
    if not rows.weights[numbers].any():
        raise ValueError(
            f"cv: no row to {use} weighs anything: use other folds (shuffled, or fewer), or drop "
            "the rows of weight 0"
        )


def solve_grid(
    rows: Labelled, folds: Sequence[Fold], penalties: Sequence[Penalty], settings: Settings
) -> Grid:
    """Fit each penalty to the training rows of each fold."""
    if all(is_small(rows, penalty) for penalty in penalties):
        return _one_by_one(rows, folds, penalties, settings)
    fold = _partition(len(rows.codes), folds)
    train = [_weights(len(rows.codes), numbers) for numbers, _ in folds]
    if fold is not None:
        found = [_together(rows, penalties, settings, train, fold)]
    else:  # rows are in the tests of several folds, or of none
        found = [_together(rows, penalties, settings, [s]) for s in train]
    w, b = (np.concatenate(v) for v in zip(*(params for params, _ in found), strict=True))
    shape = len(folds), len(penalties), 1 if len(rows.classes) == 2 else len(rows.classes)
    certificates = [judge(c, settings.tol) for _, several in found for c in several]
    return Grid(w.reshape(*shape, -1), b.reshape(shape), certificates)


def _one_by_one(
    rows: Labelled, folds: Sequence[Fold], penalties: Sequence[Penalty], settings: Settings
) -> Grid:
    of_folds = [rows.part(numbers) for numbers, _ in folds]
    solved = [[solve(part, penalty, settings) for penalty in penalties] for part in of_folds]
    return Grid(
        np.array([[one.coef for one in several] for several in solved]),
        np.array([[one.intercept for one in several] for several in solved]),
        [one.certificate for several in solved for one in several],
    )


def _together(
    rows: Labelled,
    penalties: Sequence[Penalty],
    settings: Settings,
    train: Sequence[np.ndarray],
    fold: np.ndarray | None = None,
) -> Found:
    """Solve the models of some folds, whose training rows have the weights ``train`` (n,)."""
    s = rows.weights
    totals = [float(np.sum(s * weight)) for weight in train]
    factors = np.array([p.factors(total) for total in totals for p in penalties])
    y, more = labels(rows)
    if factors[:, 0].any():
        more["l1"] = factors[:, 0]
    if fold is None:
        weights = s * train[0]
    else:
        weights, more["folds"] = rows.s, (fold, np.repeat(np.arange(len(train)), len(penalties)))

    def attempt(goal: float, init: Params | None, max_steps: int) -> Found:
        fits = fit_many(
            rows.X,
            y,
            l2=factors[:, 1],
            sample_weight=weights,
            fit_intercept=settings.fit_intercept,
            tol=goal,
            max_steps=max_steps,
            init=init,
            **more,
        )
        return fits.params, fits.certificates

    return tighten(attempt, rows, settings)


def _weights(n: int, numbers: np.ndarray) -> np.ndarray:
    """How often each of n rows is among ``numbers``, which may be a mask."""
    return np.bincount(np.arange(n)[numbers], minlength=n).astype(np.float64)


def _partition(n: int, folds: Sequence[Fold]) -> np.ndarray | None:
    """Fold (n,) of each row, -1 where it has none; None where that is not all there is to say."""
    fold = np.full(n, -1)
    for f, (_, test) in enumerate(folds):
        if (fold[test] != -1).any():
            return None
        fold[test] = f
    for f, (train, _) in enumerate(folds):
        if not np.array_equal(_weights(n, train), fold != f):
            return None
    return fold
