"""The inverse of a block of a matrix, kept up to date while the block changes."""

import numpy as np

_ACCURATE = 1e-10  # of the right side, that one correction must leave at most
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
        if not self._is_accurate(face, b, Hx) and self._changed:
            self._forget()
            self._move_to(face)
            x, Hx = self._apply(face, b)
        return x, Hx

    def _apply(self, face: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = self.M @ b
        Hx = self.H @ x
        more = self.M @ np.where(face, b - Hx, 0.0)
        return x + more, Hx + self.H @ more

    def _is_accurate(self, face: np.ndarray, b: np.ndarray, Hx: np.ndarray) -> bool:
        return bool(abs(b - Hx)[face].max(initial=0) <= _ACCURATE * abs(b).max(initial=0))

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
            M -= B @ np.linalg.solve(B[leave], B.T)
            M[leave] = M[:, leave] = 0
        if len(enter):
            A = M @ H[:, enter]
            inverse = _inverse(H[np.ix_(enter, enter)] - H[enter] @ A)
            B = A @ inverse
            if self.face.any():
                M += B @ A.T
            M[:, enter], M[enter] = -B, -B.T
            M[np.ix_(enter, enter)] = inverse
        self.face = face.copy()


def _inverse(C: np.ndarray) -> np.ndarray:
    """Invert a positive definite matrix; a little more of it, where rounding has made it less."""
    from scipy.linalg import get_lapack_funcs  # a tenth of a second that `import jaxlr` spares

    potrf, potri = get_lapack_funcs(("potrf", "potri"), (C,))

    root, more = np.sqrt(np.abs(np.diag(C))), 0.0
    unit = C / np.outer(root, root)
    while True:
        factor, failed = potrf(unit + more * np.eye(len(C)), lower=True)
        if not failed:
            break
        more = max(100 * more, 1e-12)
    inverse = potri(factor, lower=True)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    return inverse / np.outer(root, root)
