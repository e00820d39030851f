"""From scikit-learn's parameters to the solver's, and back to coefficients with a certificate."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr.core import Params
from jaxlr.estimator.inputs import Labelled, rounded_up
from jaxlr.estimator.penalty import Penalty
from jaxlr.solve import (
    Certificate,
    FitStatus,
    HostFit,
    compiles_for_shape,
    fit,
    fit_on_host,
    suits_host,
)

_FREE = 1e-10  # what Newton's last step reaches anyway where a problem is small
_SMALL = 1e6  # numbers in X that are read in no time
_ROUNDING = 1e-14  # of a gradient
_RESOLVED = 64 * np.finfo(np.float64).eps  # nats, of which scikit-learn's lbfgs sees nothing either

Found = tuple[Params, Sequence[Certificate]]


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
    K = len(rows.classes)
    if init is not None and K == 2:
        init = Params(init.w[0], init.b[0])
    how = penalty, settings, init
    if is_small(rows, penalty):  # where the way is not plain, a Newton matrix tells why
        found = _on_host(rows, *how) or _by_rows(rows.dense(), *how)
    else:
        found = _by_rows(rows, *how)
    (w, b), certificate = found
    return Solved(np.atleast_2d(w), np.atleast_1d(b), judge(certificate, settings.tol))


def is_small(rows: Labelled, penalty: Penalty) -> bool:
    """Whether the host solves this quickest."""
    on_host = not isinstance(rows.X, jax.Array)
    return on_host and suits_host(*rows.shape, len(rows.classes)) and not penalty.has_l1


def _on_host(
    rows: Labelled, penalty: Penalty, settings: Settings, init: Params | None
) -> HostFit | None:
    return fit_on_host(
        rows.X,
        rows.codes,
        n_classes=len(rows.classes),
        l2=penalty.factors(rows.total)[1],
        sample_weight=rows.s,
        fit_intercept=settings.fit_intercept,
        tol=settings.goal(rows.X),
        raw_tol=settings.tol if settings.max_iter else np.inf,
        max_steps=settings.max_iter,
        init=init,
    )


def _by_rows(
    rows: Labelled, penalty: Penalty, settings: Settings, init: Params | None
) -> tuple[Params, Certificate]:
    l1, l2 = penalty.factors(rows.total)
    K = len(rows.classes)
    if compiles_for_shape(rows.X, None if K == 2 else K, has_l1=penalty.has_l1):
        rows = rounded_up(rows)
    y, more = labels(rows)
    more |= {"l1": l1} if l1 else {}

    def attempt(goal: float, init: Params | None, max_steps: int) -> Found:
        found = fit(
            rows.X,
            y,
            l2=l2,
            sample_weight=rows.s,
            fit_intercept=settings.fit_intercept,
            tol=goal,
            max_steps=max_steps,
            init=init,
            **more,
        )
        return found.params, [found.certificate]

    params, (certificate,) = tighten(attempt, rows, settings, init)
    return params, certificate


def labels(rows: Labelled) -> tuple[np.ndarray, dict[str, Any]]:
    """Labels as the solver takes them, and how it is told of more than two classes."""
    K = len(rows.classes)
    return (rows.codes == 1, {}) if K == 2 else (rows.codes, {"n_classes": K})


def tighten(
    attempt: Callable[[float, Params | None, int], Found],
    rows: Labelled,
    settings: Settings,
    init: Params | None = None,
) -> Found:
    """Solve, and again with a smaller goal where large features make ``tol`` a harder one.

    The solver's goal is a gradient per standard deviation of a feature; ``attempt`` takes it,
    where to start, and how many steps it may take: together at most ``max_iter``.
    """
    goal = settings.goal(rows.X)
    params, certificates = attempt(goal, init, max(1, settings.max_iter))
    while goal > _ROUNDING and (loose := _loose(certificates, settings.tol)):
        left = settings.max_iter - max(c.steps for c in certificates)
        if left <= 0:
            break
        before, goal = certificates, max(0.3 * goal * settings.tol / max(loose), _ROUNDING)
        params, certificates = attempt(goal, params, left)
        certificates = [  # what led to the start counts
            now._replace(steps=now.steps + then.steps, reads=now.reads + then.reads)
            for now, then in zip(certificates, before, strict=True)
        ]
    return params, certificates


def _loose(certificates: Sequence[Certificate], tol: float) -> list[float]:
    """Raw gradients of the fits that the solver was content with too soon."""
    return [c.raw_gradient for c in certificates if c.converged and not judge(c, tol).converged]


def judge(certificate: Certificate, tol: float) -> Certificate:
    """Say whether a fit has converged by the estimator's ``tol``, which the solver was not told.

    The largest entry of the gradient must be at most ``tol``, per unit of the features and per
    standard deviation; or the objective within rounding of its optimum. With L1 the duality gap is
    too wide a bound to tell: there the square of the gradient per standard deviation does.
    """
    c = certificate
    if c.status not in (FitStatus.CONVERGED, FitStatus.STOPPED):
        return c
    small = max(c.gradient, c.raw_gradient) <= tol
    distance = c.gradient**2 if c.has_l1 else abs(c.gap)
    there = small or distance <= _RESOLVED * max(abs(c.objective), 1.0)
    return c._replace(status=FitStatus.CONVERGED if there else FitStatus.STOPPED)
