"""Newton's steps of one model, each accepted or shortened."""

from typing import NamedTuple

import numpy as np

from jaxlr.solve.host.problem import Place, Problem
from jaxlr.solve.steps import WIDE, is_good, shortened


class Way(NamedTuple):
    """Where it ended, after how many steps and reads, and whether no step leads down from there."""

    place: Place
    steps: int
    reads: int
    stuck: bool


def descend(problem: Problem, U: np.ndarray, tol: float, max_steps: int) -> Way | None:
    """Take Newton's steps until the gradient is small; None where there is none to take."""
    here, steps, reads, t = problem.look(U), 0, 1, 1.0
    while np.isfinite(here.step).all():
        stuck = t < WIDE.shortest
        small = here.size.max(initial=0) <= tol
        if small or stuck or here.separates or steps == max_steps:
            return Way(here, steps, reads, stuck)
        there = problem.look(here.U + t * here.step)
        reads += 1
        down = problem.slope(here, here.U, here.step)
        up = problem.slope(there, here.U, here.step)
        if is_good(np.float64(here.J), np.float64(there.J), down, up, WIDE):
            here, steps, t = there, steps + 1, 1.0
        else:
            t = float(shortened(np.float64(t), np.float64(down), np.float64(up)))
    return None
