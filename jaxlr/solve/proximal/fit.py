"""One model with an l1 penalty, and K of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr import batch
from jaxlr.batch import Rows
from jaxlr.core import Params
from jaxlr.solve.clock import Clock
from jaxlr.solve.measure import measure_exactly
from jaxlr.solve.objective import Objective
from jaxlr.solve.proximal.certify import certify, params_of
from jaxlr.solve.proximal.descent import Descent
from jaxlr.solve.proximal.loss import Loss
from jaxlr.solve.proximal.penalty import ElasticNet
from jaxlr.solve.result import Certificate, Fit, FitHistory
from jaxlr.solve.rows import check_finite
from jaxlr.solve.starts import start, start_of

_FEWER = 0.1  # of a penalty, from one to the next where l1 itself is out of reach


class ProximalSettings(NamedTuple):
    """How far to go: ``tol`` is the largest violation of the conditions to leave."""

    tol: float
    max_steps: int
    intercept: bool
    n_classes: int | None = None


def check_method(method: str, *, has_l1: bool) -> None:
    """Raise ValueError where l1 is asked of L-BFGS, which needs a gradient everywhere."""
    if has_l1 and method == "lbfgs":
        raise ValueError("method is 'lbfgs': it cannot take l1. Leave it 'auto', or use l2 alone")


def begin(rows: Rows, init: Params | None, settings: ProximalSettings) -> Descent:
    """Measure the rows, and stand at the optimum of the intercept alone, or where init says."""
    _, _, intercept, n_classes = settings
    scaling, reads = measure_exactly(rows, intercept=intercept, n_classes=n_classes)
    u = start(init, 1, scaling, rows)[0]
    if init is not None and n_classes is not None:  # as it is, for centred nothing is 0
        u = scaling.from_raw(np.asarray(init.w)[None], np.asarray(init.b)[None])[0]
    descent = Descent(Loss(_alike(rows), scaling, reads), u)
    if init is None:
        descent.find_intercept(0.1 * settings.tol, settings.max_steps)
    return descent


def _alike(rows: Rows) -> Rows:
    """Labels and weights of one type, whatever they were: all problems of a size compile once."""
    y = jnp.asarray(rows.y, jnp.float64)
    s = jnp.ones_like(y) if rows.s is None else jnp.asarray(rows.s, jnp.float64)
    return rows._replace(y=y, s=s)


def minimise(
    rows: Rows, l1: float, l2: float, init: Params | None, settings: ProximalSettings, clock: Clock
) -> Fit:
    """Take one model to its optimum, and certify it."""
    descent, penalty = _solve(rows, l1, l2, init, settings)
    check_finite(descent.look().loss, rows)
    certificate = certify(descent, penalty, settings.tol, clock)
    history = FitHistory(*(np.array(v) for v in zip(*descent.turns, strict=True)))
    return Fit(params_of(descent), certificate, history, descent.loss.objective, descent.u)


def _solve(
    rows: Rows,
    l1: float,
    l2: float,
    init: Params | None,
    settings: ProximalSettings,
    begun: Descent | None = None,
) -> tuple[Descent, ElasticNet]:
    """Solve for a penalty: from where a descent has ``begun``, or from init, or from 0."""
    descent = begun or begin(rows, init, settings)
    penalty = ElasticNet.of(l1, l2, descent.loss.scaling)
    descent.solve(penalty, settings.tol, settings.max_steps)
    if descent.stuck and init is not None:  # from where no way leads down
        return _solve(rows, l1, l2, None, settings)
    if descent.stuck:
        descent = _at_larger_penalties(rows, l1, l2, settings)
        descent.solve(penalty, settings.tol, settings.max_steps)
    return descent, penalty


def _at_larger_penalties(rows: Rows, l1: float, l2: float, settings: ProximalSettings) -> Descent:
    """Come near l1 by way of larger ones: where weights differ by much, there is no other way."""
    descent = begin(rows, None, settings)
    larger = descent.loss.largest_l1(descent.look().g)
    while (larger := _FEWER * larger) > l1:
        penalty = ElasticNet.of(larger, l2, descent.loss.scaling)
        descent.solve(penalty, settings.tol, settings.max_steps)
    return descent


def minimise_each(
    objective: Objective,
    l1: np.ndarray,
    init: Params | None,
    settings: ProximalSettings,
    clock: Clock,
) -> tuple[np.ndarray, np.ndarray, list[Certificate]]:
    """Take K models of one objective to their optima: w (K, d), b (K,), certificates.

    Models that see the rows alike follow each other, from the largest penalty to the smallest.
    """
    K = len(l1)
    of_classes = () if settings.n_classes is None else (settings.n_classes,)
    w, b = np.zeros((K, *of_classes, objective.d)), np.zeros((K, *of_classes))
    certificates: dict[int, Certificate] = {}
    for alike in _groups(objective, K):
        rows, descent = _rows_of(objective, alike[0]), None
        for k in sorted(alike, key=lambda k: -l1[k]):
            begun = None if init is not None else descent
            of_k = start_of(init, k, settings.n_classes)
            descent, penalty = _solve(rows, l1[k], objective.l2[k], of_k, settings, begun)
            check_finite(descent.look().loss, rows)
            w[k], b[k] = params_of(descent)
            certificates[k] = certify(descent, penalty, settings.tol, clock)
    return w, b, [certificates[k] for k in range(K)]


def _groups(objective: Objective, K: int) -> list[list[int]]:
    """Numbers of the models that see the same labels and weights, together."""
    if objective.apart:
        return [[k] for k in range(K)]
    groups: dict[Any, list[int]] = {}
    for k in range(K):
        sees = tuple(None if v is None else v[k].item() for v in objective.view)
        groups.setdefault(sees, []).append(k)
    return list(groups.values())


def _rows_of(objective: Objective, k: int) -> Rows:
    """Rows as model k sees them."""
    if objective.apart:
        return jax.tree.map(lambda v: v[k], objective.rows)
    return batch.rows_seen(objective.rows, jax.tree.map(lambda v: v[k], objective.view))
