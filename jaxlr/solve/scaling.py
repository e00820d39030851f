"""The scale on which problems are solved: every feature standardised, and X untouched.

With mean c_j and deviation r_j of feature j, the parameters u of the standardised problem and
their gradient are linear in those of the raw one, so that X need never be rewritten::

    w_j  = u_j / r_j                       b   = u_0 - sum_j c_j w_j
    du_j = (dw_j - c_j db) / r_j           du_0 = db

The penalty stays on w: ``l2/2 ||w||^2 = 1/2 sum_j (l2 / r_j^2) u_j^2``. The optimum is that of
the raw problem; only the road to it is that of a standardised one. With C classes the same holds
for the parameters of each, which stand one after the other in u.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from jaxlr import shard


class Scaling(NamedTuple):
    """Means and deviations of the features, and whether there is an intercept.

    ``center`` and ``scale`` are (1, d) where all models share them, else (K, d). Parameters of K
    models are rows (K, P): u_1 ... u_d, and u_0 last where there is one, so p = d + 1 or d of them;
    of each of C classes, P = C p. `to_raw` and `gradient` take arrays of JAX too.
    """

    center: np.ndarray
    scale: np.ndarray
    intercept: bool
    n_classes: int | None = None

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
    def d(self) -> int:
        """Number of features."""
        return self.scale.shape[1]

    @property
    def size(self) -> int:
        """Number of parameters P."""
        return (self.d + self.intercept) * (self.n_classes or 1)

    def to_raw(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters u (K, P) as w (K, d) and b (K,); or w (K, C, d) and b (K, C)."""
        u, center, scale = self._by_class(u)
        w = u[..., : self.d] / scale
        if not self.intercept:
            return w, u.__array_namespace__().zeros(w.shape[:-1], dtype=u.dtype)
        return w, u[..., -1] - (center * w).sum(axis=-1)

    def from_raw(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Parameters w and b, of the shapes that `to_raw` gives, as u (K, P)."""
        center, scale = self._spread(w.ndim)
        return self._flat(w * scale, b + np.sum(center * w, axis=-1))

    def gradient(self, dw: np.ndarray, db: np.ndarray) -> np.ndarray:
        """Gradient du (K, P) from dw and db, of the shapes of w and b."""
        center, scale = self._spread(dw.ndim)
        du = (dw - center * db[..., None]) if self.intercept else dw
        return self._flat(du / scale, db)

    def raw_gradient(self, du: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient dw and db from du (K, P); db is 0 without an intercept."""
        du, center, scale = self._by_class(du)
        db = du[..., -1] if self.intercept else np.zeros(du.shape[:-1])
        return du[..., : self.d] * scale + center * db[..., None], db

    def diagonal(self, bb: np.ndarray, wb: np.ndarray, ww: np.ndarray) -> np.ndarray:
        """Diagonal (K, P) of the curvature by u from those by b, by w and b, and by w."""
        center, scale = self._spread(ww.ndim)
        by_w = (ww - 2 * center * wb + center**2 * bb[..., None]) / scale**2
        return self._flat(np.maximum(by_w, 0), bb)

    def penalty(self, l2: np.ndarray) -> np.ndarray:
        """Penalties l2 (K,) as factors (K, P) of u^2 / 2."""
        with np.errstate(over="ignore"):  # infinite by features as small as 1e-160
            factors = l2[:, None] / self.scale / self.scale
        factors = np.pad(factors, [(0, 0), (0, 1)]) if self.intercept else factors
        return np.tile(factors, self.n_classes or 1)

    def matrix(self, H: np.ndarray) -> np.ndarray:
        """Matrices (K, P, P) from those whose rows and columns have an intercept in any case."""
        if self.intercept:
            return H
        place = np.arange(H.shape[1]).reshape(-1, self.d + 1)[:, : self.d].ravel()
        return H[:, place[:, None], place]

    def centered(self, u: np.ndarray) -> np.ndarray:
        """Parameters u (K, P); of classes such that those of a feature add to 0 over them."""
        if self.n_classes is None:
            return u
        by_class, _, _ = self._by_class(u)
        return (by_class - by_class.mean(axis=1, keepdims=True)).reshape(u.shape)

    def standardize(self, X: np.ndarray) -> np.ndarray:
        """Rows X (m, d) as one model sees them: features without unit, of deviation 1."""
        return (X - self.center[0]) / self.scale[0]

    def derivative(self) -> np.ndarray:
        """Return the derivative (P, P) of one model's (w, b), class by class, by u."""
        inverse = 1 / self.scale[0]
        A = np.diag(np.append(inverse, 1.0) if self.intercept else inverse)
        if self.intercept:
            A[-1, :-1] = -self.center[0] * inverse
        return np.kron(np.eye(self.n_classes or 1), A)

    def _spread(self, ndim: int) -> tuple[np.ndarray, np.ndarray]:
        """Center and scale with an axis for the classes, where w has one."""
        if ndim == 2:
            return self.center, self.scale
        return self.center[:, None], self.scale[:, None]

    def _by_class(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters u with an axis for the classes, if there are any; center and scale alike."""
        if self.n_classes is None:
            return u, self.center, self.scale
        return u.reshape(len(u), self.n_classes, -1), *self._spread(3)

    def _flat(self, du: np.ndarray, db: np.ndarray) -> np.ndarray:
        """Put the intercept behind the features, and the classes behind one another."""
        if self.intercept:
            du = du.__array_namespace__().concat([du, db[..., None]], axis=-1)
        return du.reshape(len(du), -1)


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
    """Whether a column has no deviation but rounding, so that its size is the only scale it has.

    Both are of float64, and the deviation is from a center that was known before.
    """
    return ~(deviation > 1e-13 * size)
