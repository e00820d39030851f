"""`fit`: one model, to the optimum, with a certificate."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlr import shard
from jaxlr.batch import SparseX, View
from jaxlr.core import Params
from jaxlr.solve.certify import certify
from jaxlr.solve.clock import Clock
from jaxlr.solve.descent import State
from jaxlr.solve.host import HostObjective, suits_host_rows
from jaxlr.solve.measure import measure
from jaxlr.solve.objective import ALL, Objective
from jaxlr.solve.plan import Method, choose_method, solve
from jaxlr.solve.proximal import ProximalSettings, check_method, take_elastic_net
from jaxlr.solve.proximal import minimise as minimise_with_l1
from jaxlr.solve.result import Fit, FitHistory
from jaxlr.solve.rows import (
    check_classes,
    check_finite,
    check_not_traced,
    check_settings,
    take_rows,
)
from jaxlr.solve.sparse import SparseObjective
from jaxlr.solve.starts import start


def fit(
    X: Any,
    y: ArrayLike,
    *,
    n_classes: int | None = None,
    l2: float = 0.0,
    l1: float = 0.0,
    l1_ratio: float | None = None,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
    init: Params | None = None,
    method: Method = "auto",
) -> Fit:
    """Minimise the mean loss over (X, y): logistic regression, to the optimum.

    ``J = sum_i s_i L(w . x_i + b + o_i, y_i) / sum_i s_i + l2/2 ||w||^2 + l1 ||w||_1``

    Parameters
    ----------
    X : array_like or sparse, shape (n, d)
        Features; SciPy's sparse arrays are solved as such. float64 is solved in float64, everything
        else in float32; the certificate is float64 either way.
    y : array_like, shape (n,)
        Labels in [0, 1]; with ``n_classes``, numbers from 0 to ``n_classes`` - 1.
    n_classes : int, optional
        Number K of classes: then the model is the softmax, ``w`` is (K, d) and ``b`` (K,).
    l2 : float
        Penalty on ``w``, at least 0; the intercept has none.
    l1 : float
        Penalty on the sum of ``|w_j|``, at least 0: from some size on, coefficients are exactly 0.
    l1_ratio : float, optional
        Share of l1 in the penalty, from 0 to 1: ``l2`` is then the whole of it, and taken as
        ``l1 = l1_ratio l2`` and ``l2 = (1 - l1_ratio) l2``.
    sample_weight : array_like, shape (n,), optional
        Finite weights, at least 0 and not all 0.
    offset : array_like, shape (n,), optional
        Known part of z, added to each row's; for two classes.
    fit_intercept : bool
        Without it ``b`` stays 0.
    tol : float
        Largest entry that the gradient may have, in nats per standard deviation of a feature.
    max_steps : int
        Steps after which to give up; those on samples of the rows count.
    init : Params, optional
        Where to start, if that is near: then no sample of the rows is solved first.
    method : {"auto", "newton", "lbfgs"}
        "newton" builds (d + 1, d + 1) matrices, "lbfgs" none; "auto" chooses by d. With l1,
        matrices are those of the columns that matter. Of sparse X a matrix takes d reads, and one
        of more than 1 GiB is refused: "auto" chooses "lbfgs".

    Returns
    -------
    Fit
        Parameters, certificate and history; falsy where it did not converge.

    Raises
    ------
    ValueError
        If shapes do not fit or a value is out of range; the message names it.
    TypeError
        Inside ``jax.jit`` or the like: a solver decides by values.

    Notes
    -----
    Newton's method, on few rows first and on all rows last; there the Hessian of a sample, as
    the initial matrix of L-BFGS, is enough (`jaxlr/solve/plan.py`). Features are standardised
    without being rewritten: the unit of a feature changes neither the way nor the answer. Sums are
    split over the cores of a CPU: the same input gives the same bits on as many cores.

    With l1, proximal Newton steps on the columns that have a coefficient or are likely to get one,
    until the conditions of optimality hold on all columns (`jaxlr/solve/proximal/`).

    X of NumPy, up to 20 million numbers (5 million in float32), is read by NumPy's products where
    JAX runs on a CPU: nothing is compiled for its shape. X of JAX is read where it lies, by sums
    that are compiled, which pays where many fits are of one shape.

    Where its memory allows, X is not copied, and what a `Fit` computes later (standard errors)
    reads it again: leave X as it is until then.

    Of K classes, what is added to the parameters of a feature in all classes changes no
    probability: those returned add to 0 over the classes.

    Examples
    --------
    >>> import numpy as np, jaxlr
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    >>> fit = jaxlr.fit(X, y)
    >>> print(fit.params.w.round(4), fit.params.b.round(4), fit.certificate.status.value)
    [0.9082] -1.3623 converged
    """
    check_not_traced(X=X, y=y, l2=l2, l1=l1, sample_weight=sample_weight, offset=offset, init=init)
    check_settings(tol, max_steps, method)
    check_classes(n_classes)
    (some_l1,), (some_l2,) = take_elastic_net(l1, l2, l1_ratio, 1)
    check_method(method, has_l1=some_l1 > 0)
    with Clock() as clock, jax.enable_x64(True):
        keep = partial(_stays_on_host, n_classes=n_classes, has_l1=some_l1 > 0)
        rows = take_rows(X, y, sample_weight, offset, n_classes, sparse=True, keep=keep)
        if some_l1 > 0 and rows.X.shape[1]:
            settings = ProximalSettings(tol, max_steps, fit_intercept, n_classes)
            return minimise_with_l1(rows, some_l1, some_l2, init, settings, clock)
        over = SparseObjective if isinstance(rows.X, SparseX) else Objective
        if isinstance(rows.X, np.ndarray):
            over, rows = HostObjective, jax.tree.map(np.asarray, rows)
        scaling, typical, reads = measure(rows, intercept=fit_intercept, n_classes=n_classes)
        mesh, penalty = shard.mesh_of(rows.X), np.array([some_l2])
        objective = over(rows, View(), scaling, penalty, mesh, typical=typical, reads=reads)
        return minimise(objective, init, method=method, tol=tol, max_steps=max_steps, clock=clock)


def compiles_for_shape(X: Any, n_classes: int | None, *, has_l1: bool) -> bool:
    """Whether `fit` compiles for the shape of X: who fits many may make them alike."""
    return not (isinstance(X, np.ndarray) and _stays_on_host(X, n_classes, has_l1=has_l1))


def _stays_on_host(X: np.ndarray, n_classes: int | None, *, has_l1: bool) -> bool:
    return not (has_l1 and X.shape[1]) and suits_host_rows(X, n_classes)


def minimise(
    objective: Objective,
    init: Params | None,
    *,
    method: Method,
    tol: float,
    max_steps: int,
    clock: Clock,
) -> Fit:
    """Take the one model of an objective to its optimum, and certify it."""
    scaling, rows = objective.scaling, objective.rows
    u = start(init, 1, scaling, rows)
    chosen = choose_method(method, u.shape[1], sampled=objective.sampled)
    state = solve(objective, u, method=chosen, tol=tol, max_steps=max_steps, near=init is not None)
    if init is not None:
        zero = start(None, 1, scaling, rows)
        if _is_lost(objective, state, zero, tol):
            state = solve(objective, zero, method=chosen, tol=tol, max_steps=max_steps)
    check_finite(state.J, rows)
    certificate = certify(objective, state, chosen, tol, clock)[0]
    u = scaling.centered(state.u)
    w, b = scaling.to_raw(u)
    history = FitHistory(*(np.array(v) for v in zip(*state.turns, strict=True)))
    return Fit(Params(w[0], b[0]), certificate, history, objective, u[0])


def _is_lost(objective: Objective, state: State, zero: np.ndarray, tol: float) -> bool:
    """Whether a model began where no way leads down, or only one so long that 0 is nearer."""
    if state.stuck.any():
        return True
    if state.separated.any() or (state.size <= tol).all():
        return False
    return bool(objective.values(zero, np.zeros(1, int), ALL, wide=True).J[0] < state.J[0])
