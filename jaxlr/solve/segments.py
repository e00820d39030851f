"""K models that share no rows: K small data sets, padded to one size and solved together."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxlr import batch
from jaxlr.batch import Models, Moment, Rows, View
from jaxlr.solve.objective import ALL, Objective, Sample, host_models, power_of_two
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.totals import total
from jaxlr.solve.values import Values


class Segments(Objective):
    """An `Objective` whose rows are X (K, m, d), y, s (K, m): each model has its own."""

    apart = True

    def __init__(self, rows: Rows, scaling: Scaling, l2: np.ndarray) -> None:
        super().__init__(rows, View(), scaling, l2, None, typical=False)  # too few to sample
        self.kept = np.arange(len(l2)), rows

    def values_and_curvature(self, u: np.ndarray, lanes: np.ndarray) -> tuple[Values, np.ndarray]:
        """`values` and Hessians (k, p, p), in float64."""
        values = self.values(u, lanes, ALL, wide=True)
        return values, self.curvature(u, lanes, ALL, wide=True)[0]

    def _gradient_sums(self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type) -> Any:
        at, models, rows = self._models_and_rows(u, lanes, dtype)
        return self._of(partial(batch.gradient_sums_apart, models, rows), at, 1)

    def _curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type, of: Moment
    ) -> Any:
        at, models, rows = self._models_and_rows(u, lanes, dtype)
        center, scale = (v[self.kept[0]].astype(dtype) for v in self.scaling[:2])
        sums = partial(batch.curvature_sums_apart, models, rows, center, scale, of=of)
        return self._of(sums, at, center.shape[1])

    def _side_sums(self, v: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, models, rows = self._models_and_rows(v, lanes, np.float64)
        return self._of(partial(batch.side_sums_apart, models, rows), at, 1)

    def _of(self, sums: Callable[..., Any], at: np.ndarray, work: int) -> Any:
        found = total(sums, self.rows.X, len(at) * self.size * work)
        return jax.tree.map(lambda v: v[at], found)

    def _models_and_rows(
        self, u: np.ndarray, lanes: np.ndarray, dtype: type
    ) -> tuple[np.ndarray, Models, Rows]:
        """Find the rows of ``lanes``, in arrays at most twice too long, and where they are there.

        Rows of models that are done are left behind when half of the models are.
        """
        kept, rows = self.kept
        at = np.searchsorted(kept, lanes)
        if len(at) == 0 or kept[-1] < lanes[-1] or not np.array_equal(kept[at], lanes):
            kept, rows, at = np.arange(len(self.l2)), self.rows, lanes
        if 2 * len(lanes) <= len(kept):
            fill = power_of_two(len(lanes))
            keep = np.sort(np.resize(at, min(fill, len(kept))))
            kept, rows = kept[keep], jax.tree.map(lambda v: v[keep], rows)
            at = np.searchsorted(kept, lanes)
        self.kept = kept, rows
        w, b = self.scaling.of_models(lanes).to_raw(u)
        all_w, all_b = np.zeros((len(kept), w.shape[1])), np.zeros(len(kept))
        all_w[at], all_b[at] = w, b
        return at, host_models(all_w.astype(dtype), all_b.astype(dtype), View()), rows
