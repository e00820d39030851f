"""From where the solver stopped to what may be claimed of it."""

import numpy as np

from jaxlr.solve.clock import Clock
from jaxlr.solve.descent import State
from jaxlr.solve.newton import NewtonMatrix
from jaxlr.solve.objective import ALL, Objective
from jaxlr.solve.result import Certificate, FitStatus

_STILL_MOVING = 0.02  # standard deviations that a Newton step moves a converged model, at most


def certify(
    objective: Objective, state: State, method: str, tol: float, clock: Clock
) -> list[Certificate]:
    """Certificate of each model, at the values of the last read, which was in float64."""
    K = len(state.u)
    lanes = np.arange(K)
    with np.errstate(invalid="ignore"):
        step = state.memory.direction(lanes, np.nan_to_num(state.g), state.matrix)
    runaway = _separated(objective, state, step, tol, method)
    dw, db = objective.scaling.raw_gradient(state.g)
    raw = np.maximum(abs(dw).max(axis=1, initial=0), abs(db))
    return [
        Certificate(
            status=_status(state, k, tol, runaway),
            objective=float(state.J[k]),
            gradient=float(state.size[k]),
            raw_gradient=float(raw[k]),
            gap=float(-0.5 * state.g[k] @ step[k]),
            steps=int(state.steps[k]),
            reads=objective.reads,
            method=method,
            compile_seconds=clock.compile,
            run_seconds=clock.run,
            runaway=runaway.get(k, ()),
            one_label=bool(state.one_label[k]),
        )
        for k in range(K)
    ]


def _status(state: State, k: int, tol: float, runaway: dict[int, tuple[int, ...]]) -> FitStatus:
    if not np.isfinite(state.J[k]) or not np.isfinite(state.size[k]):
        return FitStatus.FAILED
    if k in runaway:
        return FitStatus.SEPARATED
    return FitStatus.CONVERGED if state.size[k] <= tol else FitStatus.STOPPED


def _separated(
    objective: Objective, state: State, step: np.ndarray, tol: float, method: str
) -> dict[int, tuple[int, ...]]:
    """Columns that run away, for each model without a finite optimum.

    Some have proven it on the way, by telling all rows apart. Others tell only some apart: then a
    Newton step still moves far where the gradient is already small, takes rows to the side of
    their label, and none away from it.
    """
    found = {int(k): _largest(state.u[k]) for k in np.flatnonzero(state.separated)}
    moving = abs(step).max(axis=1, initial=0) > _STILL_MOVING
    free = (objective.l2 == 0) & np.isfinite(state.size) & ~state.separated
    lanes = np.flatnonzero(moving & free & (state.size <= max(tol, 1e-3)))
    if len(lanes) == 0:
        return found
    if method == "newton":
        matrix = NewtonMatrix(*state.u.shape)
        H, _ = objective.curvature(state.u[lanes], lanes, ALL, wide=True)
        matrix.set(lanes, H, 1e-13)
        step = -matrix.solve(np.arange(len(state.u)), state.g)
    along, away = objective.sides(step[lanes], lanes)
    for k in lanes[(along > 0) & (away == 0)]:
        found[int(k)] = _largest(step[k])
    return found


def _largest(direction: np.ndarray) -> tuple[int, ...]:
    """Columns that matter most in a direction, the largest first."""
    size = abs(direction)
    order = np.argsort(-size)
    return tuple(int(j) for j in order if size[j] > 0.1 * size[order[0]])
