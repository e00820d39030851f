"""From where the solver stopped to what may be claimed of it."""

import numpy as np

from jaxlr.solve.clock import Clock
from jaxlr.solve.descent import State
from jaxlr.solve.newton import JITTER, NewtonMatrix
from jaxlr.solve.objective import ALL, Objective
from jaxlr.solve.plan import SMALL
from jaxlr.solve.result import Certificate, FitStatus
from jaxlr.solve.scaling import Scaling

# Standard deviations that a Newton step moves a converged model, at most, where every column has
# its deviation from many rows; elsewhere a bound of how far it moves any row in z.
_STILL_MOVING, STILL_MOVING_ROWS = 0.005, 0.03
_FLAT = 1e-6  # a curvature, where that of rows with overlapping labels is about 0.1
SMALL_GRADIENT = 1e-3  # from which on a step should not move that far any more


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
    raw = np.maximum(*(abs(v).reshape(K, -1).max(axis=1, initial=0) for v in (dw, db)))
    size, gap = state.size, -0.5 * np.sum(state.g * step, axis=1)
    compile_seconds, run_seconds = clock.compile, clock.run
    known = (state.J, size, raw, gap, state.steps, state.one_label, state.stuck)
    return [
        Certificate(
            status=status_of(J, gradient, tol, separated=k in runaway),
            objective=J,
            gradient=gradient,
            raw_gradient=raw_gradient,
            gap=gap,
            steps=steps,
            reads=objective.reads,
            method=method,
            compile_seconds=compile_seconds,
            run_seconds=run_seconds,
            runaway=runaway.get(k, ()),
            one_label=one_label,
            stuck=stuck,
        )
        for k, (J, gradient, raw_gradient, gap, steps, one_label, stuck) in enumerate(
            zip(*(v.tolist() for v in known), strict=True)
        )
    ]


def status_of(J: float, gradient: float, tol: float, *, separated: bool) -> FitStatus:
    """Say why a fit stopped, at an objective J with this largest entry of its gradient."""
    if not np.isfinite([J, gradient]).all():
        return FitStatus.FAILED
    if separated:
        return FitStatus.SEPARATED
    return FitStatus.CONVERGED if gradient <= tol else FitStatus.STOPPED


def _separated(
    objective: Objective, state: State, step: np.ndarray, tol: float, method: str
) -> dict[int, tuple[int, ...]]:
    """Columns that run away, for each model without a finite optimum.

    Some have proven it on the way, by telling all rows apart. Others tell only some apart: then a
    Newton step still moves far where the gradient is already small, takes rows to the side of
    their label, and none away from it. Or it takes rows away that are far on their side, for the
    sake of others that are less far; then that part of the parameters does not, which has no
    curvature any more.
    """
    found = {
        int(k): _largest(state.u[k], objective.scaling.of_models(np.array([k])))
        for k in np.flatnonzero(state.separated)
    }
    if objective.typical and objective.size > SMALL:
        moving = abs(step).max(axis=1, initial=0) > _STILL_MOVING
    else:  # no standardised feature is larger than sqrt(n)
        moving = abs(step).sum(axis=1) * np.sqrt(objective.n) > STILL_MOVING_ROWS
    free = (objective.l2 == 0) & np.isfinite(state.size) & ~state.separated
    lanes = np.flatnonzero(moving & free & (state.size <= max(tol, SMALL_GRADIENT)))
    if len(lanes) == 0:
        return found
    directions = [step[lanes]]
    if method == "newton":
        these = np.arange(len(lanes))
        matrix = NewtonMatrix(len(lanes), state.u.shape[1])
        H, _ = objective.curvature(state.u[lanes], lanes, ALL, wide=True)
        matrix.set(these, H, JITTER)
        directions = [-matrix.solve(these, state.g[lanes]), _flat_part(H, state.u[lanes])]
    for direction in directions:
        along, away = objective.sides(direction, lanes)
        for i in np.flatnonzero((along > 0) & (away == 0)):
            k = int(lanes[i])
            found[k] = _largest(direction[i], objective.scaling.of_models(lanes[i : i + 1]))
    return found


def _flat_part(H: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Part of the parameters u (k, P) that lies where the curvature H (k, P, P) is next to none."""
    little = _FLAT * np.eye(H.shape[-1])
    return np.linalg.solve(H + little, _FLAT * u[:, :, None])[:, :, 0]


def _largest(direction: np.ndarray, scaling: Scaling) -> tuple[int, ...]:
    """Columns that matter most in a direction, the largest first; -1 is the intercept."""
    w, b = (abs(v[0]) for v in scaling.to_raw(direction[None]))
    size = np.append(w.reshape(-1, scaling.d).max(axis=0) * scaling.scale[0], b.max())
    return largest_of(size, scaling.d)


def largest_of(size: np.ndarray, d: int) -> tuple[int, ...]:
    """Columns with a size of more than a tenth of the largest, the largest first; -1 for the d-th.

    That is the intercept, which may be missing.
    """
    order = np.argsort(-size)
    return tuple(-1 if j == d else int(j) for j in order if size[j] > 0.1 * size[order[0]])
