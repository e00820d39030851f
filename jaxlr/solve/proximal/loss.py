"""Mean loss of one model, without penalty, as a function of all columns or of some."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch, shard
from jaxlr.batch import Rows, View
from jaxlr.solve.objective import ALL, Objective
from jaxlr.solve.plan import OFF_CENTER, SMALL
from jaxlr.solve.scaling import Scaling

_LANE = np.zeros(1, int)
_DEAR = 1e9  # multiplications of a Hessian that are worth to be done in float32
_CHEAP = 2e8  # multiplications of a Hessian that cost no more than another call


class Look(NamedTuple):
    """What one read says at u (p,): mean loss, its gradient (p,), and of slopes and labels.

    ``up`` and ``down`` are the weighted means of the positive slopes of the rows, and of the
    negative ones. ``H`` (p, p) is the Hessian, or None where the read did not bring it.
    """

    loss: float
    g: np.ndarray
    up: float
    down: float
    one_label: bool
    H: np.ndarray | None


class Loss(Objective):
    """Mean loss of one model by u (p,), in standardised parameters, with no penalty."""

    def __init__(self, rows: Rows, scaling: Scaling, reads: float = 0.0) -> None:
        super().__init__(rows, View(), scaling, np.zeros(1), shard.mesh_of(rows.X), reads=reads)

    @property
    def bends_along(self) -> bool:
        """Whether each read brings the Hessian along: where X is small."""
        return self.size <= SMALL and self.size * self.d <= _CHEAP

    def look(self, u: np.ndarray, *, wide: bool = True) -> Look:
        """Read the rows at u; in float64 where ``wide``, else in the type of X."""
        H = None
        if self.bends_along:
            found, bend = self._sums_and_curvature(u)
            H = self._mean(bend)[0]
        else:
            found = self._sums(u, np.float64 if wide else self.narrow)
        self._count(1)
        total = found.total
        values = self._penalized(total, u[None], _LANE)
        with np.errstate(invalid="ignore", divide="ignore"):
            up, down = found.up[0] / total.s[0], found.down[0] / total.s[0]
        return Look(values.J[0], values.g[0], up, down, bool(values.one_label[0]), H)

    def bend(self, u: np.ndarray, *, wide: bool) -> tuple[np.ndarray, bool]:
        """Hessian (p, p) at u, and whether it is from float32: where that is half the work."""
        narrow = self.narrow != np.float64 or self.size * self.d > _DEAR
        narrow = narrow and not wide and not self._off_center
        bend = self._curvature(u[None], _LANE, ALL, np.float32 if narrow else np.float64, "loss")
        self._count(1)
        return self._mean(bend)[0], narrow

    @property
    def _off_center(self) -> bool:
        return bool(np.any(abs(self.scaling.center) > OFF_CENTER * self.scaling.scale))

    def dual(self, u: np.ndarray, shrink: tuple[float, float], shares: np.ndarray) -> np.ndarray:
        """Mean of ``t o - L*(t, y)`` (m,) at shares (m,) of the slopes at u, first shrunk."""
        models = self._models(u[None], _LANE, np.float64)
        pair = tuple(np.array([v]) for v in shrink)

        def sums(rows: Rows, **where: Any) -> Any:
            return batch.dual_sums(models, rows, pair, shares, **where)

        found, s = self._total(sums, _LANE, ALL, self.d)
        self._count(1)
        return found[0] / s[0]

    def of_columns(self, columns: np.ndarray, size: int) -> "Loss":
        """Restrict it to some columns, which are copied; zeros fill them up to ``size``."""
        k = len(columns)
        numbers = np.full(size, self.d, np.int32)
        numbers[:k] = columns
        center, scale = np.zeros((1, size)), np.ones((1, size))
        center[:, :k], scale[:, :k] = (
            self.scaling.center[:, columns],
            self.scaling.scale[:, columns],
        )
        X = batch.take_columns(self.rows.X, numbers)
        scaling = Scaling(center, scale, self.scaling.intercept)
        return Loss(self.rows._replace(X=X), scaling)

    def _sums(self, u: np.ndarray, dtype: type) -> Any:
        models = self._models(u[None], _LANE, dtype)

        def sums(rows: Rows, **where: Any) -> Any:
            return batch.optimality_sums(models, rows, **where)

        return self._total(sums, _LANE, ALL, self.d)

    def _sums_and_curvature(self, u: np.ndarray) -> Any:
        models = self._models(u[None], _LANE, np.float64)
        center, scale = self.scaling.center[0], self.scaling.scale[0]
        call = partial(batch.optimality_and_curvature, models, self.rows, center, scale)
        return jax.tree.map(np.asarray, call(mesh=self.mesh))
