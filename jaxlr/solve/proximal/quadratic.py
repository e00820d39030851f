"""The problem of each turn: a quadratic function and weighted absolute values, exactly.

``q(v) = v' H v / 2 + c' v + sum_j l1_j |v_j|``

Where the signs of the optimum are known it is the solution of a linear system in the coordinates
that are not 0, the face. Each turn goes to the optimum of the face, or until signs change, and
sets to 0 what changes its sign. Where none does, coordinates that break their condition at 0 are
moved one after the other, each to the optimum of its own, those that break it most first: of
columns that say the same only one comes in. Every turn lowers q, so no face comes twice. Few turns
are needed, for v starts where the last one ended.

References
----------
H. Lee, A. Battle, R. Raina, A. Ng, *Efficient Sparse Coding Algorithms*, 2006.
J. Friedman, T. Hastie, H. Hoefling, R. Tibshirani, *Pathwise Coordinate Optimization*, 2007.
"""

import numpy as np

from jaxlr.solve.products import times_mostly_0
from jaxlr.solve.proximal.inverse import FaceInverse

_TURNS = 500  # after which v is returned as it is: q is lower there, and conditions are broken


class Quadratic:
    """A positive definite matrix H (p, p), and the inverse of the block that was last asked for."""

    def __init__(self, H: np.ndarray) -> None:
        self.H, self.inverse = H, FaceInverse(H)

    def minimise(self, c: np.ndarray, l1: np.ndarray, v: np.ndarray, slack: float) -> np.ndarray:
        """Minimise q from v (p,) on, until conditions are broken by ``slack`` at most.

        Coordinates with ``l1`` 0 are free.
        """
        free = l1 == 0
        Hv = times_mostly_0(self.H, v)
        for _ in range(_TURNS):
            face = (v != 0) | free
            x, Hx = self.inverse.solve(face, -(c + l1 * np.sign(v)))
            changed = face & ~free & (x * v <= 0)
            if changed.any():
                v, Hv = self._towards(x, Hx, c, l1, v, Hv, changed)
                continue
            r = Hx + c
            excess = np.where(face, 0.0, abs(r) - l1)
            broken = np.flatnonzero(excess > slack)
            if not len(broken):
                return x
            v, Hv = self._let_in(broken[np.argsort(-excess[broken])], c, l1, x, r, slack)
        return v

    def _towards(
        self,
        x: np.ndarray,
        Hx: np.ndarray,
        c: np.ndarray,
        l1: np.ndarray,
        v: np.ndarray,
        Hv: np.ndarray,
        changed: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """From v towards x, with what ``changed`` its sign by then set to 0; and H times that.

        All the way, or half of it, a quarter, ..., until q is lower; at the first change it is.
        """
        here, t = _value(Hv, c, l1, v), 1.0
        share = np.full_like(v, np.inf)
        share[changed] = v[changed] / (v[changed] - x[changed])
        while True:
            t = max(t, share.min())
            straight = v + t * (x - v)
            there = np.where(share <= t, 0.0, straight)
            H_there = Hv + t * (Hx - Hv) + times_mostly_0(self.H, there - straight)
            if t == share.min() or _value(H_there, c, l1, there) < here - 1e-15 * abs(here):
                return there, H_there
            t /= 2

    def _let_in(
        self,
        order: np.ndarray,
        c: np.ndarray,
        l1: np.ndarray,
        v: np.ndarray,
        r: np.ndarray,
        slack: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move coordinates that are 0 one after the other: v and H v, where r was H v + c."""
        v, r = v.copy(), r.copy()
        for j in order:
            if abs(r[j]) > l1[j] + slack:
                v[j] = (np.sign(r[j]) * l1[j] - r[j]) / self.H[j, j]
                r += v[j] * self.H[j]
        return v, r - c


def _value(Hv: np.ndarray, c: np.ndarray, l1: np.ndarray, v: np.ndarray) -> float:
    return float(0.5 * v @ Hv + c @ v + l1 @ abs(v))
