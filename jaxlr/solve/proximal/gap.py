"""How far above its optimum an objective is at most: the duality gap of the elastic net.

The dual of `jaxlr.batch.optimality`, at slopes t_i, is a lower bound of J at its optimum::

    D(t) = mean of (t_i o_i - L*(t_i, y_i)) - sum_j max(|G_j| - l1_j, 0)^2 / (2 l2_j)

where G is the gradient of the loss that has these slopes, and where l2 is 0 no ``|G_j|`` may be
above its l1: all slopes are shrunk until none is. With an intercept the slopes must add up to 0.
Those of a solver nearly do; one side is shrunk a little more, which moves each G_j by at most
the root mean square of that change, for features have deviation 1.

References
----------
S. Boyd, L. Vandenberghe, *Convex Optimization*, 5.5.
E. Ndiaye and others, *Gap Safe Screening Rules for Sparsity Enforcing Penalties*, 2017.
"""

import numpy as np

from jaxlr.solve.proximal.loss import Look
from jaxlr.solve.proximal.penalty import Penalty
from jaxlr.solve.proximal.working_set import WorkingSet

_EPS = np.finfo(np.float64).eps


def duality_gap(penalty: Penalty, u: np.ndarray, here: Look, work: WorkingSet) -> float:
    """Duality gap at u (p,), in nats, in one read of the columns of the working set."""
    d = work.loss_of_all.d
    shrink, moved = _balance(here.up, here.down) if len(u) > d else ((1.0, 1.0), 0.0)
    G = abs(here.g[:d]) + moved
    l1, l2 = penalty.l1[:d], penalty.l2[:d]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = min(1.0, np.min(l1 / G, initial=1.0))
    shares = np.array([share, 1.0 if l2.any() else share])
    excess = np.maximum(shares[:, None] * G - l1, 0)
    loss = np.sum(excess**2 / (2 * l2), axis=1) if l2.any() else 0.0
    dual = work.dual(u[work.coordinates], shrink, shares) - loss
    J = here.loss + penalty.of_place(u)
    return float(max(_EPS * abs(J), J - dual.max()))


def _balance(up: float, down: float) -> tuple[tuple[float, float], float]:
    """Shrink slopes of one sign to the weight of the others; bound how far that moves G."""
    least, most = min(up, down), max(up, down)
    if not least < most:
        return (1.0, 1.0), 0.0
    share = least / most
    shrink = (share, 1.0) if up > down else (1.0, share)
    return shrink, (1 - share) * float(np.sqrt(most))  # no slope is beyond 1
