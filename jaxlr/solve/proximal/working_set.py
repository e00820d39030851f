"""The columns that take part for now: their rows, their curvature, and their place among all."""

import numpy as np

from jaxlr.solve.newton import is_resolved
from jaxlr.solve.proximal.loss import Look, Loss
from jaxlr.solve.proximal.quadratic import Quadratic

_LEAST, _GROWTH = 32, 4  # columns, and how many times more when these do not do: few sizes compile
_READS_OF_A_MATRIX = 40  # columns for which a Hessian costs as much more than a read of them
_PROXIMAL, _PROXIMAL_NARROW = 1e-9, 1e-6  # of the diagonal, added: collinear columns bend too


class WorkingSet:
    """Some columns of a `Loss`, or all, with the curvature as it was when it was last looked at.

    Columns of zeros fill it up to ``size``; ``coordinates`` (q,) are the places of its
    parameters among all u (p,).
    """

    def __init__(self, loss: Loss, columns: np.ndarray, size: int) -> None:
        self.loss_of_all = loss
        self.whole = not loss.sparse and (2 * size > loss.d or loss.bends_along)
        self.columns = np.arange(loss.d) if self.whole else columns
        self.loss = loss if self.whole else loss.of_columns(columns, size)
        self.share = self.loss.d / loss.d
        self.coordinates = _places(loss, self.columns)
        self._own = _places(self.loss, np.arange(len(self.columns)))
        self._size = self.loss.scaling.size
        self.H: np.ndarray | None = None
        self._more = _PROXIMAL
        self._quadratic: Quadratic | None = None
        self._l2 = np.zeros(0)
        self.wasted = 0  # reads that a fresh matrix would have spared

    @classmethod
    def of_nonzero(cls, loss: Loss, u: np.ndarray) -> "WorkingSet":
        """Take the columns that have a coefficient, and none beside them."""
        columns = np.flatnonzero(loss.of_features(u).any(axis=0))
        return cls(loss, columns, _size(len(columns), loss.d))

    @classmethod
    def of_best(cls, loss: Loss, order: np.ndarray, count: int) -> "WorkingSet":
        """Take the first ``count`` columns of an order, and those after them that cost no more."""
        size = _size(count, loss.d)
        return cls(loss, np.sort(order[:size]), size)

    @property
    def worn(self) -> bool:
        """Whether a new matrix would have cost less than the reads that it would have spared."""
        return self.wasted * _READS_OF_A_MATRIX > len(self.coordinates)

    def holds(self, columns: np.ndarray) -> bool:
        """Whether these columns are among its own."""
        return self.whole or bool(np.isin(columns, self.columns).all())

    def look(self, u: np.ndarray, *, wide: bool) -> Look:
        """Read its columns at u (q,)."""
        found = self.loss.look(self._padded(u), wide=wide)
        H = None if found.H is None else found.H[np.ix_(self._own, self._own)]
        return found._replace(g=found.g[self._own], H=H)

    def dual(self, u: np.ndarray, a: np.ndarray, mix: float, shares: np.ndarray) -> np.ndarray:
        """`Loss.dual` at u (q,)."""
        return self.loss.dual(self._padded(u), a, mix, shares)

    def take_matrix(self, u: np.ndarray, H: np.ndarray | None, *, wide: bool) -> None:
        """Take the Hessian at u (q,), which may be known already; else in float64 if ``wide``."""
        self._more = _PROXIMAL
        if H is None:
            H, narrow = self.loss.bend(self._padded(u), wide=wide)
            H = H[np.ix_(self._own, self._own)]
            self._more = _PROXIMAL_NARROW if narrow else _PROXIMAL
        self.H = H
        self.wasted = 0
        self._quadratic = None

    def quadratic(self, l2: np.ndarray) -> Quadratic:
        """Hessian with the penalty l2 (q,), and a little more on its diagonal."""
        if self._quadratic is None or not np.array_equal(self._l2, l2):
            self._quadratic, self._l2 = Quadratic(self._matrix(l2)), l2
        return self._quadratic

    def _matrix(self, l2: np.ndarray) -> np.ndarray:
        assert self.H is not None
        H = self.H + np.diag(l2)
        diagonal = np.diag(H)
        return H + np.diag(np.where(is_resolved(diagonal), self._more * diagonal, 1.0))

    def _padded(self, u: np.ndarray) -> np.ndarray:
        padded = np.zeros(self._size)
        padded[self._own] = u
        return padded


def _places(loss: Loss, columns: np.ndarray) -> np.ndarray:
    """Places of the parameters of some columns, and of all intercepts, among those of a loss."""
    number = np.arange(loss.scaling.size).reshape(loss.classes, -1)
    return np.concatenate([number[:, columns], number[:, loss.d :]], axis=1).ravel()


def _size(count: int, d: int) -> int:
    """Size of a set that holds ``count`` of d columns."""
    size = min(_LEAST, d)
    while size < count:
        size *= _GROWTH
    return min(size, d)
