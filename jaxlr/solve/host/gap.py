"""How far above its optimum an objective with l1 is at most: the duality gap on the host.

At probabilities a_i of the K classes, with slopes t_i = a_i - y_i and G = sum_i s_i t_i x_i::

    D = -sum_i s_i sum_k a_ik log a_ik - sum_kj max(|G_kj| - l1_j, 0)^2 / (2 l2_j)

is a lower bound of J at its optimum, if sum_i s_i t_i = 0 where there is an intercept, and where
l2 is 0 no ``|G_kj|`` is above its l1. The probabilities of a model nearly are such: they are mixed
with one distribution for all rows that brings the first sum to 0, and then with the labels.

References
----------
S. Boyd, L. Vandenberghe, *Convex Optimization*, 5.5.
"""

import numpy as np
from scipy.special import xlogy

from jaxlr.solve.host.problem import Place, Problem

_EPS = np.finfo(np.float64).eps


def duality_gap(problem: Problem, place: Place) -> float:
    """Duality gap at a place, in nats."""
    labels = problem.y.astype(int)[:, None] == np.arange(max(2, problem.m))
    a = _probabilities(problem, place, labels)
    if problem.scaling.intercept:
        a = _balanced(a, problem.s @ labels, problem.s)
    own = slice(1, 2) if problem.m == 1 else slice(None)  # the classes that have parameters
    d = problem.scaling.d
    G = abs(problem.rows.gradient(problem.s[:, None] * (a - labels)[:, own])[:, :d])
    l1, l2 = problem.penalty.l1[:d], problem.penalty.l2[:d]
    with np.errstate(divide="ignore", invalid="ignore"):
        least = min(1.0, float(np.nanmin(l1 / G, initial=1.0)))

    def dual(share: float) -> float:
        mixed = share * a + (1 - share) * labels
        excess = np.maximum(share * G - l1, 0)
        over = np.sum(excess**2 / (2 * l2)) if share > least else 0.0
        return float(-problem.s @ xlogy(mixed, mixed).sum(axis=1) - over)

    best = max(dual(share) for share in ({least, 1.0} if l2.all() else {least}))
    return max(_EPS * abs(place.J), place.J - best)


def _probabilities(problem: Problem, place: Place, labels: np.ndarray) -> np.ndarray:
    """Probabilities (n, K) of all classes."""
    dz = problem.terms(problem.rows.predictors(place.U)).dz
    if problem.m == 1:
        dz = np.stack([-dz, dz], axis=1)
    return np.clip(labels + dz, 0, 1)


def _balanced(a: np.ndarray, share: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Mix probabilities with one distribution, so that their mean is the share of each class."""
    mean = s @ a
    off = mean - share
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.nanmax(np.where(off > 0, off / mean, 0.0))
    if not theta > 0:
        return a
    return (1 - theta) * a + theta * np.maximum(mean - off / theta, 0)
