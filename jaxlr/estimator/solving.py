"""From scikit-learn's parameters to the solver's, and back to coefficients with a certificate."""

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from jaxlr.core import Params
from jaxlr.estimator.inputs import Labelled
from jaxlr.estimator.penalty import Penalty
from jaxlr.solve import Certificate, FitStatus, fit, fit_on_host, suits_host

_FREE = 1e-10  # what Newton's last step reaches anyway where a problem is small
_SMALL = 1e6  # numbers in X that are read in no time
_RESOLVED = 64 * np.finfo(np.float64).eps  # nats, of which scikit-learn's lbfgs sees nothing either


class Settings(NamedTuple):
    """How to solve: scikit-learn's ``fit_intercept``, ``tol`` and ``max_iter``."""

    fit_intercept: bool
    tol: float
    max_iter: int

    @classmethod
    def of(cls, estimator: Any) -> "Settings":
        """Read them off an estimator."""
        return cls(estimator.fit_intercept, estimator.tol, estimator.max_iter)

    def goal(self, X: Any) -> float:
        """Return the gradient entry to ask of the solver; smaller than ``tol`` where that is free.

        Below 1e-12 it would be lost in rounding. Without a step to take, any will do.
        """
        if self.max_iter == 0:
            return 1e300
        free = _FREE if X.shape[0] * X.shape[1] <= _SMALL else np.inf
        return max(min(self.tol, free), 1e-12)


class Solved(NamedTuple):
    """Coefficients (1 or K, d), intercepts (1 or K,), in float64, and how good they are."""

    coef: np.ndarray
    intercept: np.ndarray
    certificate: Certificate


def solve(
    rows: Labelled, penalty: Penalty, settings: Settings, init: Params | None = None
) -> Solved:
    """Fit one model to all rows, from ``init`` (coefficients as in `Solved`) or from 0."""
    l1, l2 = penalty.factors(rows.total)
    K = len(rows.classes)
    if init is not None and K == 2:
        init = Params(init.w[0], init.b[0])
    found = None
    if l1 == 0 and not issparse(rows.X) and suits_host(*rows.X.shape, K):
        found = _on_host(rows, K, l2, settings, init)
    if found is None:
        found = _by_rows(rows, K, l1, l2, settings, init)
    (w, b), certificate = found
    certificate = judge(certificate, settings.tol)
    return Solved(np.atleast_2d(w), np.atleast_1d(b), certificate)


def _on_host(
    rows: Labelled, K: int, l2: float, settings: Settings, init: Params | None
) -> tuple[Params, Certificate] | None:
    return fit_on_host(
        rows.X,
        rows.codes,
        n_classes=K,
        l2=l2,
        sample_weight=rows.s,
        fit_intercept=settings.fit_intercept,
        tol=settings.goal(rows.X),
        raw_tol=settings.tol if settings.max_iter else np.inf,
        max_steps=settings.max_iter,
        init=init,
    )


def _by_rows(
    rows: Labelled, K: int, l1: float, l2: float, settings: Settings, init: Params | None
) -> tuple[Params, Certificate]:
    y, more = (rows.codes == 1, {}) if K == 2 else (rows.codes, {"n_classes": K})
    if l1:
        more["l1"] = l1
    goal = settings.goal(rows.X)
    while True:
        found = fit(
            rows.X,
            y,
            l2=l2,
            sample_weight=rows.s,
            fit_intercept=settings.fit_intercept,
            tol=goal,
            max_steps=max(1, settings.max_iter),
            init=init,
            **more,
        )
        certificate = found.certificate
        there = judge(certificate, settings.tol).converged or not certificate.converged
        if there or goal <= 1e-14 or settings.max_iter == 0:
            return found.params, certificate
        # Converged per deviation of a feature, and not yet per unit: features are large numbers.
        goal = max(0.3 * goal * settings.tol / certificate.raw_gradient, 1e-14)
        init = found.params


def judge(certificate: Certificate, tol: float) -> Certificate:
    """Say whether a fit has converged by the estimator's ``tol``, which the solver was not told.

    The largest entry of the gradient must be at most ``tol``, per unit of the features and per
    standard deviation; or the objective within rounding of its optimum.
    """
    status, J, gradient, raw, gap, *_ = certificate
    if status not in (FitStatus.CONVERGED, FitStatus.STOPPED):
        return certificate
    there = max(gradient, raw) <= tol or abs(gap) <= _RESOLVED * max(abs(J), 1.0)
    return certificate._replace(status=FitStatus.CONVERGED if there else FitStatus.STOPPED)
