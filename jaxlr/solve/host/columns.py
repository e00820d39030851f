"""Newton's way with l1 where there are many columns: only those take part that matter.

A read of all columns says which break their condition of optimality. The worst of them, with those
that have a coefficient, are solved for alone; then all are read again, until none is broken.
"""

import numpy as np

from jaxlr.solve.host.descent import Way, descend
from jaxlr.solve.host.problem import Problem

MANY = 200  # parameters, from which on that pays
_AT_FIRST = 50  # columns
_SHARE = 0.1  # of the largest violation outside, to which the columns that take part are solved


def descend_by_columns(problem: Problem, U: np.ndarray, tol: float, max_steps: int) -> Way | None:
    """Take the parameters U (m, p) to where no condition is broken by more than ``tol``."""
    U, steps, reads, stuck = U.copy(), 0, 0, False
    while True:
        here = problem.look(U, with_step=False)
        reads += 1
        size = here.size.max(axis=0)
        if not size.max(initial=0) > tol or steps >= max_steps or stuck:
            return Way(here, steps, reads, stuck)
        taken = _choose(U, size, problem.scaling.d)
        size[taken] = 0
        goal = max(tol, _SHARE * size.max(initial=0))
        way = descend(problem.part(taken), U[:, taken], goal, max_steps - steps)
        if way is None:
            return None
        U[:, taken] = way.place.U
        steps, reads, stuck = steps + way.steps, reads + way.reads, way.stuck


def _choose(U: np.ndarray, size: np.ndarray, d: int) -> np.ndarray:
    """Columns that have a coefficient, the worst of the others, and the intercept."""
    active = (U[:, :d] != 0).any(axis=0)
    score = np.where(active, np.inf, size[:d])
    count = min(int(np.sum(score > 0)), max(_AT_FIRST, 2 * int(active.sum())))
    best = np.sort(np.argsort(-score, kind="stable")[:count])
    return np.append(best, np.arange(d, U.shape[1]))
