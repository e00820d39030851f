"""A small problem in NumPy, in the parameters u of standardised features: what it is at U.

The loss and its derivatives at the linear predictors are those of `core`, compiled once for all
data sets; the products with X are NumPy's. Two classes have one row of parameters, K classes K::

    Z = A U'                 A = [(X - c) / r, 1]    (n, p)
    J = sum_i s_i L_i + 1/2 sum_kj penalty_j U_kj^2
    g = dZ' A + penalty U                            dZ_i = s_i dz_i
    H = sum_i s_i d2z_i (x) a_i a_i' + diag(penalty)

A softmax does not change when all its classes move alike. Where no penalty does, those directions
get the curvature of the others, so that H can be inverted; g has no part in them, so no step goes
there.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxlr import batch
from jaxlr.core import Params
from jaxlr.solve.certify import SMALL_GRADIENT, STILL_MOVING_ROWS
from jaxlr.solve.host.rows import Dense, Sparse, over_classes
from jaxlr.solve.newton import to_unit, with_penalty
from jaxlr.solve.result import host_params
from jaxlr.solve.scaling import Scaling


class Place(NamedTuple):
    """Parameters U (m, p), and there: J, gradient g (m, p), Newton's step.

    ``separates`` says that no finite optimum exists: all rows are on the side of their label, and
    no penalty holds the parameters back.
    """

    U: np.ndarray
    J: float
    g: np.ndarray
    step: np.ndarray
    separates: bool


class Problem(NamedTuple):
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
    ) -> "Problem":
        """Standardise rows X (n, d) of class numbers y (n,), of K classes, with weights s."""
        share = np.full(len(y), 1 / len(y)) if s is None else s / s.sum()
        kind = Dense if isinstance(X, np.ndarray) else Sparse
        rows, scaling = kind.of(X, share, intercept=intercept)
        y = y.astype(np.int32 if K > 2 else np.float64)
        return cls(rows, y, share, scaling.penalty(np.array([l2]))[0], scaling, 1 if K == 2 else K)

    def start(self, init: Params | None) -> np.ndarray:
        """U (m, p) at ``init``, or at 0."""
        if init is None:
            return np.zeros((self.m, self.scaling.size))
        w = np.asarray(init.w, np.float64).reshape(self.m, -1)
        b = np.asarray(init.b, np.float64).reshape(self.m)
        U = self.scaling.from_raw(w, b)
        return U - U.mean(axis=0) if self.m > 1 else U

    def raw(self, U: np.ndarray) -> Params:
        """Parameters w and b of the features as they are."""
        w, b = self.scaling.to_raw(U)
        return host_params(w, b) if self.m > 1 else host_params(w[0], b[0])

    def look(self, U: np.ndarray) -> Place:
        """Read the rows at U."""
        Z = self.rows.predictors(U)
        terms = batch.terms_on_host(Z if self.m > 1 else Z[:, 0], self.y)
        dZ = self.s[:, None] * terms.dz.reshape(Z.shape)
        J = float(self.s @ terms.L + 0.5 * np.sum(self.penalty * U**2))
        g = self.rows.gradient(dZ) + self.penalty * U
        step = _newton_step(self._hessian(terms.d2z), g)
        if self.m > 1:  # what rounding has put in the direction that no g has a part in
            step -= step.mean(axis=0)
        return Place(U, J, g, step, self._separates(Z))

    def _hessian(self, d2z: np.ndarray) -> np.ndarray:
        m, p = self.m, self.scaling.d + self.scaling.intercept
        bend = (self.s * d2z.reshape(len(d2z), -1).T).reshape(m, m, -1)
        H = over_classes(self.rows.moment, bend, p)
        return with_penalty(H[None], np.tile(self.penalty, m)[None], m if m > 1 else None)[0]

    def lacks_a_class(self) -> bool:
        """Whether no row has one of the classes, so that its intercept falls without end."""
        present = np.bincount(self.y.astype(int), self.s, max(2, self.m)) > 0
        return self.scaling.intercept and not present.all()

    def is_moving(self, place: Place) -> bool:
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

    (unit,), (root,) = to_unit(H[None])
    _, x, failed = solve(unit, g.ravel() / root, lower=True, overwrite_a=True)
    return np.full_like(g, np.nan) if failed else -(x / root).reshape(g.shape)
