"""Mean loss of one model, without penalty, as a function of all columns or of some."""

from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch, shard
from jaxlr.batch import Rows, SparseX, View
from jaxlr.solve.host import HostObjective
from jaxlr.solve.objective import ALL, Objective, host_models
from jaxlr.solve.plan import OFF_CENTER, SMALL
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.sparse import SparseObjective
from jaxlr.solve.totals import total

_LANE = np.zeros(1, int)
_DEAR = 1e9  # multiplications of a Hessian that are worth to be done in float32
_CHEAP = 2e8  # multiplications of a Hessian that cost no more than another call
_DENSE = 1 << 24  # numbers in columns of a sparse X that are dealt with as dense ones
_FEW = 64  # columns of which NumPy is as quick to take a Hessian; it compiles nothing for a shape


class Look(NamedTuple):
    """What one read says at u (P,): mean loss, its gradient (P,), and whether a label is missing.

    ``H`` (P, P) is the Hessian, or None where the read did not bring it.
    """

    loss: float
    g: np.ndarray
    one_label: bool
    H: np.ndarray | None


class Loss:
    """Mean loss of one model by u (P,), in standardised parameters, with no penalty."""

    def __init__(self, rows: Rows, scaling: Scaling, reads: float = 0.0) -> None:
        self.sparse = isinstance(rows.X, SparseX)
        self.mesh = None if self.sparse else shard.mesh_of(rows.X)
        self.rows, self.scaling, self.d = rows, scaling, scaling.d
        self.classes = scaling.n_classes or 1
        self.always_wide = rows.X.dtype == np.float64
        work = len(rows.X) * scaling.size**2  # of a Hessian, in multiplications
        # Whether each read brings the Hessian along.
        self.bends_along = not self.sparse and work <= _CHEAP and len(rows.X) * self.d <= SMALL
        narrow = np.float32 if work > _DEAR else None
        if np.any(abs(scaling.center) > OFF_CENTER * scaling.scale):
            narrow = np.float64
        over = SparseObjective if self.sparse else Objective
        on_host = self.mesh is None and jax.default_backend() == "cpu"
        if on_host and self.bends_along and self.d <= _FEW:
            over, rows = HostObjective, jax.tree.map(np.asarray, rows)
        self.objective = over(
            rows, View(), scaling, np.zeros(1), self.mesh,
            reads=reads, narrow=narrow, singular=True,
        )  # fmt: skip

    @property
    def reads(self) -> float:
        """How often X was read from end to end."""
        return self.objective.reads

    def of_features(self, v: np.ndarray) -> np.ndarray:
        """Numbers (C, d) that belong to the features, of those v (P,) of all parameters."""
        return v.reshape(self.classes, -1)[:, : self.d]

    def of_intercepts(self, v: np.ndarray) -> np.ndarray:
        """Numbers (C,) that belong to the intercepts, or (0,) where there are none."""
        return v.reshape(self.classes, -1)[:, self.d :].ravel()

    def largest_l1(self, g: np.ndarray) -> float:
        """Smallest l1 that leaves no coefficient, by the gradient g (P,) where all are 0."""
        return float(np.max(abs(self.of_features(g)) * self.scaling.scale[0], initial=0))

    def look(self, u: np.ndarray, *, wide: bool = True) -> Look:
        """Read the rows at u; in float64 where ``wide``, else in the type of X."""
        H = None
        if self.bends_along:
            values, bend = self.objective.values_and_curvature(u[None], _LANE)
            H = bend[0]
        else:
            wide = wide or self.always_wide
            values = self.objective.values(u[None], _LANE, ALL, wide=wide)
        return Look(values.J[0], values.g[0], bool(values.one_label[0]), H)

    def bend(self, u: np.ndarray, *, wide: bool) -> tuple[np.ndarray, bool]:
        """Hessian (P, P) at u, and whether it is from float32, where that is half the work."""
        narrow = not wide and self.objective.narrow != np.float64 and not self.sparse
        H, _ = self.objective.curvature(u[None], _LANE, ALL, wide=not narrow)
        if narrow and not np.isfinite(H).all():  # features beyond the range of float32
            return self.bend(u, wide=True)
        return H[0], narrow

    @cached_property
    def shares(self) -> np.ndarray:
        """Shares (C,) of the weight of all rows that the classes have; (2,) for two classes."""
        y, s = shard.on_host(self.rows.y), shard.on_host(self.rows.s)
        if self.scaling.n_classes is None:
            one = float(y @ s / s.sum())
            return np.array([1 - one, one])
        return np.bincount(y.astype(int), s, self.classes) / s.sum()

    def dual(self, u: np.ndarray, a: np.ndarray, mix: float, shares: np.ndarray) -> np.ndarray:
        """Mean of ``t o - L*(t, y)`` (m,) at shares (m,) of the slopes at u, mixed with a - y."""
        models = host_models(*self.scaling.to_raw(u[None]), View())
        a = a[None] if self.scaling.n_classes else a[1:]
        sums = partial(batch.dual_sums, models, self.rows, a, np.float64(mix), shares)
        if self.sparse:
            found, s = (np.asarray(v) for v in sums())
        else:
            work = self.objective.n * self.scaling.size
            found, s = total(partial(sums, mesh=self.mesh), self.rows.X, work)
        return found[0] / s[0]

    def of_columns(self, columns: np.ndarray, size: int) -> "Loss":
        """Restrict it to some columns, which are copied; zeros fill them up to ``size``."""
        k = len(columns)
        numbers = np.full(size, self.d, np.int32)
        numbers[:k] = columns
        center, scale = np.zeros((1, size)), np.ones((1, size))
        center[:, :k] = self.scaling.center[:, columns]
        scale[:, :k] = self.scaling.scale[:, columns]
        rows = self.rows._replace(X=self._columns(numbers))
        return Loss(rows, self.scaling._replace(center=center, scale=scale))

    def _columns(self, numbers: np.ndarray) -> Any:
        """X[:, numbers]; of a sparse X dense, if that is not large."""
        X: Any = self.rows.X
        if not self.sparse:
            return batch.take_columns(X, numbers)
        taken = batch.take_sparse_columns(X, numbers)
        if len(X) * len(numbers) <= _DENSE:
            return shard.put(taken.toarray())
        most = batch.most_rows(self.scaling.n_classes, dense=len(numbers))
        return batch.lay_out(taken, most_rows=most)
