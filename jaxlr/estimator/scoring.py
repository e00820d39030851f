"""Scores of the models of a cross-validation on the rows that each has not seen."""

import inspect
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import get_scorer, make_scorer
from sklearn.utils.validation import _check_method_params

from jaxlr.estimator.grid import Fold, Grid, check_weight
from jaxlr.estimator.inputs import Labelled
from jaxlr.estimator.logistic import LogisticRegression
from jaxlr.estimator.penalty import Penalty


class OutOfFold(LogisticRegression):
    """One model of many, whose linear predictors of the rows to score are known already."""

    def know(self, X: Any, z: np.ndarray) -> Self:
        """Remember the linear predictors z of the rows X."""
        self._rows, self._z = X, z
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return what is known of these very rows; of any others as ever."""
        return self._z if X is self._rows else super().decision_function(X)


def score_grid(
    grid: Grid,
    rows: Labelled,
    folds: Sequence[Fold],
    penalties: Sequence[Penalty],
    scoring: Any,
    params: dict[str, Any],
) -> np.ndarray:
    """Score every model (F, M) on the test rows of its fold; by accuracy without ``scoring``.

    ``rows`` have the weights that were passed to ``fit``. All models of a fold share one product
    with its rows.
    """
    scorer = None if scoring is None else _with_labels(get_scorer(scoring), rows.classes)
    scores = []
    for f, (_, test) in enumerate(folds):
        seen = rows.part(test)
        z = _predictors(grid, f, seen.X)
        if scorer is None or "sample_weight" in params:
            check_weight(rows, test, f"test on in fold {f}")
        if scorer is None:
            scores.append(_accuracies(z, seen))
            continue
        own = _check_method_params(X=rows.X, params=params, indices=test)
        models = (_model(grid, f, k, rows.classes, p) for k, p in enumerate(penalties))
        known = (model.know(seen.X, z[k]) for k, model in enumerate(models))
        scores.append([scorer(model, seen.X, seen.y, **own) for model in known])
    return np.array(scores)


def _predictors(grid: Grid, f: int, X: Any) -> np.ndarray:
    """Linear predictors (M, n), or (M, n, K), of the models of fold f, in one product."""
    M, m, d = grid.coef[f].shape
    W = grid.coef[f].reshape(M * m, d).T.astype(X.dtype)
    if isinstance(X, jax.Array):  # where an accelerator would take three digits of each factor
        z = np.asarray(jnp.matmul(X, W, precision=jax.lax.Precision.HIGHEST))
    else:
        z = X @ W
    z = np.moveaxis(z.reshape(-1, M, m) + grid.intercept[f].astype(z.dtype), 1, 0)
    return z[:, :, 0] if m == 1 else z


def _accuracies(z: np.ndarray, seen: Labelled) -> np.ndarray:
    codes = z > 0 if z.ndim == 2 else z.argmax(axis=2)
    return np.average(codes == seen.codes, axis=1, weights=seen.s)


def _model(grid: Grid, f: int, k: int, classes: np.ndarray, penalty: Penalty) -> OutOfFold:
    model: Any = OutOfFold(C=penalty.C, l1_ratio=penalty.l1_ratio)
    model.classes_, model.n_features_in_ = classes, grid.coef.shape[-1]
    model.coef_, model.intercept_ = grid.coef[f, k], grid.intercept[f, k]
    return model


def _with_labels(scorer: Any, classes: np.ndarray) -> Any:
    """Tell a scorer that asks for labels of all classes: a fold may lack some."""
    function = getattr(scorer, "_score_func", None)
    asks = inspect.signature(function).parameters if function is not None else {}
    if "labels" not in asks:
        return scorer
    known: dict[str, Any] = {"labels": classes}
    if len(classes) == 2 and "pos_label" in asks:
        known["pos_label"] = classes[-1]
    return make_scorer(
        function,
        greater_is_better=scorer._sign == 1,
        response_method=scorer._response_method,
        **known | scorer._kwargs,
    )
