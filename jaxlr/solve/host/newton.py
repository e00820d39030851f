"""Newton's method in NumPy, for data sets so small that compiling would cost more than solving.

The way is that of `jaxlr.solve.small`; what it reads stands in `jaxlr.solve.host.problem`.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import shard
from jaxlr.core import Params
from jaxlr.solve.certify import largest_of, status_of
from jaxlr.solve.clock import Clock
from jaxlr.solve.host.problem import Place, Problem
from jaxlr.solve.result import Certificate
from jaxlr.solve.steps import WIDE, is_good, shortened

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
    n_classes, l2, sample_weight, fit_intercept, tol, max_steps, init
        As for `fit`, and taken as they are: nothing is checked.
    raw_tol : float
        Largest entry that the gradient by w and b themselves may have.

    Returns
    -------
    HostFit or None
        None where the way is not plain: a matrix is singular, a penalty infinite, or some labels
        may be told apart without error. `fit` finds out.

    Examples
    --------
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    >>> w, b = fit_on_host(X, y).params
    >>> print(w.round(4), b.round(4))
    [0.9082] -1.3623
    """
    with Clock() as clock, jax.enable_x64(True), jax.default_device(shard.host_device()):
        problem = Problem.of(X, y, n_classes, l2, sample_weight, intercept=fit_intercept)
        if not np.isfinite(problem.penalty).all():
            return None
        reach = float(np.max(problem.scaling.scale + abs(problem.scaling.center), initial=1.0))
        tol = max(min(tol, raw_tol / reach), WIDE.gradient)
        way = _descend(problem, problem.start(init), tol, max_steps)
        if (
            way is None
            or (init is not None and way.stuck)
            or (not way.place.separates and problem.is_moving(way.place))
        ):
            return None
        return HostFit(problem.raw(way.place.U), _certify(problem, way, tol, clock))


class _Way(NamedTuple):
    """Where it ended, after how many steps and reads, and whether no step leads down from there."""

    place: Place
    steps: int
    reads: int
    stuck: bool


def _descend(problem: Problem, U: np.ndarray, tol: float, max_steps: int) -> _Way | None:
    """Take Newton's steps until the gradient is small; None where there is none to take."""
    here, steps, reads, t = problem.look(U), 0, 1, 1.0
    while np.isfinite(here.step).all():
        stuck = t < WIDE.shortest
        small = abs(here.g).max(initial=0) <= tol
        if small or stuck or here.separates or steps == max_steps:
            return _Way(here, steps, reads, stuck)
        there = problem.look(here.U + t * here.step)
        reads += 1
        down, up = np.sum(here.g * here.step), np.sum(there.g * here.step)
        if is_good(np.float64(here.J), np.float64(there.J), down, up, WIDE):
            here, steps, t = there, steps + 1, 1.0
        else:
            t = float(shortened(np.float64(t), down, up))
    return None


def _certify(problem: Problem, way: _Way, tol: float, clock: Clock) -> Certificate:
    place, lacks_a_class = way.place, problem.lacks_a_class()
    gradient = float(abs(place.g).max(initial=0))
    dw, db = problem.scaling.raw_gradient(place.g)
    runaway: tuple[int, ...] = ()
    if lacks_a_class:
        runaway = (-1,)
    elif place.separates:
        runaway = largest_of(abs(place.U).max(axis=0), problem.scaling.d)
    return Certificate(
        status=status_of(place.J, gradient, tol, separated=place.separates or lacks_a_class),
        objective=place.J,
        gradient=gradient,
        raw_gradient=float(max(abs(dw).max(initial=0), abs(db).max(initial=0))),
        gap=float(-0.5 * np.sum(place.g * place.step)),
        steps=way.steps,
        reads=float(1 + way.reads),
        method="newton",
        compile_seconds=clock.compile,
        run_seconds=clock.run,
        runaway=runaway,
        one_label=lacks_a_class,
        stuck=way.stuck,
    )
