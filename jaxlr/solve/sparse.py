"""An objective over the rows of a sparse X, and the scales of its columns.

A read is two products. All rows are read every time: no sample shows columns that few rows have.
Standardising is done on parameters and sums (`jaxlr.solve.scaling`), so X stays as sparse as it is.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr import batch
from jaxlr.batch import Curvature, Models, Moment, Rows
from jaxlr.solve.objective import ALL, Objective, Sample

_TOGETHER = 1 << 26  # linear predictors of models that are taken at once, on an accelerator
_LARGEST = 1 << 30  # bytes of a Newton matrix


class MatrixTooLargeError(ValueError):
    """A Newton matrix would take more memory than one may."""


class SparseObjective(Objective):
    """An `Objective` whose rows are a `SparseX`: models one after the other, on a CPU."""

    sampled = False
    renewals = (8, 24)  # three products each, and a third fewer reads where one label is rare

    def sample(self, m: int) -> Sample:
        """All rows."""
        return ALL

    def diagonal(self, u: np.ndarray, lanes: np.ndarray) -> np.ndarray:
        """Diagonals (k, P) of the Hessians at u (k, P); those at 0 are known."""
        if not u.any():
            return super().diagonal(u, lanes)
        s, *sums = self._in_turn(batch.sparse_diagonal_sums, u, lanes, self.narrow)
        self._count(1.5)
        found = self.scaling.of_models(lanes).diagonal(*sums)
        return found / s[:, None] + self.penalty[lanes]

    def _gradient_sums(self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type) -> Any:
        return self._in_turn(batch.sparse_gradient_sums, u, lanes, dtype)

    def _side_sums(self, v: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._in_turn(batch.sparse_side_sums, v, lanes, np.float64)

    def _curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type, of: Moment
    ) -> Any:
        _check_matrix(self.scaling.size)
        center, scale = (v[0] for v in self.scaling[:2])
        if self.scaling.n_classes is not None:
            sums = partial(batch.sparse_class_curvature, center=center, scale=scale, of=of)
            return self._in_turn(sums, u, lanes, np.float64, self._rows_to_be_dense)
        sums = partial(batch.sparse_curvature_sums, of=of)
        s, (ww,), wb, bb = self._in_turn(sums, u, lanes, np.float64)
        H: Any = standardized(ww, wb, bb, center, scale)
        return Curvature(s, H)

    @cached_property
    def _rows_to_be_dense(self) -> Rows:
        """Rows in blocks for which there is memory where they are made dense."""
        X: Any = self.rows.X
        most = batch.most_rows(self.scaling.n_classes, dense=self.d)
        if most is None or X.block_rows <= most:
            return self.rows
        rows = batch.take_sparse_columns(X, np.arange(self.d))
        laid_out: Any = batch.lay_out(rows, by_columns=False, most_rows=most)
        return self.rows._replace(X=laid_out)

    def _in_turn(
        self,
        sums: Callable[[Models, Rows], Any],
        u: np.ndarray,
        lanes: np.ndarray,
        dtype: type,
        rows: Rows | None = None,
    ) -> Any:
        """Sum over all rows for some of the models at a time, in float64."""
        size, rows = 1, rows or self.rows
        if jax.default_backend() != "cpu":
            X: Any = rows.X
            numbers = X.block_rows * (self.scaling.n_classes or 1)
            size = max(1, min(len(lanes), _TOGETHER // numbers))
        found = []
        for some in np.array_split(np.arange(len(lanes)), -(-len(lanes) // size)):
            total = sums(self._models(u[some], lanes[some], dtype), rows)
            found.append(jax.tree.map(partial(_first, len(some)), total))
        return jax.tree.map(lambda *v: np.concatenate(v), *found)


def _check_matrix(size: int) -> None:
    """Raise `MatrixTooLargeError` where a matrix for so many parameters is."""
    if 8 * size**2 > _LARGEST:
        raise MatrixTooLargeError(
            f"a Newton matrix for {size:,} parameters would take {8e-9 * size**2:,.1f} GB: take "
            "fewer columns (with l1, a larger one leaves fewer). A fit with l2 alone needs no "
            "matrix: method='lbfgs'"
        )


def _first(k: int, v: jax.Array) -> np.ndarray:
    return np.asarray(v, np.float64)[:k]


def standardized(
    ww: np.ndarray, wb: np.ndarray, bb: np.ndarray, center: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Curvature matrices (K, p, p) for ``(x - center) / scale`` from those for x, b last."""
    off = wb - bb[:, None] * center
    H = (ww - center[:, None] * wb[:, None, :] - off[:, :, None] * center) / scale / scale[:, None]
    side = (off / scale)[:, :, None]
    bottom = np.concatenate([np.swapaxes(side, 1, 2), bb[:, None, None]], axis=2)
    return np.concatenate([np.concatenate([H, side], axis=2), bottom], axis=1)


def moments(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the weights of all rows (), and s x and s x^2 (d,), in float64."""
    s = jnp.ones(len(rows.X), jnp.float64)
    if rows.s is not None and rows.s.ndim == 1:
        s = rows.s.astype(jnp.float64)
    weight, off, square = (np.asarray(v) for v in batch.sparse_moment_sums(rows, s))
    return weight, off, square
