"""The problem of each turn: a quadratic function and weighted absolute values, exactly.

``q(v) = v' H v / 2 + c' v + sum_j l1_j |v_j|``

Where the signs of the optimum are known it is the solution of a linear system in the coordinates
that are not 0. Signs are guessed, the system is solved, what changes its sign becomes 0, and what
breaks its condition at 0 is let go, many at a time; where that does not lower q, one at a time,
which always does (feature-sign search). Few turns are needed, for the guess is the last solution.

References
----------
H. Lee, A. Battle, R. Raina, A. Ng, *Efficient Sparse Coding Algorithms*, 2006.
"""

import numpy as np

from jaxlr.solve.products import times
from jaxlr.solve.proximal.inverse import FaceInverse

_TURNS = 500


class Quadratic:
    """A positive definite matrix H (p, p), and the inverse of the block that was last asked for."""

    def __init__(self, H: np.ndarray) -> None:
        self.H, self.inverse = H, FaceInverse(H)

    def minimise(self, c: np.ndarray, l1: np.ndarray, v: np.ndarray, slack: float) -> np.ndarray:
        """Minimise q from v (p,) on, until conditions are broken by ``slack`` at most.

        Coordinates with ``l1`` 0 are free.
        """
        free = l1 == 0
        sign, face = np.sign(v), (v != 0) | free
        v, Hv = v.copy(), times(self.H, v)
        for _ in range(_TURNS):
            x, Hx = self.inverse.solve(face, -(c + l1 * sign))
            wrong = face & ~free & (x * sign <= 0)
            if not wrong.any():
                v, Hv = x, Hx
                r = Hv + c
                let_go = ~face & (abs(r) > l1 + slack)
                if not let_go.any():
                    return v
                face |= let_go
                sign = np.where(let_go, -np.sign(r), sign)
                continue
            shorter = self._towards(x, Hx, c, l1, v, Hv, wrong)
            if shorter is not None:
                v, Hv = shorter
                face, sign = (v != 0) | free, np.sign(v)
                continue
            # What was let go has gone the wrong way: the worst alone goes right.
            excess = np.where(face & (v == 0) & ~free, abs(Hv + c) - l1, -np.inf)
            if np.sum(np.isfinite(excess)) <= 1:
                return v
            face = (v != 0) | free
            face[np.argmax(excess)] = True
        return v

    def _towards(
        self,
        x: np.ndarray,
        Hx: np.ndarray,
        c: np.ndarray,
        l1: np.ndarray,
        v: np.ndarray,
        Hv: np.ndarray,
        wrong: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """From v towards x: with all that changed its sign set to 0, or as far as the first of it.

        Returns where that is and H times it, or None where neither can be.
        """
        here = _value(Hv, c, l1, v)
        clipped = np.where(wrong, 0.0, x)
        H_clipped = times(self.H, clipped)
        if _value(H_clipped, c, l1, clipped) < here - 1e-15 * abs(here):
            return clipped, H_clipped
        if (wrong & (v == 0)).any():
            return None
        share = np.full_like(v, np.inf)
        share[wrong] = v[wrong] / (v[wrong] - x[wrong])
        t = share.min()
        return np.where(share <= t, 0.0, v + t * (x - v)), Hv + t * (Hx - Hv)


def _value(Hv: np.ndarray, c: np.ndarray, l1: np.ndarray, v: np.ndarray) -> float:
    return float(0.5 * v @ Hv + c @ v + l1 @ abs(v))
