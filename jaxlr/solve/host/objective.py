"""The objective of one model on rows in the host's memory: NumPy's products, block by block.

What is compiled is `core` from the linear predictors on, for so many rows at a time: once for all
data sets, where the products of JAX are compiled for each shape of X.
"""

from collections.abc import Callable, Iterable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch, shard
from jaxlr.batch import Curvature, GradientSums, Moment
from jaxlr.solve.host.newton import suits_host
from jaxlr.solve.host.rows import Dense, over_classes
from jaxlr.solve.objective import ALL, Objective, Sample
from jaxlr.solve.products import times
from jaxlr.solve.totals import parts_of
from jaxlr.solve.values import Values

# Numbers in X from which on reading takes longer than compiling; JAX reads float32 twice as fast.
_NUMBERS, _NUMBERS_NARROW = 2e7, 5e6
_WIDEST = 1000  # columns up to which a product of NumPy is no slower than one of JAX
_PIECES = 1 << 10, 1 << 13  # rows; a block of some features stays in the cache between products


class _Block(NamedTuple):
    """Some rows: X (m, d), labels y and weights s (m,), predictors z (m,) or (m, C) of classes."""

    X: np.ndarray
    y: np.ndarray
    s: np.ndarray
    z: np.ndarray


class HostObjective(Objective):
    """`Objective` of one model whose rows are NumPy arrays."""

    compiled = False

    def values_and_curvature(self, u: np.ndarray, lanes: np.ndarray) -> tuple[Values, np.ndarray]:
        """Values and Hessian at u (1, p), in one read."""

        def both(block: _Block) -> tuple[GradientSums, Curvature]:
            terms = self._terms(block, "loss")
            return _gradient_of(terms, block), self._curvature_of(terms, block)

        total, bend = self._sum(both, u, ALL, np.float64)
        self._count(1)
        return self._penalized(total, u, lanes), self._with_penalty(bend, lanes)

    def _gradient_sums(self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type) -> Any:
        def sums(block: _Block) -> GradientSums:
            return _gradient_of(self._terms(block, None), block)

        return self._sum(sums, u, sample, dtype)

    def _curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type, of: Moment
    ) -> Any:
        def sums(block: _Block) -> Curvature:
            return self._curvature_of(self._terms(block, of), block)

        return self._sum(sums, u, sample, dtype)

    def _side_sums(self, v: np.ndarray, lanes: np.ndarray) -> Any:
        def sums(block: _Block) -> tuple[np.ndarray, ...]:
            sides = batch.sides_on_host(block.z, block.y, block.s, piece=self._piece)
            return tuple(side.sum() for side in sides)

        return self._sum(sums, v, ALL, np.float64, offset=False)

    @property
    def _piece(self) -> int:
        """Rows at a time: few where there are few, or many numbers for each."""
        few, many = _PIECES
        return few if self.n <= few or self.scaling.n_classes else many

    def _sum(
        self,
        sums: Callable[[_Block], Any],
        u: np.ndarray,
        sample: Sample,
        dtype: type,
        *,
        offset: bool = True,
    ) -> Any:
        """Sum over the rows of a sample, in float64, with the axis of models, of which is one.

        Each core has its part of the blocks.
        """
        w, b = (v[0].astype(dtype) for v in self.scaling.to_raw(u))
        numbers = None if sample.numbers is None else np.asarray(sample.numbers)
        m = self.n if numbers is None else len(numbers)
        starts = range(0, m, self._piece)

        def of_part(starts: Iterable[int]) -> Any:
            pieces = (slice(i, i + self._piece) for i in starts)
            blocks = (
                self._block(here if numbers is None else numbers[here], w, b, offset=offset)
                for here in pieces
            )
            return reduce(_add, map(sums, blocks))

        parts = np.array_split(starts, parts_of(m * self.scaling.size, most=len(starts)))
        found = shard.in_threads([partial(of_part, part.tolist()) for part in parts])
        return jax.tree.map(lambda v: np.asarray(v, np.float64)[None], reduce(_add, found))

    def _block(
        self, here: slice | np.ndarray, w: np.ndarray, b: np.ndarray, *, offset: bool
    ) -> _Block:
        rows: Any = self.rows
        dtype = w.dtype
        of_class = np.int32 if self.scaling.n_classes else dtype
        X, y = rows.X[here].astype(dtype, copy=False), rows.y[here].astype(of_class)
        s = np.ones(len(X), dtype) if rows.s is None else rows.s[here].astype(dtype)
        z = times(X, w.T) + b
        if offset and rows.offset is not None:
            z = z + rows.offset[here].astype(dtype)
        return _Block(X, y, s, z)

    def _terms(self, block: _Block, of: Moment | None) -> Any:
        return batch.weighted_terms_on_host(block.z, block.y, block.s, of=of, piece=self._piece)

    def _curvature_of(self, terms: Any, block: _Block) -> Curvature:
        center, scale = (v[0].astype(block.X.dtype) for v in self.scaling[:2])
        A = np.column_stack([(block.X - center) / scale, np.ones(len(block.X), block.X.dtype)])
        if terms.bend.ndim == 1:
            return _host_sums(Curvature, terms.s.sum(), Dense(A).moment(terms.bend))
        H = over_classes(Dense(A).moment, np.moveaxis(terms.bend, 0, -1), A.shape[1])
        return _host_sums(Curvature, terms.s.sum(), H)


_add = partial(jax.tree.map, np.add)


def _gradient_of(terms: Any, block: _Block) -> GradientSums:
    s, L, ones, zeros, undecided, dz, _ = terms
    scalars = (v.sum(axis=0) for v in (s, L, ones, zeros, undecided))
    return _host_sums(GradientSums, *scalars, dz.T @ block.X, dz.sum(axis=0))


def _host_sums(kind: Any, *sums: Any) -> Any:
    """Widen the sums of a block to float64: adding those of all blocks then loses nothing."""
    return kind(*(np.asarray(v, np.float64) for v in sums))


def suits_host_rows(X: Any, n_classes: int | None = None) -> bool:
    """Whether rows X (n, d) are so few that NumPy is done before JAX has compiled for their shape.

    Where there is an accelerator, that has the rows.

    Examples
    --------
    >>> print(suits_host_rows(np.zeros((1000, 50))), suits_host_rows(np.zeros((10, 1001))))
    True False
    """
    n, d = X.shape
    if jax.default_backend() != "cpu":
        return False
    if n_classes is not None:
        return suits_host(n, d, n_classes)
    most = _NUMBERS if X.dtype == np.float64 else _NUMBERS_NARROW
    return n * d <= most and d <= _WIDEST
