"""`LogisticRegressionCV`: scikit-learn's, all folds and penalties in one solve."""

import warnings
from typing import Any, Self

import numpy as np
from sklearn import get_config, linear_model
from sklearn.base import _fit_context
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import _raise_for_params, process_routing

from jaxlr.estimator.advice import warn_of
from jaxlr.estimator.grid import check_folds, solve_grid
from jaxlr.estimator.inputs import on_host, take, weigh_classes
from jaxlr.estimator.penalty import Penalty, ratios_of
from jaxlr.estimator.predictions import Predictions
from jaxlr.estimator.scoring import score_grid
from jaxlr.estimator.search import Search
from jaxlr.estimator.solving import Settings, solve
from jaxlr.solve import Certificate, host_params


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

        Raises
        ------
        ValueError
            If shapes do not fit or a value is not finite, if there is one class only, if Cs or
            l1_ratios are none or out of range, or if a fold has no row to train on or to test on.
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
        check_folds(folds, rows)
        penalties = [Penalty(C, ratio) for ratio in ratios for C in Cs]
        grid = solve_grid(rows, folds, penalties, settings)
        scores = score_grid(grid, seen, folds, penalties, scoring, routed.scorer.score)
        search = Search.of(grid, scores, Cs, ratios, intercept=self.fit_intercept)

        # The best of it, in all rows or as the mean of what the folds found.
        penalty, *found = search.best(refit=self.refit)
        self.certificate_, certificates = None, list(grid.certificates)
        train = [numbers for numbers, _ in folds for _ in penalties]
        if self.refit:
            *found, self.certificate_ = solve(rows, penalty, settings, host_params(*found))
            certificates.append(self.certificate_)
            train.append(np.arange(len(rows.codes)))

        self.coef_, self.intercept_ = found
        self.classes_, self.Cs_, self.certificates_ = seen.classes, Cs, grid.certificates
        if legacy:
            attributes = search.legacy(penalty, seen.classes, given=given)
        else:
            attributes = search.simple(penalty, given=given)
        for name, value in attributes.items():
            setattr(self, name, value)
        warn_of(certificates, self, lambda k: rows.lacking(train[k]))
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
        if Cs.ndim != 1 or len(Cs) == 0 or not (Cs > 0).all():
            raise ValueError(
                f"Cs must be a number of values, or values above 0; got (Cs={self.Cs!r})"
            )
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
        asked: Any = getattr(self, "use_legacy_attributes", False)  # to be removed
        if asked != "warn":
            return bool(asked)
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
