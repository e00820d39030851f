"""The update loop of the solver: K models at once, one read of the rows a turn.

In every turn each model that is still on its way tries a step; one read of the rows answers for
all of them; each takes its step or shortens it. A model leaves the loop when it is done, and from
then on costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jaxlr.solve.newton import JITTER, JITTER_NARROW, Memory, NewtonMatrix
from jaxlr.solve.objective import Objective, Sample
from jaxlr.solve.steps import NARROW, WIDE, Rounding, is_good, shortened
from jaxlr.solve.values import Values

_SLOW = 0.1  # of the gradient left after two steps: if more is, the matrix is taken anew


class Turn(NamedTuple):
    """One line of the history of a model."""

    steps: int
    reads: float
    objective: float
    gradient: float
    share: float


@dataclass
class State:
    """Where K models are: u, g (K, p), J (K,) in standardised parameters, and what became of them.

    ``level`` (K,) is that of the sample behind each model's matrix, -1 where it has none yet.
    """

    u: np.ndarray
    J: np.ndarray
    g: np.ndarray
    steps: np.ndarray
    separated: np.ndarray  # there is proof that no finite optimum exists,
    one_label: np.ndarray  # which is that all labels are the same
    stuck: np.ndarray  # no step lowers the objective, as far as rounding can tell
    done: np.ndarray  # its certificate is there, whatever the next stage is
    level: np.ndarray
    matrix: NewtonMatrix
    memory: Memory
    turns: list[Turn] = field(default_factory=list)  # of the first model

    @classmethod
    def at(cls, u: np.ndarray) -> "State":
        """Models at u (K, p), and nothing known of them yet."""
        K, p = u.shape
        return cls(
            u=u.copy(),
            J=np.full(K, np.nan),
            g=np.full((K, p), np.nan),
            steps=np.zeros(K, int),
            separated=np.zeros(K, bool),
            one_label=np.zeros(K, bool),
            stuck=np.zeros(K, bool),
            done=np.zeros(K, bool),
            level=np.full(K, -1),
            matrix=NewtonMatrix(K, p),
            memory=Memory(K, p),
        )

    def enter(self) -> np.ndarray:
        """Begin a stage: the models that are still to be solved, whose J is now unknown."""
        hopeless = ~np.isfinite(self.u).all(axis=1) | self.separated
        going = np.flatnonzero(~hopeless & ~self.done)
        self.stuck[:] = False
        self.J[going] = np.inf
        return going

    def arrive(self, way: Any, tol: float, reads: float) -> None:
        """Take all models along the `small.Way` of each, and note which are done.

        ``reads`` are those before. What may have no optimum is left to `descend` to tell.
        """
        place, steps = way.place, way.steps.astype(int)
        self.u[:], self.J[:], self.g[:], self.steps[:] = place.u, place.J, place.g, steps
        self.done[:] = np.isfinite(self.J) & (self.size <= tol) & (place.plain > 0)
        known = np.flatnonzero(np.isfinite(place.H).all(axis=(1, 2)))
        self.matrix.set(known, place.H[known], JITTER)  # the next stage may have none to take
        lines = way.history[0, : steps[0] + self.done[0]]
        self.turns += [
            Turn(steps=i, reads=reads + turns, objective=J, gradient=size, share=1.0)
            for i, (turns, J, size) in enumerate(lines.tolist())
        ]

    def take(
        self, lanes: np.ndarray, u: np.ndarray, J: np.ndarray, g: np.ndarray, rounding: float
    ) -> None:
        """Move the models ``lanes`` to u, where objective and gradient are J and g."""
        first = np.isinf(self.J[lanes])
        with np.errstate(invalid="ignore"):
            self.memory.add(lanes, u - self.u[lanes], g - self.g[lanes], rounding)
        self.u[lanes], self.J[lanes], self.g[lanes] = u, J, g
        self.steps[lanes] += ~first

    @property
    def size(self) -> np.ndarray:
        """Largest entry of each gradient, (K,)."""
        return np.abs(self.g).max(axis=1, initial=0.0)


class Stage(NamedTuple):
    """One part of the way: how many rows the gradient is from and the curvature, and how far to go.

    A model goes on to the next of the ``curvature`` sizes where its steps gain too little; with
    ``newton`` each read of all rows brings the curvature along. A model leaves when the largest
    entry of its gradient is at most ``tol``; with ``foresee``, already when its next step should
    bring it there. ``wide`` computes in float64.
    """

    rows: int
    curvature: Sequence[int]
    tol: float
    wide: bool
    foresee: bool = False
    newton: bool = False


def descend(objective: Objective, state: State, stage: Stage, max_steps: int) -> None:
    """Take the models of ``state`` downhill until each is done with this stage."""
    rows = objective.sample(stage.rows)
    rounding = WIDE if stage.wide or objective.narrow == np.float64 else NARROW
    walk = _Walk.of(*state.u.shape)
    active = state.enter()
    while len(active):
        # One read of the rows, for all models on their way.
        trial = state.u[active] + walk.t[active, None] * walk.step[active]
        values, H = _read(objective, stage, rows, trial, active)

        # Each takes its step, or will try a shorter one.
        good, t = _judge(state, walk, active, values, rounding)
        taken, missed = active[good], active[~good]
        state.take(taken, trial[good], values.J[good], values.g[good], rounding.gradient)
        walk.t[missed] = t[~good]
        if 0 in taken:
            state.turns.append(_turn(objective, state, rows))

        # Who is done leaves.
        state.stuck[missed[walk.t[missed] < rounding.shortest]] = True
        hopeless = values.hopeless
        if rows.numbers is None:
            state.separated[active], state.one_label[active] = hopeless, values.one_label
        size = state.size
        over = hopeless | ~np.isfinite(state.J[active]) | (size[active] <= stage.tol)
        over |= state.stuck[active] | (state.steps[active] >= max_steps)
        left, H = active[~over], None if H is None else H[~over & good]
        taken = np.intersect1d(taken, left, assume_unique=True)

        # Where those go that took their step.
        new = _take_matrices(objective, state, stage, walk, taken, H)
        walk.step[taken], walk.t[taken] = _directions(state, taken), 1.0
        active = left
        if stage.foresee:
            soon = taken[size[taken] ** 2 <= stage.tol * walk.sizes[0, taken]]
            state.u[soon] += walk.step[soon]
            state.steps[soon] += 1
            active = np.setdiff1d(left, soon, assume_unique=True)
        walk.note(taken, size, new)


class _Walk(NamedTuple):
    """A stage so far: steps (K, p) and how much of them to try (K,); sizes of the gradient.

    ``sizes`` (2, K) are those one and two steps ago, NaN where the matrix is newer than that.
    """

    step: np.ndarray
    t: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, K: int, p: int) -> "_Walk":
        return cls(np.zeros((K, p)), np.zeros(K), np.full((2, K), np.nan))

    def note(self, taken: np.ndarray, size: np.ndarray, new: np.ndarray) -> None:
        self.sizes[0, new] = np.nan  # a new matrix has two steps to prove itself
        self.sizes[:, taken] = size[taken], self.sizes[0, taken]


def _read(
    objective: Objective, stage: Stage, rows: Sample, trial: np.ndarray, active: np.ndarray
) -> tuple[Values, np.ndarray | None]:
    if stage.newton:
        return objective.values_and_curvature(trial, active)
    return objective.values(trial, active, rows, wide=stage.wide), None


def _judge(
    state: State, walk: _Walk, active: np.ndarray, values: Values, rounding: Rounding
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each step is good, and how much of it to try if it is not.

    The first of a stage, of length 0, is good.
    """
    J, step = state.J[active], walk.step[active]
    down, up = np.sum(state.g[active] * step, axis=1), np.sum(values.g * step, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        good = is_good(J, values.J, down, up, rounding) | np.isinf(J)
        return good, shortened(walk.t[active], down, up)


def _directions(state: State, lanes: np.ndarray) -> np.ndarray:
    """Directions (k, p) downhill for the models ``lanes``."""
    g = state.g[lanes]
    step = state.memory.direction(lanes, g, state.matrix)
    lost = ~(np.sum(g * step, axis=1) < 0)  # to rounding; what is left is the gradient itself
    state.memory.forget(lanes[lost])
    return np.where(lost[:, None], -g, step)


def _take_matrices(
    objective: Objective,
    state: State,
    stage: Stage,
    walk: _Walk,
    taken: np.ndarray,
    H: np.ndarray | None,
) -> np.ndarray:
    """Take matrices anew where there is none, or where the last gained too little; return where.

    ``H`` are those that came with the read; else each is from the next larger sample, if there is
    one.
    """
    if H is not None:
        state.matrix.set(taken, H, JITTER)
        state.memory.forget(taken)
        return taken
    missing = taken[state.level[taken] < 0]
    if not stage.curvature:
        due = np.union1d(missing, taken[np.isin(state.steps[taken], objective.renewals)])
        if len(due):
            _take_rough(objective, state, due)
        state.level[due] = 0
        return due
    slow = taken[state.size[taken] > _SLOW * walk.sizes[1, taken]]
    lanes = np.union1d(missing, slow)
    state.level[lanes] = np.minimum(state.level[lanes] + 1, len(stage.curvature) - 1)
    jitter = _jitter(objective)
    for level in np.unique(state.level[lanes]):
        of_level = lanes[state.level[lanes] == level]
        sample = objective.sample(stage.curvature[level])
        H, _ = objective.curvature(state.u[of_level], of_level, sample, wide=False)
        state.matrix.set(of_level, H, jitter)
        state.memory.forget(of_level)
    return lanes


def _take_rough(objective: Objective, state: State, lanes: np.ndarray) -> None:
    """Take what costs little for L-BFGS to begin with: a block for all classes, or a diagonal."""
    blocks = objective.class_block(lanes)
    if blocks is None:
        state.matrix.set_diagonal(lanes, objective.diagonal(state.u[lanes], lanes))
    else:
        state.matrix.set(lanes, blocks, _jitter(objective))


def _jitter(objective: Objective) -> float:
    return JITTER if objective.narrow == np.float64 else JITTER_NARROW


def _turn(objective: Objective, state: State, rows: Sample) -> Turn:
    return Turn(
        steps=int(state.steps[0]),
        reads=objective.reads,
        objective=float(state.J[0]),
        gradient=float(state.size[0]),
        share=rows.share,
    )
