"""`LogisticRegressionCV`: scikit-learn's, all folds and penalties in one solve."""

import warnings
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn import get_config, linear_model
from sklearn.base import _fit_context
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import _raise_for_params, process_routing

from jaxlr.core import Params
from jaxlr.estimator.advice import warn_of
from jaxlr.estimator.grid import Grid, solve_grid
from jaxlr.estimator.inputs import on_host, take, weigh_classes
from jaxlr.estimator.penalty import Penalty, ratios_of
from jaxlr.estimator.predictions import Predictions
from jaxlr.estimator.scoring import score_grid
from jaxlr.estimator.solving import Settings, solve
from jaxlr.solve import Certificate


class LogisticRegressionCV(Predictions, linear_model.LogisticRegressionCV):
    """Logistic regression whose C and l1_ratio are chosen by cross-validation, in one solve.

    It is a ``sklearn.linear_model.LogisticRegressionCV``: the parameters and what they may be are
    those of the installed release; ``tol``, ``solver``, ``n_jobs`` and ``verbose`` are as for
    `LogisticRegression`.

    Parameters
    ----------
    Cs : int or array_like, default=10
        Values of C to compare; a number means so many from 1e-4 to 1e4.
    l1_ratios : array_like
        Shares of L1 to compare.
    cv : int, splitter or iterable, default=None
        As in scikit-learn: 5 stratified folds.
    scoring : str or callable, default=None
        Any scorer; accuracy for None.
    refit : bool, default=True
        Fit the best C and l1_ratio to all rows; or else average the best of each fold.
    use_legacy_attributes : bool
        Shapes of the attributes of the search, as scikit-learn describes them.

    Attributes
    ----------
    C_, l1_ratio_, Cs_, l1_ratios_, scores_, coefs_paths_, n_iter_
        As in scikit-learn.
    coef_, intercept_, classes_, n_features_in_, feature_names_in_
        Of the chosen model, as in `LogisticRegression`, in float64.
    certificate_ : jaxlr.Certificate or None
        Of the chosen model; None with ``refit=False``.
    certificates_ : list of jaxlr.Certificate
        Of the search: fold by fold, within it l1_ratio by l1_ratio, within that C by C.

    Notes
    -----
    Where each row is tested once, folds are weights 0 and 1 on shared rows, and all models are
    solved together by `jaxlr.fit_many`: each read of X serves all of them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from jaxlr.estimator import LogisticRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegressionCV(
    ...     l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False
    ... ).fit(X, y)
    >>> print(round(model.C_, 2), model.scores_.shape, model.certificate_.status.value)
    166.81 (5, 1, 10) converged
    """

    certificate_: Certificate | None
    certificates_: list[Certificate]

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Search, and fit the model that was chosen.

        Parameters
        ----------
        X, y, sample_weight
            As for `LogisticRegression.fit`.
        **params
            For the splitter and the scorer, where metadata routing is on.

        Returns
        -------
        self
        """
        _raise_for_params(params, self, "fit")
        ratios, given = ratios_of(self)
        scoring, legacy = self._scoring(), self._legacy()
        settings, Cs = Settings.of(self), self._Cs()
        seen = take(self, X, y, sample_weight)
        routed = self._routed(sample_weight, params)
        chosen: Any = self.cv
        cv: Any = check_cv(chosen, seen.y, classifier=True)
        folds = list(cv.split(seen.X, seen.y, **routed.splitter.split))

        # One grid of models for all folds; the weights of classes are those of all rows.
        rows = weigh_classes(seen, self.class_weight)
        penalties = [Penalty(C, ratio) for ratio in ratios for C in Cs]
        grid = solve_grid(rows, folds, penalties, settings)
        scores = score_grid(grid, seen, folds, penalties, scoring, routed.scorer.score)
        search = _Search.of(grid, scores, Cs, ratios, intercept=self.fit_intercept)

        # The best of it.
        best = search.best(refit=self.refit)
        certificate = None
        coef, intercept = best.w[:, : seen.X.shape[1]], best.w[:, seen.X.shape[1] :].sum(axis=1)
        if self.refit:
            start: Any = Params(coef, intercept)  # pyright: ignore[reportArgumentType]
            coef, intercept, certificate = solve(rows, best.penalty, settings, start)

        self.classes_, self.Cs_ = seen.classes, Cs
        self.coef_, self.intercept_ = coef, intercept
        self.certificate_, self.certificates_ = certificate, grid.certificates
        attributes = search.legacy if legacy else search.simple
        for name, value in attributes(best.penalty, seen.classes, given=given).items():
            setattr(self, name, value)
        warn_of([*grid.certificates, *([certificate] if certificate else [])], self)
        return self

    def score(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Any, *, sample_weight: Any = None, **score_params: Any
    ) -> float:
        """Score predictions by ``scoring``, or their accuracy.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        **score_params
            For the scorer, where metadata routing is on.
        """
        y, sample_weight = on_host(y), on_host(sample_weight)
        return super().score(on_host(X), y, sample_weight=sample_weight, **score_params)

    def _Cs(self) -> np.ndarray:
        Cs = np.logspace(-4, 4, self.Cs) if np.ndim(self.Cs) == 0 else np.asarray(self.Cs, float)
        if not (Cs > 0).all():
            raise ValueError(f"Cs must be above 0; got (Cs={self.Cs!r})")
        return Cs

    def _scoring(self) -> Any:
        if not (isinstance(self.scoring, str) and self.scoring == "warn"):
            return self.scoring
        warnings.warn(
            "The default value of the parameter 'scoring' will change from None, i.e. accuracy, to "
            "'neg_log_loss' in version 1.11 of scikit-learn. To silence this warning, set it.",
            FutureWarning,
            stacklevel=4,
        )
        return None

    def _legacy(self) -> bool:
        if self.use_legacy_attributes != "warn":
            return bool(self.use_legacy_attributes)
        warnings.warn(
            "The default value of use_legacy_attributes will change from True to False in version "
            "1.10 of scikit-learn, where fitted attributes are simpler. Set it to False to have "
            "that now, or to True to keep them as they are and to silence this warning.",
            FutureWarning,
            stacklevel=4,
        )
        return True

    def _routed(self, sample_weight: Any, params: dict[str, Any]) -> Bunch:
        """Say what the splitter and the scorer are passed."""
        if get_config()["enable_metadata_routing"]:
            routed: Any = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return routed
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return Bunch(splitter=Bunch(split={}), scorer=Bunch(score=params | weights))


class _Best(NamedTuple):
    """The penalty that was chosen, averages with ``refit=False``, and coefficients (m, p)."""

    penalty: Penalty
    w: np.ndarray


class _Search(NamedTuple):
    """What a cross-validation found, for F folds, R shares of L1 and values of C (L,).

    ``scores`` and ``n_iter`` (F, R, L), and ``paths`` (F, R, L, m, p): coefficients, the intercept
    last.
    """

    Cs: np.ndarray
    ratios: np.ndarray
    scores: np.ndarray
    n_iter: np.ndarray
    paths: np.ndarray

    @classmethod
    def of(
        cls, grid: Grid, scores: np.ndarray, Cs: np.ndarray, ratios: list[float], *, intercept: bool
    ) -> "_Search":
        w = [grid.coef, grid.intercept[..., None]] if intercept else [grid.coef]
        paths = np.concatenate(w, axis=-1)
        shape = len(scores), len(ratios), len(Cs)
        steps = np.array([c.steps for c in grid.certificates], np.int32)
        return cls(
            Cs,
            np.array(ratios),
            scores.reshape(shape),
            steps.reshape(shape),
            paths.reshape(*shape, *paths.shape[2:]),
        )

    def best(self, *, refit: bool) -> _Best:
        """Choose by the sum of the scores of all folds; or in each, and average."""
        by_C = self.scores.swapaxes(1, 2)  # of equal scores the first C is taken
        F, L, R = by_C.shape
        if refit:
            C, ratio = np.unravel_index(np.argmax(by_C.sum(axis=0)), (L, R))
            return _Best(Penalty(self.Cs[C], self.ratios[ratio]), self.paths[:, ratio, C].mean(0))
        C, ratio = np.unravel_index(np.argmax(by_C.reshape(F, -1), axis=1), (L, R))
        penalty = Penalty(float(np.mean(self.Cs[C])), float(np.mean(self.ratios[ratio])))
        return _Best(penalty, self.paths[np.arange(F), ratio, C].mean(axis=0))

    def simple(self, best: Penalty, classes: np.ndarray, *, given: bool) -> dict[str, Any]:
        """Attributes with ``use_legacy_attributes=False``."""
        return {
            "C_": float(best.C),
            "l1_ratio_": float(best.l1_ratio),
            "l1_ratios_": self.ratios if given else np.array([None]),
            "scores_": self.scores,
            "n_iter_": self.n_iter,
            "coefs_paths_": self.paths,
        }

    def legacy(self, best: Penalty, classes: np.ndarray, *, given: bool) -> dict[str, Any]:
        """Attributes with ``use_legacy_attributes=True``: most of them once for each class."""
        names = classes[1:] if len(classes) == 2 else classes
        C, ratio = np.full(len(names), best.C), np.full(len(names), best.l1_ratio)
        scores, n_iter = self.scores.swapaxes(1, 2), self.n_iter.swapaxes(1, 2)[None]
        paths = np.moveaxis(self.paths, 3, 0).swapaxes(2, 3)  # (m, F, L, R, p)
        if not given:
            scores, n_iter, paths = scores[:, :, 0], n_iter[..., 0], paths[:, :, :, 0]
        return {
            "C_": C,
            "l1_ratio_": ratio if given else np.full(len(names), None),
            "l1_ratios_": self.ratios if given else np.array([None]),
            "scores_": dict.fromkeys(names, scores),
            "n_iter_": n_iter,
            "coefs_paths_": dict(zip(names, paths, strict=True)),
        }
