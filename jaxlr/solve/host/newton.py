"""Newton's method in NumPy, for data sets so small that compiling would cost more than solving.

The way is that of `jaxlr.solve.small`, and with l1 that of `jaxlr.solve.proximal`. The loss and its
derivatives at the linear predictors are those of `core`, compiled once for all data sets; the
products with X are NumPy's.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import shard
from jaxlr.core import Params
from jaxlr.solve.clock import Clock
from jaxlr.solve.host.descent import Way, descend
from jaxlr.solve.host.gap import duality_gap
from jaxlr.solve.host.problem import Place, Problem
from jaxlr.solve.proximal.penalty import Penalty
from jaxlr.solve.result import PROXIMAL, Certificate, FitStatus
from jaxlr.solve.steps import WIDE

_NUMBERS = 2e6  # in X, or in what the classes make of it: more are read faster by all cores
_WORK = 3e8  # multiplications for one Hessian


class HostFit(NamedTuple):
    """Parameters as those of a `Fit`, and their certificate."""

    params: Params
    certificate: Certificate


def suits_host(n: int, d: int, n_classes: int = 2) -> bool:
    """Whether a data set is so small that `fit_on_host` is the quickest way.

    Examples
    --------
    >>> print(suits_host(150, 4, 3), suits_host(100_000, 50))
    True False
    """
    m = 1 if n_classes == 2 else n_classes
    return n * (d + m * m) <= _NUMBERS and n * (d * m) ** 2 + (d * m) ** 3 <= _WORK


def fit_on_host(
    X: Any,
    y: np.ndarray,
    *,
    n_classes: int = 2,
    l2: float = 0.0,
    l1: float = 0.0,
    sample_weight: np.ndarray | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-10,
    raw_tol: float = np.inf,
    max_steps: int = 1000,
    init: Params | None = None,
) -> HostFit | None:
    """Fit one model to a small data set that lies in the host's memory.

    Parameters
    ----------
    X : ndarray or sparse matrix of SciPy, shape (n, d)
        Finite features, solved in float64 whatever their type.
    y : ndarray, shape (n,)
        Class numbers.
    n_classes, l2, l1, sample_weight, fit_intercept, tol, max_steps, init
        As for `fit`, and taken as they are: nothing is checked.
    raw_tol : float
        Largest entry that the gradient by w and b themselves may have.

    Returns
    -------
    HostFit or None
        None where the way is not plain: a matrix is singular, or some labels may be told apart
        without error. `fit` finds out.

    Examples
    --------
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    >>> w, b = fit_on_host(X, y).params
    >>> print(w.round(4), b.round(4))
    [0.9082] -1.3623
    """
    with Clock() as clock, jax.enable_x64(True), jax.default_device(shard.host_device()):
        problem = Problem.of(X, y, n_classes, (l1, l2), sample_weight, intercept=fit_intercept)
        reach = float(np.max(problem.scaling.scale + abs(problem.scaling.center), initial=1.0))
        tol = max(min(tol, raw_tol / reach), WIDE.gradient)
        way = descend(problem, problem.start(init), tol, max_steps)
        if way is None or (not way.place.separates and problem.is_moving(way.place)):
            return None
        return HostFit(problem.raw(way.place.U), _certify(problem, way, tol, clock))


def _certify(problem: Problem, way: Way, tol: float, clock: Clock) -> Certificate:
    place, lacks_a_class = way.place, problem.lacks_a_class()
    gradient = float(place.size.max(initial=0))
    status = FitStatus.CONVERGED if gradient <= tol else FitStatus.STOPPED
    runaway: tuple[int, ...] = ()
    if lacks_a_class:
        status, runaway = FitStatus.SEPARATED, (-1,)
    elif place.separates:
        status, runaway = FitStatus.SEPARATED, _largest(problem, place.U)
    newton = float(-0.5 * np.sum(place.g * place.step))
    return Certificate(
        status=status,
        objective=place.J,
        gradient=gradient,
        raw_gradient=_raw_gradient(problem, place),
        gap=duality_gap(problem, place) if problem.has_l1 else newton,
        steps=way.steps,
        reads=float(1 + way.reads + problem.has_l1),
        method=PROXIMAL if problem.has_l1 else "newton",
        compile_seconds=clock.compile,
        run_seconds=clock.run,
        runaway=runaway,
        one_label=lacks_a_class,
        stuck=way.stuck,
    )


def _raw_gradient(problem: Problem, place: Place) -> float:
    """Largest entry of the gradient by w and b, or with l1 of their conditions' violation."""
    scaling, d = problem.scaling, problem.scaling.d
    dw, db = scaling.raw_gradient(place.g)
    violation = abs(dw)
    if problem.has_l1:
        l1 = problem.penalty.l1[:d] * scaling.scale[0]
        violation = Penalty(l1, np.zeros(d)).violation(place.U[:, :d], dw)
    return float(max(violation.max(initial=0), abs(db).max(initial=0)))


def _largest(problem: Problem, U: np.ndarray) -> tuple[int, ...]:
    """Columns that matter most, the largest first; -1 is the intercept."""
    d = problem.scaling.d
    size = abs(U).max(axis=0)
    order = np.argsort(-size)
    return tuple(-1 if j == d else int(j) for j in order if size[j] > 0.1 * size[order[0]])
