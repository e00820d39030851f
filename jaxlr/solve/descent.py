"""The update loop of the solver: K models at once, one read of the rows a turn.

In every turn each model that is still on its way tries a step; one read of the rows answers for
all of them; each takes its step or shortens it. A model leaves the loop when it is done, and from
then on costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jaxlr.solve.newton import Memory, NewtonMatrix
from jaxlr.solve.objective import Objective, Sample

_SLOW = 0.1  # of the gradient left after two steps: if more is, the matrix is taken anew
JITTER, _JITTER_NARROW = 1e-13, 1e-6  # what the sums behind a matrix cannot tell from 0
_SHORTEST, _SHORTEST_NARROW = 1e-6, 0.02  # then float64 sees further, or nothing does


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
            level=np.full(K, -1),
            matrix=NewtonMatrix(K, p),
            memory=Memory(K, p),
        )

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
    wide = stage.wide or objective.narrow == np.float64
    rounding, shortest = (1e-14, _SHORTEST) if wide else (1e-6, _SHORTEST_NARROW)
    K, p = state.u.shape
    active = np.flatnonzero(np.isfinite(state.u).all(axis=1) & ~state.separated)
    step, t = np.zeros((K, p)), np.zeros(K)
    last = np.full((2, K), np.nan)  # the sizes of the gradient one and two steps ago
    rows = objective.sample(stage.rows)
    state.stuck[:] = False
    state.J[active] = np.inf
    while len(active):
        # One read of the rows, for all models on their way.
        trial = state.u[active] + t[active, None] * step[active]
        H = None
        if stage.newton:
            (J, g, separates, one_label), H = objective.values_and_curvature(trial, active)
        else:
            J, g, separates, one_label = objective.values(trial, active, rows, wide=stage.wide)

        # Who takes the step, and who tries a shorter one.
        down = np.sum(state.g[active] * step[active], axis=1)
        up = np.sum(g * step[active], axis=1)
        first = np.isinf(state.J[active])
        with np.errstate(invalid="ignore", divide="ignore"):
            lower = state.J[active] + rounding * np.abs(state.J[active]) >= J
            good = np.isfinite(J) & lower & (up <= -0.5 * down)
            secant = np.nan_to_num(down / (down - up), nan=0.1)
        good |= first
        tried, taken, missed = active, active[good], active[~good]
        state.memory.add(taken, trial[good] - state.u[taken], g[good] - state.g[taken], rounding)
        state.u[taken], state.J[taken], state.g[taken] = trial[good], J[good], g[good]
        state.steps[taken] += ~first[good]
        t[missed] *= np.clip(secant[~good], 0.1, 0.7)
        if 0 in taken:
            state.turns.append(_turn(objective, state, rows))

        # Who is done.
        size = state.size
        hopeless = separates | one_label
        if rows.numbers is None:
            state.separated[active], state.one_label[active] = hopeless, one_label
        state.stuck[missed[t[missed] < shortest]] = True
        over = np.zeros(K, bool)
        over[active] = hopeless | ~np.isfinite(state.J[active])
        over |= (size <= stage.tol) | state.stuck | (state.steps >= max_steps)
        active, taken = active[~over[active]], taken[~over[taken]]

        # Where those go that took their step.
        if len(taken):
            new = taken[(size > _SLOW * last[1])[taken] | (state.level[taken] < 0)]
            if H is not None:
                state.matrix.set(taken, H[np.searchsorted(tried, taken)], JITTER)
                state.memory.forget(taken)
            else:
                _take_matrices(objective, state, stage, new)
            step[taken], t[taken] = _directions(state, taken), 1.0
            if stage.foresee:
                soon = taken[size[taken] ** 2 <= stage.tol * last[0, taken]]
                state.u[soon] += step[soon]
                state.steps[soon] += 1
                active = np.setdiff1d(active, soon, assume_unique=True)
            last[0, new] = np.nan  # a new matrix has two steps to prove itself
            last[:, taken] = size[taken], last[0, taken]


def _directions(state: State, lanes: np.ndarray) -> np.ndarray:
    """Directions (k, p) downhill for the models ``lanes``."""
    g = state.g[lanes]
    step = state.memory.direction(lanes, g, state.matrix)
    lost = ~(np.sum(g * step, axis=1) < 0)  # to rounding; what is left is the gradient itself
    state.memory.forget(lanes[lost])
    return np.where(lost[:, None], -g, step)


def _take_matrices(objective: Objective, state: State, stage: Stage, lanes: np.ndarray) -> None:
    """Take the matrix of the models ``lanes`` anew, from the next larger sample if there is one."""
    if not stage.curvature:
        lanes = lanes[state.level[lanes] < 0]
        state.matrix.set_diagonal(lanes, objective.diagonal(lanes))
        state.level[lanes] = 0
        return
    state.level[lanes] = np.minimum(state.level[lanes] + 1, len(stage.curvature) - 1)
    jitter = JITTER if objective.narrow == np.float64 else _JITTER_NARROW
    for level in np.unique(state.level[lanes]):
        of_level = lanes[state.level[lanes] == level]
        sample = objective.sample(stage.curvature[level])
        H, _ = objective.curvature(state.u[of_level], of_level, sample, wide=False)
        state.matrix.set(of_level, H, jitter)
        state.memory.forget(of_level)


def _turn(objective: Objective, state: State, rows: Sample) -> Turn:
    return Turn(
        steps=int(state.steps[0]),
        reads=objective.reads,
        objective=float(state.J[0]),
        gradient=float(state.size[0]),
        share=rows.share,
    )
