"""The inverse of a block of a matrix, kept up to date while the block changes."""

from contextlib import suppress

import numpy as np

from jaxlr.solve.products import times

# Of the right side, what may be left over: without a correction, and with one.
_ROUNDING, _ACCURATE = 1e-13, 1e-10
_SMALL = 128  # matrices that LAPACK inverts with one core
_TINY = np.finfo(np.float64).tiny
_MOST = 0.3  # of a block, that may change before it is inverted anew


class FaceInverse:
    """Inverse of ``H[face][:, face]`` for one face after the other, (p, p) and 0 elsewhere.

    Where k coordinates enter or leave, that is k p^2 multiplications instead of p^3 (bordering).
    """

    def __init__(self, H: np.ndarray) -> None:
        self.H = H
        self._forget()

    def solve(self, face: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solve ``H x = b`` on a face (p,), with x 0 elsewhere; return x (p,) and H x (p,)."""
        self._move_to(face)
        b = np.where(face, b, 0.0)
        x, Hx = self._apply(face, b)
        if self._changed and not self._leaves(face, b, Hx) <= _ACCURATE:
            self._forget()
            self._move_to(face)
            x, Hx = self._apply(face, b)
        return x, Hx

    def _apply(self, face: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = times(self.M, b)
        Hx = times(self.H, x)
        if self._leaves(face, b, Hx) <= _ROUNDING:
            return x, Hx
        more = times(self.M, np.where(face, b - Hx, 0.0))
        return x + more, Hx + times(self.H, more)

    def _leaves(self, face: np.ndarray, b: np.ndarray, Hx: np.ndarray) -> float:
        return abs(b - Hx)[face].max(initial=0) / max(abs(b).max(initial=0), _TINY)

    def _forget(self) -> None:
        self.face, self.M = np.zeros(len(self.H), bool), np.zeros_like(self.H)
        self._changed = False  # by anything but one inversion

    def _move_to(self, face: np.ndarray) -> None:
        if np.sum(face ^ self.face) > _MOST * np.sum(face):
            self._forget()
        leave, enter = np.flatnonzero(self.face & ~face), np.flatnonzero(face & ~self.face)
        self._changed |= self.face.any() and len(leave) + len(enter) > 0
        M, H = self.M, self.H
        if len(leave):
            B = M[:, leave]
            M -= times(times(B, _inverse(B[leave])), B.T)
            M[leave] = M[:, leave] = 0
        if len(enter):
            C, first = H[np.ix_(enter, enter)], not (self.face & face).any()
            A = None if first else times(M, H[:, enter])
            inverse = _inverse(C if A is None else C - times(H[enter], A))
            if A is not None:
                B = times(A, inverse)
                M += times(B, A.T)
                M[:, enter], M[enter] = -B, -B.T
            M[np.ix_(enter, enter)] = inverse
        self.face = face.copy()


def _inverse(C: np.ndarray) -> np.ndarray:
    """Invert a positive definite matrix; a little more of it, where rounding has made it less."""
    if len(C) > _SMALL:
        return _by_halves(C)
    with suppress(np.linalg.LinAlgError):
        inverse = np.linalg.inv(C)
        if (np.diag(inverse) > 0).all():
            return (inverse + inverse.T) / 2
    from scipy.linalg import get_lapack_funcs  # a tenth of a second that `import jaxlr` spares

    potrf, potri = get_lapack_funcs(("potrf", "potri"), (C,))
    root, more = np.sqrt(np.maximum(np.abs(np.diag(C)), _TINY)), 0.0
    unit = C / np.outer(root, root)
    while True:
        factor, failed = potrf(unit + more * np.eye(len(C)), lower=True)
        if not failed:
            break
        more = max(100 * more, 1e-12)
    inverse = potri(factor, lower=True)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    return inverse / np.outer(root, root)


def _by_halves(C: np.ndarray) -> np.ndarray:
    """Invert by the inverses of one half and of what it leaves of the other (Schur complement)."""
    k = len(C) // 2
    A = _inverse(C[:k, :k])
    B = times(A, C[:k, k:])
    D = _inverse(C[k:, k:] - times(C[k:, :k], B))
    side = times(B, D)
    return np.block([[A + times(side, B.T), -side], [-side.T, D]])
