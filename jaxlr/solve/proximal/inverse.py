"""The inverse of a block of a matrix, kept up to date while the block changes."""

from contextlib import suppress

import numpy as np

from jaxlr.solve.products import times, times_mostly_0

# Of the right side, what may be left over: without a correction, and with all of them.
_ROUNDING, _ACCURATE = 1e-13, 1e-10
_CORRECTIONS = 4  # one does, but where most of a face are directions without curvature
_SMALL = 64  # matrices that LAPACK inverts with one core
_MORE = 10.0 ** np.arange(-12, 3, 2)  # on a diagonal of ones, where rounding left too little
_TINY = np.finfo(np.float64).tiny
_MOST = 0.3  # of a block, that may change before it is inverted anew


class FaceInverse:
    """Inverse of ``H[face][:, face]`` for one face after the other, H (p, p).

    Where k of s coordinates enter or leave, that is k s^2 multiplications instead of s^3
    (bordering).
    """

    def __init__(self, H: np.ndarray) -> None:
        self.H = H
        self._forget()

    def solve(self, face: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solve ``H x = b`` on a face (p,), with x 0 elsewhere; return x (p,) and H x (p,)."""
        self._move_to(face)
        x, Hx = self._apply(b)
        if self._changed and not self._leaves(b, Hx) <= _ACCURATE:
            self._forget()
            self._move_to(face)
            x, Hx = self._apply(b)
        return x, Hx

    def _apply(self, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.zeros(len(b))
        x[self.members] = times(self.M, b[self.members])
        Hx = times_mostly_0(self.H, x)
        for _ in range(_CORRECTIONS):
            if self._leaves(b, Hx) <= _ROUNDING:
                break
            x[self.members] += times(self.M, (b - Hx)[self.members])
            Hx = times_mostly_0(self.H, x)
        return x, Hx

    def _leaves(self, b: np.ndarray, Hx: np.ndarray) -> float:
        b, Hx = b[self.members], Hx[self.members]
        return abs(b - Hx).max(initial=0) / max(abs(b).max(initial=0), _TINY)

    def _forget(self) -> None:
        self.members, self.M = np.zeros(0, int), np.zeros((0, 0))
        self._changed = False  # by anything but one inversion

    def _move_to(self, face: np.ndarray) -> None:
        enter = face.copy()
        enter[self.members] = False
        stay = face[self.members]
        if np.sum(enter) + np.sum(~stay) > _MOST * np.sum(face):
            self._forget()
            enter, stay = face, np.zeros(0, bool)
        if not stay.all():
            self._drop(stay)
        if enter.any():
            self._add(np.flatnonzero(enter))

    def _drop(self, stay: np.ndarray) -> None:
        B = self.M[np.ix_(stay, ~stay)]
        leaving = _inverse(self.M[np.ix_(~stay, ~stay)])
        self.M = self.M[np.ix_(stay, stay)] - times(times(B, leaving), B.T)
        self.members, self._changed = self.members[stay], True

    def _add(self, enter: np.ndarray) -> None:
        side = self.H[np.ix_(enter, self.members)]
        A = times(self.M, side.T)
        entering = _inverse(self.H[np.ix_(enter, enter)] - times(side, A))
        B = times(A, entering)
        self.M = np.block([[self.M + times(B, A.T), -B], [-B.T, entering]])
        self._changed |= len(self.members) > 0
        self.members = np.append(self.members, enter)


def _inverse(C: np.ndarray) -> np.ndarray:
    """Invert a positive definite matrix; a little more of it, where rounding has made it less."""
    if len(C) > _SMALL:
        return _by_halves(C)
    with suppress(np.linalg.LinAlgError):
        inverse = np.linalg.inv(C)
        if (np.diag(inverse) > 0).all():
            return (inverse + inverse.T) / 2
    root, one = np.sqrt(np.maximum(np.abs(np.diag(C)), _TINY)), np.eye(len(C))
    unit = C / np.outer(root, root)
    more = next((more for more in _MORE if _is_definite(unit + more * one)), _MORE[-1])
    inverse = np.linalg.inv(unit + more * one) / np.outer(root, root)
    return (inverse + inverse.T) / 2


def _is_definite(C: np.ndarray) -> bool:
    with suppress(np.linalg.LinAlgError):
        np.linalg.cholesky(C)
        return True
    return False


def _by_halves(C: np.ndarray) -> np.ndarray:
    """Invert by the inverses of one half and of what it leaves of the other (Schur complement)."""
    k = len(C) // 2
    A = _inverse(C[:k, :k])
    B = times(A, C[:k, k:])
    D = _inverse(C[k:, k:] - times(C[k:, :k], B))
    side = times(B, D)
    return np.block([[A + times(side, B.T), -side], [-side.T, D]])
