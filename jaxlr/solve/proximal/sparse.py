"""Mean loss of one model over a sparse X: of all columns by its layout, of some by SciPy's CSC.

All columns are read by the products of `jaxlr.batch.sparse`. A working set has few entries and is
another one every few turns: SciPy's products on the host need no compiling for each, and give the
curvature of its columns, ``X' diag(s d2z) X``, as a product of sparse matrices.
"""

from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxlr import batch
from jaxlr.batch import Curvature, Optimality, Rows, SparseX
from jaxlr.solve.proximal.loss import Loss
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.sparse import standardized


class SparseLoss(Loss):
    """A `Loss` whose rows have a `SparseX`, or some columns of it in SciPy's CSC."""

    @property
    def bends_along(self) -> bool:
        """No: curvature is another product."""
        return False

    def bend(self, u: np.ndarray, *, wide: bool) -> tuple[np.ndarray, bool]:
        """Hessian (p, p) at u, in float64."""
        X = self._columns
        found, _, bend = self._at(u, np.float64)
        c = np.asarray(bend)
        ww, wb, bb = (X.T.multiply(c) @ X).toarray(), X.T @ c, c.sum()
        center, scale = self.scaling.center[0], self.scaling.scale[0]
        H: Any = standardized(ww[None], wb[None], np.array([bb]), center, scale)
        self._count(1)
        return self._mean(Curvature(found.total.s, H))[0], False

    def dual(self, u: np.ndarray, shrink: tuple[float, float], shares: np.ndarray) -> np.ndarray:
        """Mean of ``t o - L*(t, y)`` (m,) at shares (m,) of the slopes at u, first shrunk."""
        z = self._predictors(u, np.float64)
        found, s = batch.dual_sums_at(z, self._others, np.array(shrink), shares)
        self._count(1)
        return np.asarray(found) / float(s)

    def of_columns(self, columns: np.ndarray, size: int) -> "SparseLoss":
        """Restrict it to some columns, which are copied; empty ones fill them up to ``size``."""
        X = self._columns[:, columns]
        X.resize((self.n, size))
        center, scale = np.zeros((1, size)), np.ones((1, size))
        center[:, : len(columns)] = self.scaling.center[:, columns]
        scale[:, : len(columns)] = self.scaling.scale[:, columns]
        rows = self.rows._replace(X=X)
        return SparseLoss(rows, Scaling(center, scale, self.scaling.intercept))

    def _sums(self, u: np.ndarray, dtype: type) -> Optimality:
        found, dz, _ = self._at(u, dtype)
        X: Any = self.rows.X
        if isinstance(X, SparseX):
            dw = np.asarray(batch.sparse_product(X.columns, dz), np.float64)
        else:
            dw = X.T @ np.asarray(dz, np.float64)
        return found._replace(total=found.total._replace(dw=dw[None]))

    def _at(self, u: np.ndarray, dtype: type) -> tuple[Any, jax.Array, jax.Array]:
        found, dz, bend = batch.optimality_at(self._predictors(u, dtype), self._others)
        return jax.tree.map(lambda v: np.asarray(v, np.float64), found), dz, bend

    def _predictors(self, u: np.ndarray, dtype: type) -> Any:
        """``X w + b`` (n,), in this type."""
        w, b = (v[0] for v in self.scaling.to_raw(u[None]))
        X: Any = self.rows.X
        if isinstance(X, SparseX):
            z = np.asarray(batch.sparse_product(X.rows, w.astype(dtype)))
        else:
            z = X @ w
        return (z + b).astype(dtype)

    @property
    def _others(self) -> Rows:
        """The rows without X."""
        nothing: Any = None
        return self.rows._replace(X=nothing)

    @cached_property
    def _columns(self) -> Any:
        """X in SciPy's CSC, in float64."""
        X: Any = self.rows.X
        X = batch.to_scipy(X) if isinstance(X, SparseX) else X
        return X.astype(np.float64, copy=False)


def loss_of(rows: Rows, scaling: Scaling, reads: float) -> Loss:
    """Loss of one model over rows of either kind."""
    return (SparseLoss if isinstance(rows.X, SparseX) else Loss)(rows, scaling, reads)
