"""The way of one model to its optimum, for one penalty after the other.

Each turn minimises a quadratic model of the loss plus the penalty itself (proximal Newton), over
the columns that take part; one read of these tells whether the step is good. The Hessian is kept
from turn to turn and from penalty to penalty until a new one pays: only the gradient must be
exact. A read of all columns then says which should take part too, and at last that none does.

References
----------
J. Lee, Y. Sun, M. Saunders, *Proximal Newton-Type Methods for Minimizing Composite
Functions*, 2014.
R. Tibshirani and others, *Strong Rules for Discarding Predictors in Lasso-Type Problems*, 2012.
"""

from typing import NamedTuple

import numpy as np

from jaxlr.solve.descent import Turn
from jaxlr.solve.products import times
from jaxlr.solve.proximal.loss import Look, Loss
from jaxlr.solve.proximal.penalty import ElasticNet
from jaxlr.solve.proximal.working_set import WorkingSet
from jaxlr.solve.steps import NARROW, WIDE, is_good, shortened

_LIKELY = 0.9  # of its l1, from where on a gradient at 0 may need its column for the next penalty
_AT_FIRST = 256  # columns that may come in at once
_NARROW_GOAL = 1e-5  # what float32 tells of a gradient without fail
_STEPS_OF_A_PENALTY = 2  # with a matrix that is as good as new
_NEVER = 1e300  # a penalty that leaves nothing but the intercept


class Count(NamedTuple):
    """Steps and reads so far."""

    steps: int
    reads: float


class Descent:
    """One model: its parameters u (p,), and all that the last read of all columns said."""

    def __init__(self, loss: Loss, u: np.ndarray) -> None:
        self.loss, self.u = loss, u.copy()
        self.set = WorkingSet.of_nonzero(loss, u)
        self.here: Look | None = None
        self._reads = 0.0  # of working sets
        self.steps, self.stuck = 0, False
        self.turns: list[Turn] = []
        self.before = Count(0, 0.0)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")  # no step leads to such a place
    def solve(self, penalty: ElasticNet, tol: float, max_steps: int) -> None:
        """Go on to where the largest violation of the conditions is at most ``tol``."""
        if self.turns:
            self.before = Count(self.steps, self.reads)
        self.stuck, last = False, self.steps + max_steps
        while True:
            self._settle(penalty)
            here = self.look()
            violation = penalty.violation(self.u, here.g)
            size = violation.max(initial=0)
            self._note(here, penalty, size)
            if not size > tol or not np.isfinite(size) or here.one_label:
                return
            if self.steps >= last:
                return
            same = self._choose(penalty, here, violation)
            if self.stuck and same:
                return
            self.stuck = False
            violation[self.set.coordinates] = 0
            self._descend(penalty, max(tol, 0.1 * violation.max(initial=0)), last)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def find_intercept(self, tol: float, max_steps: int) -> None:
        """Go to the optimum of the intercept alone."""
        if self.loss.scaling.intercept:
            l1 = np.full((self.loss.classes, self.loss.d + 1), _NEVER)
            l1[:, -1] = 0
            self._descend(ElasticNet(l1.ravel(), np.zeros(l1.size)), tol, max_steps)
            self.steps = 0  # none that a coefficient has had a part in

    @property
    def reads(self) -> float:
        """How often X was read from end to end; some columns count by their share."""
        return self.loss.reads + self._reads

    def look(self) -> Look:
        """Read all columns where the model is, unless that was done."""
        if self.here is None:
            self.here = self.loss.look(self.u)
        return self.here

    def _settle(self, penalty: ElasticNet) -> None:
        """Give all classes in common what costs least: the loss does not change, nor its slopes."""
        of = self.loss.of_features
        u = of(self.u)  # a view
        if len(u) > 1:
            active = np.flatnonzero(u.any(axis=0))
            of_active = ElasticNet(*(of(v)[:, active] for v in penalty))
            u[:, active] += of_active.common(u[:, active])

    def _note(self, here: Look, penalty: ElasticNet, size: float) -> None:
        J = here.loss + penalty.of_place(self.u)
        self.turns.append(Turn(self.steps, self.reads, float(J), float(size), 1.0))

    def _choose(self, penalty: ElasticNet, here: Look, violation: np.ndarray) -> bool:
        """Let in the columns that have a coefficient, or whose gradient is near their l1.

        Those that break their condition most come first. Returns whether none had to come in.
        """
        of = self.loss.of_features
        near = np.max(abs(of(here.g)) / of(penalty.l1), axis=0)
        broken, active = of(violation).max(axis=0), of(self.u).any(axis=0)
        count = int(np.sum(active | (near > _LIKELY)))
        some = max(1, _AT_FIRST // self.loss.classes)
        count = min(count, max(some, 4 * int(active.sum())))
        order = np.lexsort((-near, -broken, ~active))
        same = self.set.holds(order[:count])
        if not same:
            self.set = WorkingSet.of_best(self.loss, order, count)
        return same

    def _descend(self, penalty: ElasticNet, tol: float, last: int) -> None:
        """Minimise over the working set."""
        work, here = self.set, self.here
        penalty = penalty.at(work.coordinates)
        wide = self.loss.always_wide or work.loss.bends_along
        u = self.u[work.coordinates]
        if here is None or (here.H is None and work.loss.bends_along):
            look = self._read(u, wide)
        else:
            look = here._replace(g=here.g[work.coordinates])
        first, matrices = self.steps, 0
        while not look.one_label and self.steps < last:
            size = penalty.violation(u, look.g).max(initial=0)
            if not size > (tol if wide else max(tol, _NARROW_GOAL)):
                if wide:
                    break
                wide, look = True, self._read(u, True)
                continue
            fresh = work.H is None or work.worn or look.H is not None
            if fresh:
                work.take_matrix(u, look.H, wide=matrices > 0)
                matrices += 1
            found = self._step(penalty, u, look, 0.01 * tol, wide=wide)
            if found is not None:
                u, look = found
                self.steps += 1
                work.wasted += self.steps - first > _STEPS_OF_A_PENALTY
            elif not fresh or matrices == 1:  # the first may be from float32
                work.H = None
            elif not wide:
                wide, look = True, self._read(u, True)
            else:
                self.stuck = True
                break
        self.u[work.coordinates] = u
        self.here = look if work.whole and wide else None

    def _step(
        self, penalty: ElasticNet, u: np.ndarray, look: Look, slack: float, *, wide: bool
    ) -> tuple[np.ndarray, Look] | None:
        """Step from u (q,) to a better place; None where no step leads to one."""
        model = self.set.quadratic(penalty.l2)
        v = model.minimise(look.g + penalty.l2 * u - times(model.H, u), penalty.l1, u, slack)
        step, t = v - u, 1.0
        down = penalty.slope(u, look.g, np.sign(u), step)
        J = look.loss + penalty.of_place(u)
        rounding = WIDE if wide else NARROW
        while down < 0 and t >= rounding.shortest:
            new = v if t == 1 else u + t * step
            there = self._read(new, wide)
            before = np.where(new != 0, np.sign(new), np.sign(u))
            up = penalty.slope(new, there.g, before, step)
            if is_good(J, there.loss + penalty.of_place(new), down, up, rounding):
                return new, there
            t = float(shortened(t, np.float64(down), np.float64(up)))
        return None

    def _read(self, u: np.ndarray, wide: bool) -> Look:
        found = self.set.look(u, wide=wide)
        if not self.set.whole:
            self._reads += self.set.share
        return found
