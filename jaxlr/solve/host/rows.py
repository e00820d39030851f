"""Rows of a small data set as the solver on the host sees them: standardised, dense or sparse."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxlr.solve.measure import checked
from jaxlr.solve.products import gram, times
from jaxlr.solve.scaling import Scaling, is_constant
from jaxlr.solve.sparse import standardized


class Dense(NamedTuple):
    """Standardised rows, with a last column of ones where there is an intercept: A (n, p)."""

    A: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, s: np.ndarray, *, intercept: bool) -> tuple["Dense", Scaling]:
        """Standardise rows X (n, d) of weights s (n,), whose sum is 1."""
        X = np.asarray(X, np.float64)
        scaling = Scaling.of(X[None], s[None], intercept=intercept)
        A = scaling.standardize(X)
        return cls(np.column_stack([A, np.ones(len(A))]) if intercept else A), scaling

    def predictors(self, U: np.ndarray) -> np.ndarray:
        """Linear predictors Z (n, m) at standardised parameters U (m, p)."""
        return times(self.A, U.T)

    def gradient(self, dZ: np.ndarray) -> np.ndarray:
        """Sum the rows with the factors dZ (n, m): (m, p)."""
        return dZ.T @ self.A

    def moment(self, bend: np.ndarray) -> np.ndarray:
        """Sum the products of the rows with themselves, with the factors ``bend`` (n,): (p, p)."""
        return gram(self.A * bend[:, None], self.A)


class Sparse(NamedTuple):
    """Rows X (n, d) as SciPy has them; what centring and scaling do to them is done to sums.

    Columns without a 0 are centred where they lie: of 1 + 1e-6 t, sums would show little of t.
    """

    X: Any
    transposed: Any
    scaling: Scaling

    @classmethod
    def of(cls, X: Any, s: np.ndarray, *, intercept: bool) -> tuple["Sparse", Scaling]:
        """Measure rows X (n, d), CSR or CSC, of weights s (n,), whose sum is 1."""
        X = X.tocsr().astype(np.float64)
        X.sum_duplicates()
        largest = abs(X).max(axis=0).toarray().ravel()
        largest[largest == 0] = 1
        relative = X.multiply(1 / largest).tocsr()
        full = np.bincount(X.indices, minlength=X.shape[1]) == len(s)
        shift = np.where(full & intercept, relative.T @ s, 0)
        relative.data -= shift[relative.indices]
        rest, square = relative.T @ s, relative.multiply(relative).T @ s
        center = shift + rest if intercept else shift
        variance = square - rest**2 if intercept else square
        deviation, size = np.sqrt(np.maximum(variance, 0)), np.sqrt(variance + center**2)
        scale = largest * np.where(is_constant(deviation, size), size, deviation)
        scale = np.where(scale > 0, scale, 1.0)
        scaling = checked(Scaling((largest * center)[None], scale[None], intercept))
        X.data = relative.data * largest[relative.indices]
        inner = scaling._replace(center=scaling.center - largest * shift)
        return cls(X, X.T.tocsr(), inner), scaling

    def predictors(self, U: np.ndarray) -> np.ndarray:
        """Linear predictors Z (n, m) at standardised parameters U (m, p)."""
        w, b = self.scaling.to_raw(U)
        return self.X @ w.T + b

    def gradient(self, dZ: np.ndarray) -> np.ndarray:
        """Sum the standardised rows with the factors dZ (n, m): (m, p)."""
        return self.scaling.gradient((self.transposed @ dZ).T, dZ.sum(axis=0))

    def moment(self, bend: np.ndarray) -> np.ndarray:
        """Sum the products of the rows with themselves, with the factors ``bend`` (n,): (p, p)."""
        bent = self.transposed.copy()
        bent.data *= bend[bent.indices]
        ww, wb, bb = (bent @ self.X).toarray(), self.transposed @ bend, bend.sum()
        sums = ww[None], wb[None], np.array([bb])
        H = standardized(*sums, self.scaling.center[0], self.scaling.scale[0])
        return H[0] if self.scaling.intercept else H[0, :-1, :-1]


def over_classes(
    moment: Callable[[np.ndarray], np.ndarray], bend: np.ndarray, p: int
) -> np.ndarray:
    """Curvature (C p, C p) of classes: the ``moment`` (p, p) of each of ``bend`` (C, C, n)."""
    C = len(bend)
    H = np.empty((C, p, C, p))
    for j in range(C):
        for k in range(j + 1):
            H[j, :, k] = H[k, :, j] = moment(bend[j, k])
    return H.reshape(C * p, C * p)
