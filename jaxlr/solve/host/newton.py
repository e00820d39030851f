"""Newton's method in NumPy, for data sets so small that compiling would cost more than solving.

The way is that of `jaxlr.solve.small`, in the parameters u of standardised features. The loss and
its derivatives at the linear predictors are those of `core`, compiled once for all data sets; the
products with X are NumPy's. Two classes have one row of parameters, K classes K::

    Z = A U'                 A = [(X - c) / r, 1]    (n, p)
    J = sum_i s_i L_i + 1/2 sum_kj penalty_j U_kj^2
    g = dZ' A + penalty U                            dZ_i = s_i dz_i
    H = sum_i s_i d2z_i (x) a_i a_i' + diag(penalty)

A softmax does not change when all its classes move alike. Those directions get the curvature of
the others, so that H can be inverted; g has no part in them, so no step goes there.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch, shard
from jaxlr.core import Params
from jaxlr.solve.certify import SMALL_GRADIENT, STILL_MOVING_ROWS, largest_of, status_of
from jaxlr.solve.clock import Clock
from jaxlr.solve.host.rows import Dense, Sparse, over_classes
from jaxlr.solve.newton import JITTER, curved
from jaxlr.solve.result import Certificate, host_params
from jaxlr.solve.scaling import Scaling
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
        problem = _Problem.of(X, y, n_classes, l2, sample_weight, intercept=fit_intercept)
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


class _Place(NamedTuple):
    """Parameters U (m, p), and there: J, gradient g (m, p), Newton's step.

    ``separates`` says that no finite optimum exists: all rows are on the side of their label, and
    no penalty holds the parameters back.
    """

    U: np.ndarray
    J: float
    g: np.ndarray
    step: np.ndarray
    separates: bool


class _Way(NamedTuple):
    """Where it ended, after how many steps and reads, and whether no step leads down from there."""

    place: _Place
    steps: int
    reads: int
    stuck: bool


class _Problem(NamedTuple):
    """Rows, labels y (n,), weights s (n,) of sum 1, penalties (p,), and m rows of parameters."""

    rows: Dense | Sparse
    y: np.ndarray
    s: np.ndarray
    penalty: np.ndarray
    scaling: Scaling
    m: int

    @classmethod
    def of(
        cls, X: Any, y: np.ndarray, K: int, l2: float, s: np.ndarray | None, *, intercept: bool
    ) -> "_Problem":
        share = np.full(len(y), 1 / len(y)) if s is None else s / s.sum()
        kind = Dense if isinstance(X, np.ndarray) else Sparse
        rows, scaling = kind.of(X, share, intercept=intercept)
        y = y.astype(np.int32 if K > 2 else np.float64)
        return cls(rows, y, share, scaling.penalty(np.array([l2]))[0], scaling, 1 if K == 2 else K)

    def start(self, init: Params | None) -> np.ndarray:
        if init is None:
            return np.zeros((self.m, self.scaling.size))
        w = np.asarray(init.w, np.float64).reshape(self.m, -1)
        b = np.asarray(init.b, np.float64).reshape(self.m)
        U = self.scaling.from_raw(w, b)
        return U - U.mean(axis=0) if self.m > 1 else U

    def raw(self, U: np.ndarray) -> Params:
        w, b = self.scaling.to_raw(U)
        return host_params(w, b) if self.m > 1 else host_params(w[0], b[0])

    def look(self, U: np.ndarray) -> _Place:
        """Read the rows at U."""
        Z = self.rows.predictors(U)
        terms = batch.terms_on_host(Z if self.m > 1 else Z[:, 0], self.y)
        dZ = self.s[:, None] * terms.dz.reshape(Z.shape)
        J = float(self.s @ terms.L + 0.5 * np.sum(self.penalty * U**2))
        g = self.rows.gradient(dZ) + self.penalty * U
        step = _newton_step(self._hessian(terms.d2z), g)
        if self.m > 1:  # what rounding has put in the direction that no g has a part in
            step -= step.mean(axis=0)
        return _Place(U, J, g, step, self._separates(Z))

    def _hessian(self, d2z: np.ndarray) -> np.ndarray:
        m, p = self.m, self.scaling.d + self.scaling.intercept
        bend = (self.s * d2z.reshape(len(d2z), -1).T).reshape(m, m, -1)
        H = over_classes(self.rows.moment, bend, p)
        _diagonal(H)[:] += np.tile(self.penalty, m)
        if m > 1:  # what all classes have in common: H by itself knows nothing of it
            common = _diagonal(H).reshape(m, p).mean(axis=0) / m
            np.einsum("jaka->jka", H.reshape(m, p, m, p))[:] += common  # a view
        return H

    def lacks_a_class(self) -> bool:
        """Whether no row has one of the classes, so that its intercept falls without end."""
        present = np.bincount(self.y.astype(int), self.s, max(2, self.m)) > 0
        return self.scaling.intercept and not present.all()

    def is_moving(self, place: _Place) -> bool:
        """Whether a step still moves rows far, without a penalty: labels may be told apart."""
        reach = abs(place.step).sum(axis=1).max() * np.sqrt(len(self.y))
        moving = reach > STILL_MOVING_ROWS and abs(place.g).max(initial=0) <= SMALL_GRADIENT
        return moving and not self.penalty.any() and not self.lacks_a_class()

    def _separates(self, Z: np.ndarray) -> bool:
        if self.penalty.any():
            return False
        Z, labels = Z[self.s > 0], self.y[self.s > 0]
        if self.m == 1:
            return bool(np.all(np.where(labels == 1, Z[:, 0], -Z[:, 0]) > 0))
        own = np.take_along_axis(Z, labels[:, None], axis=1)
        return bool(np.all(np.sum(own <= Z, axis=1) == 1))


def _newton_step(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """``-H^-1 g``, NaN where H is not positive definite."""
    from scipy.linalg import lapack  # a tenth of a second that `import jaxlr` spares

    solve: Any = lapack.dposv  # pyright: ignore[reportAttributeAccessIssue]

    H = curved(H[None])[0]
    root = np.sqrt(_diagonal(H))
    H = H / (root[:, None] * root)
    _diagonal(H)[:] += JITTER
    _, x, failed = solve(H, g.ravel() / root, lower=True, overwrite_a=True)
    return np.full_like(g, np.nan) if failed else -(x / root).reshape(g.shape)


def _diagonal(H: np.ndarray) -> np.ndarray:
    """View of the diagonal."""
    return H.reshape(-1)[:: len(H) + 1]


def _descend(problem: _Problem, U: np.ndarray, tol: float, max_steps: int) -> _Way | None:
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


def _certify(problem: _Problem, way: _Way, tol: float, clock: Clock) -> Certificate:
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
