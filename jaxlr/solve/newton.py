"""From gradients to directions: a sampled Newton matrix, and the memory that corrects it.

The direction is that of L-BFGS, started not from a multiple of the identity but from the inverse
of the Hessian that a sample of the rows has. Where the sample is all rows, and fresh, it is
Newton's.

References
----------
J. Nocedal, S. Wright, *Numerical Optimization*, 2006, Algorithm 7.4.
F. Roosta-Khorasani, M. Mahoney, *Sub-sampled Newton Methods*, 2019.
"""

from typing import Any

import numpy as np

JITTER, JITTER_NARROW = 1e-13, 1e-6  # what the sums behind a matrix cannot tell from 0
WIDEST, DEAR = 3000, 5e11  # columns up to which a matrix pays; multiplications that take seconds
_PAIRS = 10


def with_penalty(H: Any, penalty: Any, n_classes: int | None) -> Any:
    """Add penalties (K, P) to curvatures H (K, P, P), in NumPy or in JAX.

    With classes, what is added to the parameters of a feature in all of them changes no loss: where
    there is no penalty, H has no curvature in that direction, and no gradient either. It gets one.
    """
    xp, P = H.__array_namespace__(), H.shape[-1]
    H = H + penalty[:, None, :] * xp.eye(P, dtype=H.dtype)[None]
    if n_classes is None:
        return H
    p = P // n_classes
    feature = np.arange(P) % p
    alike = xp.asarray(feature[:, None] == feature)[None]
    size = xp.linalg.diagonal(H).reshape(len(H), n_classes, p).mean(axis=1)
    size = xp.where(penalty[:, :p] == 0, size, 0.0)[:, feature]
    return H + xp.where(alike, size[:, None, :] / n_classes, 0.0)


def curved(H: Any) -> Any:
    """Give a curvature of 1 to parameters without any, H (K, P, P), in NumPy or in JAX.

    Scaled to a diagonal of ones, the rounding that is left there would pass for a column; so the
    step there is the gradient.
    """
    xp, P = H.__array_namespace__(), H.shape[-1]
    flat = ~is_resolved(xp.linalg.diagonal(H))
    return xp.where(flat[:, :, None] & xp.eye(P, dtype=bool)[None], 1.0, H)


def is_resolved(diagonal: Any) -> Any:
    """Tell curvatures (..., P) from rounding, such as that of a constant column that is centred.

    The loss has at most 1/4 by a standardised feature: a larger entry is a penalty, which says
    nothing of the sums behind the others.
    """
    xp = diagonal.__array_namespace__()
    largest = xp.max(diagonal, axis=-1, keepdims=True, initial=0)
    return diagonal > 1e-14 * xp.where(largest < 1, largest, 1.0)


def to_unit(H: Any, jitter: float = JITTER) -> tuple[Any, Any]:
    """Scale matrices (K, P, P) to a diagonal of ones, and add ``jitter``, in NumPy or in JAX.

    ``H_ij = root_i unit_ij root_j``, but for the jitter, which is what the rounding of the sums
    behind H cannot tell from 0; so ``H x = g`` where ``unit (root x) = g / root``.

    Returns
    -------
    unit : array, shape (K, P, P)
    root : array, shape (K, P)

    Examples
    --------
    >>> unit, root = to_unit(np.array([[[4.0, 1.0], [1.0, 1.0]]]), jitter=0.0)
    >>> print(unit[0].tolist(), root[0].tolist())
    [[1.0, 0.5], [0.5, 1.0]] [2.0, 1.0]
    """
    H = curved(H)
    xp, P = H.__array_namespace__(), H.shape[-1]
    root = xp.sqrt(xp.linalg.diagonal(H))
    unit = H / (root[:, :, None] * root[:, None, :])
    return unit + jitter * xp.eye(P, dtype=H.dtype)[None], root


class NewtonMatrix:
    """K symmetric matrices (P, P), by their Cholesky factors; the identity until one is `set`.

    Where each has the same block (p, p) for all its classes and nothing beside them, that block is
    all there is.
    """

    def __init__(self, K: int, P: int) -> None:
        self.root = np.ones((K, P))
        self.factor: np.ndarray | None = None  # none while all are diagonal

    @property
    def rough(self) -> bool:
        """Whether it is a diagonal or blocks alone: the size of what it gives is to be found."""
        return self.factor is None or self.factor.shape[-1] < self.root.shape[-1]

    def set(self, lanes: np.ndarray, H: np.ndarray, jitter: float) -> None:
        """Take the matrices or blocks H (k, p, p) for the models ``lanes`` (k,)."""
        (K, P), p = self.root.shape, H.shape[-1]
        if self.factor is None:
            self.factor = np.tile(np.eye(p), (K, 1, 1))
        unit, root = to_unit(H, jitter)
        self.root[lanes] = np.tile(root, P // p)
        self.factor[lanes] = _cholesky(unit, jitter)

    def set_diagonal(self, lanes: np.ndarray, diagonal: np.ndarray) -> None:
        """Take diagonal matrices (k, P): all there is room for where P is large."""
        self.root[lanes] = np.sqrt(np.where(is_resolved(diagonal), diagonal, 1.0))

    def solve(self, lanes: np.ndarray, g: np.ndarray) -> np.ndarray:
        """``H^-1 g`` for the models ``lanes`` (k,), g (k, P)."""
        root = self.root[lanes]
        x = g / root
        if self.factor is not None:
            L = self.factor[lanes] if len(lanes) < len(self.factor) else self.factor
            (k, P), p = x.shape, L.shape[-1]
            x = _solve(L, x.reshape(k, P // p, p)).reshape(k, P)
        return x / root


def _solve(L: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Solve ``L L' x = b`` for all right-hand sides of each model: L (k, p, p), b (k, m, p)."""
    k, _, p = b.shape
    x = b.copy()
    if k < 2 * p:
        from scipy.linalg import cho_solve  # a tenth of a second that `import jaxlr` spares

        for factor, v in zip(L, x, strict=True):
            v[:] = cho_solve((factor, True), v.T, check_finite=False).T
        return x
    for j in range(p):  # all models at once, for there are more of them than columns
        above = np.einsum("ki,kmi->km", L[:, j, :j], x[:, :, :j])
        x[:, :, j] = (x[:, :, j] - above) / L[:, j, j, None]
    for j in reversed(range(p)):
        below = np.einsum("ki,kmi->km", L[:, j + 1 :, j], x[:, :, j + 1 :])
        x[:, :, j] = (x[:, :, j] - below) / L[:, j, j, None]
    return x


def _cholesky(unit: np.ndarray, jitter: float) -> np.ndarray:
    """Factor each matrix; where that fails, alone and with more than ``jitter`` on its diagonal."""
    try:
        return np.linalg.cholesky(unit)
    except np.linalg.LinAlgError:
        if len(unit) > 1:
            return np.concatenate([_cholesky(lane[None], jitter) for lane in unit])
        eye = np.eye(unit.shape[-1])[None]
        if jitter > 1 or not np.isfinite(unit).all():
            return eye
        return _cholesky(unit + 99 * jitter * eye, 100 * jitter)


class Memory:
    """The last steps s and changes of gradient y of K models, newest last: (pairs, K, p)."""

    def __init__(self, K: int, p: int) -> None:
        self.s, self.y = np.zeros((2, _PAIRS, K, p))
        self.rho = np.zeros((_PAIRS, K))  # 1 / s.y, and 0 where there is no pair

    def add(self, lanes: np.ndarray, s: np.ndarray, y: np.ndarray, rounding: float) -> None:
        """Note a step and what it did to the gradient, where that is more than ``rounding``."""
        sy = np.sum(s * y, axis=1)
        ok = sy > rounding * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
        lanes = lanes[ok]
        for store, new in ((self.s, s[ok]), (self.y, y[ok]), (self.rho, 1 / sy[ok])):
            store[:-1, lanes] = store[1:, lanes]
            store[-1, lanes] = new

    def forget(self, lanes: np.ndarray) -> None:
        """Drop all pairs of the models ``lanes``."""
        self.rho[:, lanes] = 0

    def direction(self, lanes: np.ndarray, g: np.ndarray, matrix: NewtonMatrix) -> np.ndarray:
        """``-B g``, where B is the inverse of the matrix, corrected by the pairs."""
        pairs = [i for i in range(_PAIRS) if self.rho[i, lanes].any()]
        along = {}
        q = g
        for i in reversed(pairs):
            along[i] = self.rho[i, lanes] * np.sum(self.s[i, lanes] * q, axis=1)
            q = q - along[i][:, None] * self.y[i, lanes]
        q = matrix.solve(lanes, q)
        if matrix.rough and pairs:
            q = q * self._size(pairs[-1], lanes, matrix)[:, None]
        for i in pairs:
            back = self.rho[i, lanes] * np.sum(self.y[i, lanes] * q, axis=1)
            q = q + (along[i] - back)[:, None] * self.s[i, lanes]
        return -q

    def _size(self, i: int, lanes: np.ndarray, matrix: NewtonMatrix) -> np.ndarray:
        """How much too small the inverse of a rough matrix is, as its last pair has it; else 1."""
        y = self.y[i, lanes]
        seen = np.sum(y * matrix.solve(lanes, y), axis=1)
        known = self.rho[i, lanes] > 0
        return np.where(known, 1 / np.where(known, self.rho[i, lanes] * seen, 1.0), 1.0)
