"""The elastic net: what it adds to an objective, and what its optimum must look like.

In standardised parameters u, each with factors of its own (0 for the intercept)::

    J(u) = loss(u) + sum_j (l2_j u_j^2 / 2 + l1_j |u_j|)

u is optimal where 0 is a subgradient: with g the gradient of all but the last sum::

    g_j = -l1_j sign(u_j)    where u_j is not 0,        |g_j| <= l1_j    where it is

References
----------
Y. Li, S. Osher, *A New Median Formula with Applications to PDE Based Denoising*, 2009.
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxlr.solve.rows import take_penalties
from jaxlr.solve.scaling import Scaling


def take_elastic_net(
    l1: ArrayLike, l2: ArrayLike, l1_ratio: ArrayLike | None, K: int
) -> tuple[np.ndarray, np.ndarray]:
    """Check the penalties of K models: l1 (K,) and l2 (K,)."""
    l1, l2 = take_penalties(l1, K, "l1"), take_penalties(l2, K)
    if l1_ratio is None:
        return l1, l2
    ratio = take_penalties(l1_ratio, K, "l1_ratio")
    if (ratio > 1).any():
        raise ValueError(f"l1_ratio is {l1_ratio}: it must be between 0 and 1")
    if l1.any():
        raise ValueError("l1 and l1_ratio are both given: with l1_ratio, l2 is the whole penalty")
    if ratio.any() and not l2.any():
        raise ValueError("l1_ratio is given, but l2 is 0: with l1_ratio it is the whole penalty")
    return ratio * l2, (1 - ratio) * l2


class ElasticNet(NamedTuple):
    """Factors (p,) of ``|u_j|`` and of ``u_j^2 / 2``."""

    l1: np.ndarray
    l2: np.ndarray

    @classmethod
    def of(cls, l1: float, l2: float, scaling: Scaling) -> "ElasticNet":
        """Penalties on w, as one model's u has them."""
        inverse = 1 / scaling.scale[0]
        factors = np.append(inverse, 0.0) if scaling.intercept else inverse
        factors = np.tile(factors, scaling.n_classes or 1)
        return cls(l1 * factors, l2 * factors**2)

    def at(self, coordinates: np.ndarray) -> "ElasticNet":
        """Take those of some coordinates."""
        return ElasticNet(self.l1[coordinates], self.l2[coordinates])

    def of_place(self, u: np.ndarray) -> float:
        """Return the penalty at u, in nats."""
        return float(np.sum(self.l1 * abs(u) + 0.5 * self.l2 * u**2))

    def common(self, u: np.ndarray) -> np.ndarray:
        """Return what to add to parameters u (C, k) of k features, all classes alike: (k,).

        No probability changes by it; the penalty is least with it. It is a median (Li and Osher).
        These are the factors of those features, (C, k) too.
        """
        C = len(u)
        ahead = C - 2.0 * np.arange(C + 1)[:, None]  # more classes below 0 than above
        with np.errstate(divide="ignore", invalid="ignore"):
            free = ahead * self.l1[0] / (C * self.l2[0]) - u.mean(axis=0)
        # Without l2 nothing moves where as many are above as below.
        free = np.where((ahead == 0) & (self.l2[0] == 0), 0.0, free)
        return np.median(np.concatenate([-u, free]), axis=0)

    def violation(self, u: np.ndarray, g: np.ndarray) -> np.ndarray:
        """How far each coordinate is from its condition, (p,); g is that of the loss alone."""
        g = g + self.l2 * u
        return np.where(u != 0, abs(g + self.l1 * np.sign(u)), np.maximum(abs(g) - self.l1, 0))

    def slope(self, u: np.ndarray, g: np.ndarray, sign: np.ndarray, step: np.ndarray) -> float:
        """Slope of J along a step at u, whose signs are ``sign``, or 0 and about to change."""
        sign = np.where(sign != 0, sign, np.sign(step))
        return float(np.sum((g + self.l2 * u + self.l1 * sign) * step))
