"""The objective of one model on rows in the host's memory, read block by block."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch, shard
from jaxlr.batch import Curvature, GradientSums, Moment, PredictorTerms, Rows, View
from jaxlr.core import Params
from jaxlr.solve.clock import Clock
from jaxlr.solve.fit import minimise
from jaxlr.solve.measure import measure
from jaxlr.solve.objective import Objective, Sample
from jaxlr.solve.plan import SMALL
from jaxlr.solve.products import gram, times
from jaxlr.solve.result import Fit
from jaxlr.solve.rows import take_penalties

_NUMBERS = 2e7  # in X: from there on reading takes longer than compiling
_WIDEST = 1000  # columns up to which a product of NumPy is no slower than one of JAX
_BLOCK = 1 << 13  # rows; a block of some features stays in the cache between its two products


class _Block(NamedTuple):
    """Some rows: X (m, d), weights s, labels y and linear predictors z (m,), and their terms."""

    X: np.ndarray
    s: np.ndarray
    y: np.ndarray
    z: np.ndarray
    terms: PredictorTerms


class HostObjective(Objective):
    """`Objective` of one model of two classes, whose rows are NumPy arrays."""

    def _gradient_sums(self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type) -> Any:
        return _add_up(map(_gradient_sums, self._blocks(u, sample, dtype)))

    def _curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type, of: Moment
    ) -> Any:
        if of != "loss":
            return self._on_device()._curvature(u, lanes, sample, dtype, of)
        center, scale = (v[0].astype(dtype) for v in self.scaling[:2])
        blocks = self._blocks(u, sample, dtype)
        return _add_up(_curvature_sums(block, center, scale) for block in blocks)

    def _side_sums(self, v: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._on_device()._side_sums(v, lanes)

    def _on_device(self) -> Objective:
        """Make the same objective of rows on the device, for what is seldom asked."""
        X, y, s, *_ = self.rows
        arrays: Any = (X, np.asarray(y, self.narrow), s)
        placed: Any = [None if v is None else shard.put(v) for v in arrays]
        rows = Rows(*placed)
        return Objective(rows, self.view, self.scaling, self.l2, None, typical=self.typical)

    def _blocks(self, u: np.ndarray, sample: Sample, dtype: type) -> Iterator[_Block]:
        rows: Any = self.rows
        w, b = self.scaling.to_raw(u)
        w, b = w[0].astype(dtype), b[0].astype(dtype)
        numbers = None if sample.numbers is None else np.asarray(sample.numbers)
        for i in range(0, self.n if numbers is None else len(numbers), _BLOCK):
            here = slice(i, i + _BLOCK) if numbers is None else numbers[i : i + _BLOCK]
            X, y = rows.X[here].astype(dtype, copy=False), rows.y[here].astype(dtype)
            s = np.ones(len(X), dtype) if rows.s is None else rows.s[here].astype(dtype)
            z = (times(X, w) if dtype == np.float64 else X @ w) + b
            yield _Block(X, s, y, z, batch.terms_on_host(z, y, piece=_BLOCK))


def _gradient_sums(block: _Block) -> GradientSums:
    X, s, y, z, (L, dz, _) = block
    decided = np.where(z > 0, y == 1, (z < 0) & (y == 0))
    dz = s * dz
    sums = s.sum(), s @ L, s @ y, s @ (1 - y), s @ ~decided, dz @ X, dz.sum()
    return _stacked(GradientSums, sums)


def _curvature_sums(block: _Block, center: np.ndarray, scale: np.ndarray) -> Curvature:
    X, s, _, _, (_, _, d2z) = block
    x = np.column_stack([(X - center) / scale, np.ones(len(X), X.dtype)])
    return _stacked(Curvature, (s.sum(), gram(x * (s * d2z)[:, None], x)))


def _stacked(kind: Any, sums: Any) -> Any:
    """Give sums the axis of models, of which there is one; in float64."""
    return kind(*(np.asarray(v, np.float64)[None] for v in sums))


def _add_up(sums: Iterator[Any]) -> Any:
    first, *rest = sums
    return jax.tree.map(lambda *v: np.sum(v, axis=0), first, *rest)


def suits_host_rows(n: int, d: int) -> bool:
    """Whether `fit_rows_on_host` is quicker than to compile `fit`: where there is no accelerator.

    Examples
    --------
    >>> print(suits_host_rows(100_000, 50), suits_host_rows(1_000_000, 100))
    True False
    """
    fits = SMALL < n * d <= _NUMBERS and d <= _WIDEST
    return fits and jax.default_backend() == "cpu"


def fit_rows_on_host(
    X: np.ndarray,
    y: np.ndarray,
    *,
    l2: float = 0.0,
    sample_weight: np.ndarray | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
    init: Params | None = None,
) -> Fit:
    """Fit one model of two classes as `fit` does, with NumPy's products in the place of JAX's.

    As quick as `fit` on a CPU once that is compiled, and with next to nothing to compile.

    Parameters
    ----------
    X : ndarray, shape (n, d)
        Finite features, float64 or float32; more than a million numbers.
    y : ndarray, shape (n,)
        Labels in [0, 1].
    l2, sample_weight, fit_intercept, tol, max_steps, init
        As for `fit`, and taken as they are: nothing is checked.

    Returns
    -------
    Fit

    Examples
    --------
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    >>> X, y = np.tile(X, (300_000, 1)), np.tile(y, 300_000)
    >>> print(fit_rows_on_host(X, y).params.w.round(4))
    [0.9082]
    """
    with Clock() as clock, jax.enable_x64(True), jax.default_device(shard.host_device()):
        arrays: Any = X, y, sample_weight
        rows = Rows(*arrays)
        scaling, typical, reads = measure(rows, intercept=fit_intercept)
        penalty = take_penalties(l2, 1)
        objective = HostObjective(
            rows, View(), scaling, penalty, None, typical=typical, reads=reads
        )
        return minimise(objective, init, method="auto", tol=tol, max_steps=max_steps, clock=clock)
