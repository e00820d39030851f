"""The way to the optimum: which rows to look at first, and when all of them.

Small problems take Newton's steps on all rows. Large ones are solved on a few rows, then on more,
each from the last one's answer; then every read of all rows counts, and the curvature of a sample
is good enough, for only the gradient must be exact. The last read is in float64: it is the
certificate, and where it finds that the answer is not there yet, the way goes on in float64.
"""

from typing import Literal

import numpy as np

from jaxlr.solve.descent import Stage, State, descend
from jaxlr.solve.newton import DEAR, WIDEST
from jaxlr.solve.objective import Objective

Method = Literal["auto", "newton", "lbfgs"]

SMALL = 1e6  # numbers in X that are read in no time, in float64 too
_CHEAP = 2e8  # multiplications of an exact Hessian that cost no more than that
OFF_CENTER = 100  # means of so many deviations cost float32 too many digits


def choose_method(method: Method, p: int, *, sampled: bool = True) -> Literal["newton", "lbfgs"]:
    """Newton matrices where p x p numbers are no burden, L-BFGS alone where they are.

    Where rows are not ``sampled``, a matrix takes p reads of all rows.
    """
    if method == "auto":
        return "newton" if p <= WIDEST and sampled else "lbfgs"
    return method


def solve(
    objective: Objective,
    u: np.ndarray,
    *,
    method: Literal["newton", "lbfgs"],
    tol: float,
    max_steps: int,
    near: bool = False,
) -> State:
    """Minimise from u (K, p) until the largest entry of each gradient is at most ``tol``.

    Where u is ``near`` the answer, no sample is solved first.
    """
    n, p = objective.n, u.shape[1]
    state = State.at(u)

    def stage(rows: int, curvature: list[int], tol: float, **settings: bool) -> None:
        sizes = curvature if method == "newton" else []
        descend(objective, state, Stage(rows, sizes, tol, **settings), max_steps)

    if not objective.sampled:
        if objective.narrow != np.float64:
            stage(n, [n], tol, wide=False, foresee=True)
        stage(n, [n], tol, wide=True)
        return state

    if objective.size <= SMALL:
        newton = method == "newton" and objective.n * p * p <= _CHEAP
        if newton and objective.compiled and objective.mesh is None:
            reads = objective.reads
            state.arrive(objective.newton(u, tol, max_steps), tol, reads)
        stage(n, [n], tol, wide=True, newton=newton)
        return state

    scaling = objective.scaling
    off_center = bool(np.any(abs(scaling.center) > OFF_CENTER * scaling.scale))
    few, more, curvature = _sizes(objective, *u.shape)
    if objective.typical and not near:
        stage(few, [few], max(tol, 0.1 / np.sqrt(few)), wide=off_center)
        stage(more, [few], max(tol, 0.1 / np.sqrt(more)), wide=off_center)
    if method == "newton":  # what L-BFGS begins with is the same for all rows
        state.level[:] = -1
    if objective.narrow != np.float64 and not off_center:
        stage(n, curvature, tol, wide=False, foresee=True)
    stage(n, curvature, tol, wide=True)
    return state


def _sizes(objective: Objective, K: int, p: int) -> tuple[int, int, list[int]]:
    """Rows to solve on first, and then; and those whose curvature serves all rows, ever more."""
    n = objective.n
    few, more = max(4096, 5 * p), max(32768, 20 * p, n // 20)
    if K > 1:  # a read serves all models, a matrix only one: let them cost alike
        more = max(min(more, 8 * n // p), 20 * p)
    if not objective.typical and n * p * p <= DEAR:
        return few, more, [n]
    return few, more, [more, 4 * more, 16 * more, n]
