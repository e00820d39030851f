"""One model of a small data set: its objective, what is known at a place, and the step from there.

Two classes have one row of parameters, K classes K. In the parameters u of standardised
features, with l2 and l1 as they are there (`jaxlr.solve.proximal.Penalty`)::

    Z = A U'                 A = [(X - c) / r, 1]    (n, p)
    J = sum_i s_i L_i + sum_kj (l2_j U_kj^2 / 2 + l1_j |U_kj|)
    g = dZ' A + l2 U         dZ_i = s_i dz_i
    H = sum_i s_i d2z_i (x) a_i a_i' + diag(l2)

A softmax does not change when all its classes move alike. Such directions get a curvature, so that
H can be inverted; without l1 the gradient has no part in them, and no step goes there.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxlr import batch
from jaxlr.core import Params
from jaxlr.solve.certify import SMALL_GRADIENT, STILL_MOVING_ROWS
from jaxlr.solve.host.rows import Dense, Sparse
from jaxlr.solve.newton import JITTER
from jaxlr.solve.proximal.penalty import Penalty
from jaxlr.solve.proximal.quadratic import Quadratic
from jaxlr.solve.result import host_params
from jaxlr.solve.scaling import Scaling

_RIDGE = 1e-9  # of the diagonal, where l1 decides which of equal softmaxes it shall be
_SLACK = 1e-15  # of the conditions of a step


class Place(NamedTuple):
    """Parameters U (m, p), and there: objective J, gradient g (m, p) without l1, and a step.

    ``size`` (m, p) is how far each coordinate is from its condition of optimality: without l1 the
    size of the gradient. ``separates`` says that no finite optimum exists: all rows are on the side
    of their label, and no penalty holds the parameters back.
    """

    U: np.ndarray
    J: float
    g: np.ndarray
    size: np.ndarray
    step: np.ndarray
    separates: bool


class Problem(NamedTuple):
    """Rows, labels y (n,), weights s (n,) of sum 1, penalties, and m rows of parameters."""

    rows: Dense | Sparse
    y: np.ndarray
    s: np.ndarray
    penalty: Penalty
    scaling: Scaling
    m: int

    @classmethod
    def of(
        cls,
        X: Any,
        y: np.ndarray,
        K: int,
        penalties: tuple[float, float],
        s: np.ndarray | None,
        *,
        intercept: bool,
    ) -> "Problem":
        """Take rows X (n, d), class numbers y (n,), and the penalties l1 and l2 on w."""
        share = np.full(len(y), 1 / len(y)) if s is None else s / s.sum()
        kind = Dense if isinstance(X, np.ndarray) else Sparse
        rows, scaling = kind.of(X, share, intercept=intercept)
        y = y.astype(np.int32 if K > 2 else np.float64)
        return cls(rows, y, share, Penalty.of(*penalties, scaling), scaling, 1 if K == 2 else K)

    @property
    def has_l1(self) -> bool:
        """Whether coefficients may be exactly 0."""
        return bool(self.penalty.l1.any())

    @property
    def is_free(self) -> bool:
        """Whether no penalty holds the parameters back."""
        return not (self.penalty.l2.any() or self.has_l1)

    def start(self, init: Params | None) -> np.ndarray:
        """Parameters U (m, p) to start from: 0, or coefficients, of classes less their mean."""
        if init is None:
            return np.zeros((self.m, self.scaling.size))
        w = np.asarray(init.w, np.float64).reshape(self.m, -1)
        b = np.asarray(init.b, np.float64).reshape(self.m)
        U = self.scaling.from_raw(w, b)
        return U - U.mean(axis=0) if self.m > 1 and not self.has_l1 else U

    def raw(self, U: np.ndarray) -> Params:
        """Coefficients and intercepts; of classes, the intercepts add to 0."""
        w, b = self.scaling.to_raw(U)
        return host_params(w, b - b.mean()) if self.m > 1 else host_params(w[0], b[0])

    def look(self, U: np.ndarray) -> Place:
        """Read the rows at U."""
        Z = self.rows.predictors(U)
        terms = self.terms(Z)
        dZ = self.s[:, None] * terms.dz.reshape(Z.shape)
        J = float(self.s @ terms.L + np.sum(self.penalty.l2 * U**2) / 2)
        g = self.rows.gradient(dZ) + self.penalty.l2 * U
        if not self.has_l1:
            step = _newton_step(self._hessian(terms.d2z), g)
            return Place(U, J, g, abs(g), step, self._separates(Z))
        J += float(np.sum(self.penalty.l1 * abs(U)))
        size = self.penalty.violation(U, g - self.penalty.l2 * U)
        step = self._proximal_step(self._hessian(terms.d2z), g, U)
        return Place(U, J, g, size, step, separates=False)

    def terms(self, Z: np.ndarray) -> batch.PredictorTerms:
        """Loss and its derivatives at the linear predictors Z (n, m)."""
        return batch.terms_on_host(Z if self.m > 1 else Z[:, 0], self.y)

    def slope(self, place: Place, before: np.ndarray, step: np.ndarray) -> float:
        """Slope of J at a place along a step (m, p), where signs were those of ``before``."""
        if not self.has_l1:
            return float(np.sum(place.g * step))
        sign = np.sign(np.where(place.U != 0, place.U, before))
        return self.penalty.slope(place.U, place.g - self.penalty.l2 * place.U, sign, step)

    def _hessian(self, d2z: np.ndarray) -> np.ndarray:
        m, p = self.m, self.scaling.d + self.scaling.intercept
        bend = (self.s * d2z.reshape(len(d2z), -1).T).reshape(m, m, -1)
        H = np.zeros((m, p, m, p))
        for j in range(m):
            for k in range(j + 1):
                H[j, :, k] = H[k, :, j] = self.rows.moment(bend[j, k])
        H = H.reshape(m * p, m * p)
        _diagonal(H)[:] += np.tile(self.penalty.l2, m)
        if m > 1:
            common = _diagonal(H).reshape(m, p).mean(axis=0) / m
            if self.has_l1:  # then what classes have in common is not free
                common[: self.scaling.d] = 0
            np.einsum("jaka->jka", H.reshape(m, p, m, p))[:] += common  # a view
        return H

    def _proximal_step(self, H: np.ndarray, g: np.ndarray, U: np.ndarray) -> np.ndarray:
        """Step to the minimum of the quadratic model with l1."""
        diagonal = _diagonal(H)
        diagonal[:] = np.where(diagonal > 0, diagonal * (1 + _RIDGE), 1)
        if not np.isfinite(H).all():
            return np.full_like(U, np.nan)
        u, l1 = U.ravel(), np.tile(self.penalty.l1, self.m)
        v = Quadratic(H).minimise(g.ravel() - H @ u, l1, u, _SLACK)
        return (v - u).reshape(U.shape)

    def lacks_a_class(self) -> bool:
        """Whether no row has one of the classes, so that its intercept falls without end."""
        present = np.bincount(self.y.astype(int), self.s, max(2, self.m)) > 0
        return self.scaling.intercept and not present.all()

    def is_moving(self, place: Place) -> bool:
        """Whether a step still moves rows far, without a penalty: labels may be told apart."""
        reach = abs(place.step).sum(axis=1).max() * np.sqrt(len(self.y))
        moving = reach > STILL_MOVING_ROWS and place.size.max(initial=0) <= SMALL_GRADIENT
        return moving and self.is_free and not self.lacks_a_class()

    def _separates(self, Z: np.ndarray) -> bool:
        if not self.is_free:
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
    diagonal = _diagonal(H)
    if not diagonal.min(initial=1) > 0:
        return np.full_like(g, np.nan)
    root = np.sqrt(diagonal)
    H = H / (root[:, None] * root)
    _diagonal(H)[:] += JITTER
    _, x, failed = solve(H, g.ravel() / root, lower=True, overwrite_a=True)
    return np.full_like(g, np.nan) if failed else -(x / root).reshape(g.shape)


def _diagonal(H: np.ndarray) -> np.ndarray:
    """View of the diagonal."""
    return H.reshape(-1)[:: len(H) + 1]
