"""How far above its optimum an objective is at most: the duality gap of the elastic net.

The dual of `jaxlr.batch.dual_sums`, at slopes t_i, is a lower bound of J at its optimum::

    D(t) = mean of (t_i o_i - L*(t_i, y_i)) - sum_j max(|G_j| - l1_j, 0)^2 / (2 l2_j)

where G is the gradient of the loss that has these slopes, and where l2 is 0 no ``|G_j|`` may be
above its l1: all slopes are shrunk until none is. With an intercept the slopes must add up to 0.
Those of a solver nearly do; they are mixed with a few of those that a model of the intercept alone
has, ``a - y``, with a such that the sum is 0. That moves each G_j by less than the part mixed in,
for features have deviation 1 and slopes are not beyond 1.

References
----------
S. Boyd, L. Vandenberghe, *Convex Optimization*, 5.5.
E. Ndiaye and others, *Gap Safe Screening Rules for Sparsity Enforcing Penalties*, 2017.
"""

import numpy as np

from jaxlr.solve.proximal.loss import Look
from jaxlr.solve.proximal.penalty import ElasticNet
from jaxlr.solve.proximal.working_set import WorkingSet

_EPS = np.finfo(np.float64).eps


def duality_gap(penalty: ElasticNet, u: np.ndarray, here: Look, work: WorkingSet) -> float:
    """Duality gap at u (P,), in nats, in one read of the columns of the working set."""
    loss = work.loss_of_all
    of = loss.of_features
    a, mix = _mixed(loss.shares, loss.of_intercepts(here.g))
    G, l1, l2 = abs(of(here.g)) + mix, of(penalty.l1), of(penalty.l2)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is no limit
        share = min(1.0, np.min(l1 / G, initial=1.0))
    shares = np.array([share, 1.0 if l2.any() else share])
    excess = np.maximum(shares[:, None, None] * G - l1, 0)
    with np.errstate(divide="ignore"):  # infinite where l2 has underflowed, and so no bound
        beyond = np.divide(excess**2, 2 * l2, where=excess > 0, out=np.zeros_like(excess))
    penalties = beyond.sum(axis=(1, 2)) if l2.any() else 0.0
    dual = work.dual(u[work.coordinates], a, mix, shares) - penalties
    J = here.loss + penalty.of_place(u)
    gap = J - np.fmax.reduce(dual)
    return float(max(_EPS * abs(J), gap)) if np.isfinite(gap) else np.inf


def _mixed(shares: np.ndarray, excess: np.ndarray) -> tuple[np.ndarray, float]:
    """Probabilities a (C,) and how much of their slopes to mix in, so that all add up to 0.

    ``excess`` (C,) is the mean slope of each class; (1,) for two classes, or (0,) where slopes may
    add up to anything.
    """
    most = abs(excess).max(initial=0)
    if not most > 0:
        return shares, 0.0
    with np.errstate(divide="ignore"):
        mix = min(1.0, 2 * most / shares.min())
    excess = np.array([-excess[0], excess[0]]) if len(excess) == 1 else excess
    return shares - (1 - mix) / mix * excess, mix
