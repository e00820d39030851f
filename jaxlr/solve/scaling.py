"""The scale on which problems are solved: every feature standardised, and X untouched.

With mean c_j and deviation r_j of feature j, the parameters u of the standardised problem and
their gradient are linear in those of the raw one, so that X need never be rewritten::

    w_j  = u_j / r_j                       b   = u_0 - sum_j c_j w_j
    du_j = (dw_j - c_j db) / r_j           du_0 = db

The penalty stays on w: ``l2/2 ||w||^2 = 1/2 sum_j (l2 / r_j^2) u_j^2``. The optimum is that of
the raw problem; only the road to it is that of a standardised one.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from jaxlr import shard


class Scaling(NamedTuple):
    """Means and deviations of the features, and whether there is an intercept.

    ``center`` and ``scale`` are (1, d) where all models share them, else (K, d). Parameters of K
    models are rows (K, p): u_1 ... u_d, and u_0 last where there is one. `to_raw` and `gradient`
    take arrays of JAX too.
    """

    center: np.ndarray
    scale: np.ndarray
    intercept: bool

    @classmethod
    def of(cls, X: np.ndarray, weight: np.ndarray, *, intercept: bool) -> "Scaling":
        """Measure some rows X (K or 1, m, d) of weights (K or 1, m), in float64.

        Without an intercept nothing is centred.
        """
        parts = min(len(X), shard.cores())
        pieces = zip(np.array_split(X, parts), np.array_split(weight, parts), strict=True)
        found = shard.in_threads([partial(_measure_each, *piece, intercept) for piece in pieces])
        center, scale = map(np.concatenate, zip(*found, strict=True))
        return cls(center, scale, intercept)

    def of_models(self, lanes: np.ndarray) -> "Scaling":
        """Take those of the models ``lanes``."""
        if len(self.scale) == 1:
            return self
        return self._replace(center=self.center[lanes], scale=self.scale[lanes])

    @property
    def size(self) -> int:
        """Number of parameters p."""
        return self.scale.shape[1] + self.intercept

    def to_raw(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters u (K, p) as w (K, d) and b (K,)."""
        w = u[:, : self.scale.shape[1]] / self.scale
        if not self.intercept:
            return w, u.__array_namespace__().zeros(len(u), dtype=u.dtype)
        return w, u[:, -1] - (self.center * w).sum(axis=1)

    def from_raw(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Parameters w (K, d) and b (K,) as u (K, p)."""
        u = w * self.scale
        if not self.intercept:
            return u
        return np.column_stack([u, b + np.sum(self.center * w, axis=1)])

    def gradient(self, dw: np.ndarray, db: np.ndarray) -> np.ndarray:
        """Gradient du (K, p) from dw (K, d) and db (K,)."""
        if not self.intercept:
            return dw / self.scale
        du = (dw - self.center * db[:, None]) / self.scale
        return db.__array_namespace__().concat([du, db[:, None]], axis=1)

    def raw_gradient(self, du: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient dw (K, d) and db (K,) from du (K, p); db is 0 without an intercept."""
        d = self.scale.shape[1]
        db = du[:, d] if self.intercept else np.zeros(len(du))
        return du[:, :d] * self.scale + self.center * db[:, None], db

    def penalty(self, l2: np.ndarray) -> np.ndarray:
        """Penalties l2 (K,) as factors (K, p) of u^2 / 2."""
        factors = l2[:, None] / self.scale**2
        return np.pad(factors, [(0, 0), (0, 1)]) if self.intercept else factors

    def standardize(self, X: np.ndarray) -> np.ndarray:
        """Rows X (m, d) as one model sees them: features without unit, of deviation 1."""
        return (X - self.center[0]) / self.scale[0]

    def derivative(self) -> np.ndarray:
        """Return the derivative (p, p) of one model's (w, b) by u."""
        inverse = 1 / self.scale[0]
        A = np.diag(np.append(inverse, 1.0) if self.intercept else inverse)
        if self.intercept:
            A[-1, :-1] = -self.center[0] * inverse
        return A


def _measure_each(
    X: np.ndarray, weight: np.ndarray, intercept: bool
) -> tuple[np.ndarray, np.ndarray]:
    pairs = [_measure(*one, intercept) for one in zip(X, weight, strict=True)]
    center, scale = map(np.stack, zip(*pairs, strict=True))
    return center, scale


def _measure(X: np.ndarray, weight: np.ndarray, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    share, largest = weight / weight.sum(), np.ones(X.shape[1])
    if X.dtype == np.float64:  # where squares may over- or underflow
        largest = np.maximum(abs(X).max(axis=0, initial=0), np.finfo(np.float64).tiny)
    X = X / largest
    center = share @ X if intercept else np.zeros(X.shape[1])
    X -= center
    X *= X
    variance = share @ X
    deviation, size = np.sqrt(variance), np.sqrt(variance + center**2)
    scale = np.where(is_constant(deviation, size), size, deviation)
    return largest * center, np.where(scale > 0, largest * scale, 1.0)


def is_constant(deviation: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Whether a column has no deviation but rounding, so that its size is the only scale it has."""
    return ~(deviation > 1e-7 * size)
