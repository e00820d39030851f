"""`LogisticRegression`: scikit-learn's, to the optimum."""

from typing import Any, Self

import numpy as np
from sklearn import linear_model
from sklearn.base import _fit_context

from jaxlr.core import Params
from jaxlr.estimator.advice import warn_of
from jaxlr.estimator.callbacks import one_task
from jaxlr.estimator.inputs import Labelled, on_host, take, weigh_classes
from jaxlr.estimator.penalty import penalty_of, warn_of_jobs
from jaxlr.estimator.predictions import Predictions
from jaxlr.estimator.solving import Settings, solve
from jaxlr.solve import Certificate, host_params


class LogisticRegression(Predictions, linear_model.LogisticRegression):
    """Logistic regression with scikit-learn's parameters, solved to a certified optimum.

    ``min_w,b  C sum_i s_i L_i + l1_ratio ||w||_1 + (1 - l1_ratio)/2 ||w||^2``

    It is a ``sklearn.linear_model.LogisticRegression``: the parameters and what they may be are
    those of the installed release. The ones below differ in what they do.

    Parameters
    ----------
    C, l1_ratio, fit_intercept, class_weight, warm_start
        As in scikit-learn: ``C=np.inf`` is no penalty, ``class_weight="balanced"`` weighs
        classes by the inverse of their frequency.
    tol : float, default=1e-4
        Upper limit of the gradient of the mean loss: its largest entry, per unit of a feature as
        scikit-learn's lbfgs counts, and also per standard deviation of a feature. A gradient that
        rounding hides counts as reached: where the objective is within 1.4e-14 nats of its
        optimum. Small problems are solved to 1e-10, which costs no more.
    max_iter : int, default=100
        Largest number of steps.
    solver : str
        Any of scikit-learn's. All mean the same here: every penalty and any number of classes works
        with each, and the intercept is never penalised (as "liblinear" does there).
    penalty, dual, intercept_scaling, random_state, verbose, n_jobs
        Accepted. ``penalty`` and ``n_jobs`` are deprecated by scikit-learn; the others do nothing.

    Attributes
    ----------
    coef_, intercept_, classes_, n_iter_, n_features_in_, feature_names_in_
        As in scikit-learn; ``coef_`` has the type of X, float64 or float32.
    certificate_ : jaxlr.Certificate
        How good the coefficients are, recomputed in float64 (of float32 X before they are rounded
        to float32); its status says why it stopped.

    Notes
    -----
    X may be anything that scikit-learn takes, an array of JAX, or any object with ``__dlpack__``
    in memory of the CPU. float64 is solved in float64, whatever JAX's ``jax_enable_x64`` says.
    Without a penalty, labels that can be told apart without error have no optimum: coefficients are
    then those where that was seen, and a ``ConvergenceWarning`` says so.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from jaxlr.estimator import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> print(round(model.score(X, y), 3), model.certificate_.status.value)
    0.958 converged
    """

    certificate_: Certificate

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n, d)
            Features.
        y : array_like, shape (n,)
            Labels: numbers, booleans or strings.
        sample_weight : array_like, shape (n,), optional
            Weights, at least 0.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If shapes do not fit, a value is not finite, or there is one class only.
        """
        penalty = penalty_of(self)
        warn_of_jobs(getattr(self, "n_jobs", None))  # removed in scikit-learn 1.10
        seen = take(self, X, y, sample_weight)
        with one_task(self, seen.X, seen.y, sample_weight):
            rows = weigh_classes(seen, self.class_weight)
            solved = solve(rows, penalty, Settings.of(self), self._start(rows))
            self.classes_ = rows.classes
            self.coef_ = solved.coef.astype(rows.X.dtype)
            self.intercept_ = solved.intercept.astype(rows.X.dtype)
            self.n_iter_ = np.array([solved.certificate.steps], np.int32)
            self.certificate_ = solved.certificate
        warn_of([solved.certificate], self, lambda _: rows.lacking())
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of the predicted labels.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        """
        return super().score(X, on_host(y), on_host(sample_weight))

    def _start(self, rows: Labelled) -> Params | None:
        """Coefficients of the last fit, where that is where to start."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return None
        K = len(rows.classes)
        shape = (1 if K == 2 else K, rows.X.shape[1])
        w, b = np.asarray(self.coef_, np.float64), np.asarray(self.intercept_, np.float64)
        if w.shape != shape:
            raise ValueError(
                f"warm_start=True, but coef_ of the last fit has shape {w.shape}, and this one "
                f"needs {shape}: use a new estimator, or warm_start=False"
            )
        return host_params(w, b if self.fit_intercept else np.zeros(len(w)))
