"""`fit_many`: K models to their optima, for the price of a few."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.batch import Rows, SparseX, View
from jaxlr.core import Params
from jaxlr.solve.certify import certify
from jaxlr.solve.clock import Clock
from jaxlr.solve.measure import measure
from jaxlr.solve.objective import Objective, power_of_two
from jaxlr.solve.plan import Method, choose_method, solve
from jaxlr.solve.proximal import ProximalSettings, check_method, minimise_each, take_elastic_net
from jaxlr.solve.result import Certificate, FitStatus, host_params
from jaxlr.solve.rows import (
    check_classes,
    check_not_traced,
    check_settings,
    take_data_sets,
    take_many_rows,
    take_names,
)
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.segments import Segments
from jaxlr.solve.sparse import SparseObjective
from jaxlr.solve.starts import own_starts, start, start_of

_BYTES_AT_A_TIME = 1 << 28  # of matrices and memory, for the models that are solved together


@dataclass(frozen=True)
class Fits:
    """Outcome of `jaxlr.fit_many`: K models.

    ``params`` are stacked, w (K, d) and b (K,), NumPy arrays in float64; of C classes each, w
    (K, C, d) and b (K, C). ``certificates`` one for each model. Falsy where any did not converge.
    """

    params: Params
    certificates: Sequence[Certificate]

    def __bool__(self) -> bool:
        """Whether every model converged."""
        return all(c.converged for c in self.certificates)

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self.certificates)

    def counts(self) -> dict[FitStatus, int]:
        """Return how many models ended with each status."""
        found = [c.status for c in self.certificates]
        return {status: found.count(status) for status in FitStatus if status in found}


class _Problem(NamedTuple):
    """One objective, which of all models it is about, and their l1: none has any, or all."""

    objective: Objective
    models: np.ndarray
    l1: np.ndarray


def fit_many(
    X: Any,
    y: Any,
    *,
    n_classes: int | None = None,
    l2: ArrayLike = 0.0,
    l1: ArrayLike = 0.0,
    l1_ratio: ArrayLike | None = None,
    sample_weight: Any = None,
    offset: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    folds: tuple[ArrayLike, ArrayLike] | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
    init: Params | None = None,
    method: Method = "auto",
) -> Fits:
    """Fit K models together: models of the same rows, or each of rows of its own.

    Parameters
    ----------
    X : array_like, shape (n, d), or sequence of K array_like, shapes (n_k, d)
        Rows that all models share, which may be sparse as for `fit`, or the rows of each.
    y : array_like, shape (n,) or (n, K), or sequence of K array_like, shapes (n_k,)
        Labels in [0, 1]; with ``n_classes``, numbers from 0 to ``n_classes`` - 1.
    n_classes : int, optional
        As for `fit`: each model is a softmax of so many classes.
    l2, l1, l1_ratio : float or array_like, shape (K,)
        Penalties, as for `fit`.
    sample_weight : array_like, shape (n,) or (n, K), or sequence like ``y``, optional
        Weights: of folds, of bootstrap replicates.
    offset : array_like, shape (n,), optional
        As for `fit`; shared rows only.
    classes : array_like, shape (K,), optional
        The label of a row in model k is whether its ``y`` equals ``classes[k]``: one against the
        rest, without K columns. Numbers or names. Shared rows only.
    folds : (fold, left_out), optional
        Numbers or names ``fold`` (n,) of the folds of rows, and ``left_out`` (K,): model k is
        fitted to the rows of all other folds. Shared rows only.
    fit_intercept, tol, max_steps, method
        As for `fit`.
    init : Params, optional
        Where to start: w (d,) or (K, d), b () or (K,).

    Returns
    -------
    Fits
        Stacked parameters, and a certificate for each model.

    Raises
    ------
    ValueError
        If shapes do not fit or a value is out of range; the message names it.

    Notes
    -----
    Models of shared rows share each read of X, where products of matrices take the place of
    products with vectors; where X has at most a million numbers, it stays in the cache and is read
    by one model after the other, and so is a sparse X on a CPU. A model that is done costs nothing
    more, and one that fails touches no other. Nothing of size (n, K) is made beside what is passed
    in. Data sets of their own are padded to the next power of two of rows, and solved together
    where that is the same.

    Examples
    --------
    >>> import numpy as np, jaxlr
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    >>> fits = jaxlr.fit_many(X, y, l2=[0.0, 0.1, 1.0])
    >>> print(fits.params.w[:, 0].round(4), bool(fits))
    [0.9082 0.6367 0.1908] True
    """
    check_not_traced(X=X, y=y, l2=l2, l1=l1, sample_weight=sample_weight, offset=offset, init=init)
    check_settings(tol, max_steps, method)
    check_classes(n_classes)
    with Clock() as clock, jax.enable_x64(True):
        apart, penalties = _are_data_sets(X), _Penalties(l1, l2, l1_ratio)
        if not apart:
            asked = _Asked(y, n_classes, penalties, sample_weight, offset, classes, folds, init)
            problems = _shared(X, asked, intercept=fit_intercept)
        elif offset is None and classes is None and folds is None and n_classes is None:
            problems = _apart(X, y, penalties, sample_weight, fit_intercept)
        else:
            raise ValueError("offset, classes, folds and n_classes are for models of shared rows")
        K = sum(len(problem.models) for problem in problems)
        of_classes = () if n_classes is None else (n_classes,)
        w, b = np.zeros((K, *of_classes, problems[0].objective.d)), np.zeros((K, *of_classes))
        certificates: dict[int, Certificate] = {}
        for objective, models, some_l1 in problems:
            starts = start_of(init, models, n_classes)
            if some_l1.any() and objective.d:
                check_method(method, has_l1=True)
                settings = ProximalSettings(tol, max_steps, fit_intercept, n_classes)
                w[models], b[models], found = minimise_each(
                    objective, some_l1, starts, settings, clock
                )
                certificates |= dict(zip(models.tolist(), found, strict=True))
                continue
            chosen = choose_method(method, objective.scaling.size, sampled=objective.sampled)
            u = start(starts, len(models), objective.scaling, objective.rows)
            state = solve(
                objective, u, method=chosen, tol=tol, max_steps=max_steps, near=init is not None
            )
            if not np.isfinite(state.J).all() and not apart:
                batch.check_features(objective.rows.X, sparse=True)  # says where X is not finite
            w[models], b[models] = objective.scaling.to_raw(objective.scaling.centered(state.u))
            found = certify(objective, state, chosen, tol, clock)
            certificates |= dict(zip(models.tolist(), found, strict=True))
        return Fits(host_params(w, b), [certificates[k] for k in range(K)])


def _are_data_sets(X: Any) -> bool:
    if isinstance(X, list | tuple) and len(X) == 0:
        raise ValueError("X is an empty sequence: there is no data set in it")
    return isinstance(X, list | tuple) and np.ndim(X[0]) == 2


def _together(p: int) -> int:
    """Models whose matrices and memory fit into the memory meant for them."""
    matrices = 4 * p * p if choose_method("auto", p) == "newton" else 0
    return max(1, _BYTES_AT_A_TIME // max(1, 8 * (matrices + 30 * p)))


class _Penalties(NamedTuple):
    """Penalties as they were given."""

    l1: ArrayLike
    l2: ArrayLike
    l1_ratio: ArrayLike | None

    def sizes(self) -> dict[str, int | None]:
        """How many models each is for, None where it is the same for all."""
        return {
            k: None if v is None or np.size(v) == 1 else np.size(v)
            for k, v in self._asdict().items()
        }


class _Asked(NamedTuple):
    """What models of shared rows differ in, as `fit_many` was given it."""

    y: ArrayLike
    n_classes: int | None
    penalties: _Penalties
    sample_weight: ArrayLike | None
    offset: ArrayLike | None
    classes: ArrayLike | None
    folds: tuple[ArrayLike, ArrayLike] | None
    init: Params | None


def _shared(X: ArrayLike, asked: _Asked, *, intercept: bool) -> list[_Problem]:
    rows, view, K = _rows_and_view(X, asked)
    scaling, typical, reads = measure(rows, intercept=intercept, n_classes=asked.n_classes)
    l1, l2 = take_elastic_net(*asked.penalties, K)
    mesh, size = shard.mesh_of(rows.X), _together(scaling.size)
    over = SparseObjective if isinstance(rows.X, SparseX) else Objective

    def of_models(models: np.ndarray) -> _Problem:
        part = jax.tree.map(lambda v: v[models], view)
        penalties = l2[models]
        objective = over(rows, part, scaling, penalties, mesh, typical=typical, reads=reads)
        return _Problem(objective, models, l1[models])

    alike = (np.flatnonzero(l1 == 0), np.flatnonzero(l1 > 0))
    parts = [np.array_split(models, -(-len(models) // size)) for models in alike if len(models)]
    return [of_models(models) for part in parts for models in part]


def _rows_and_view(X: ArrayLike, asked: _Asked) -> tuple[Rows, View, int]:
    """Rows on the device, how each model sees them, and how many models there are."""
    y, label, fold, left_out = asked.y, None, None, None
    if asked.classes is not None:
        y, label = take_names(y, asked.classes)
    if asked.folds is not None:
        fold, left_out = take_names(*asked.folds)
    if label is not None and asked.n_classes is not None:
        raise ValueError("classes are for models of one class against the rest: drop n_classes")
    named = asked.classes is not None
    rows = take_many_rows(X, y, asked.sample_weight, asked.offset, asked.n_classes, named=named)
    if fold is not None and fold.shape != (len(rows.X),):
        raise ValueError(f"folds has fold of shape {fold.shape}, but X has {len(rows.X)} rows")
    y_columns = rows.y.shape[1] if rows.y.ndim == 2 else None
    s_columns = rows.s.shape[1] if rows.s is not None and rows.s.ndim == 2 else None
    K = _count(
        {
            **asked.penalties.sizes(),
            "y": y_columns,
            "sample_weight": s_columns,
            "classes": None if label is None else len(label),
            "left_out": None if left_out is None else len(left_out),
            "init": own_starts(asked.init, asked.n_classes),
        }
    )
    view = View(
        y_column=None if y_columns is None else jnp.arange(K) % y_columns,
        s_column=None if s_columns is None else jnp.arange(K) % s_columns,
        label=None if label is None else jnp.asarray(label),
        left_out=None if left_out is None else jnp.asarray(left_out),
    )
    return rows._replace(fold=None if fold is None else shard.placed_like(fold, rows.X)), view, K


def _count(sizes: dict[str, int | None]) -> int:
    given = {name: size for name, size in sizes.items() if size is not None}
    if 0 in given.values():
        raise ValueError(
            f"{next(k for k, v in given.items() if v == 0)} is empty: no model is left"
        )
    if len(set(given.values())) > 1:
        raise ValueError(f"the number of models is not clear: {given}")
    return next(iter(given.values()), 1)


def _apart(
    X: Sequence[ArrayLike],
    y: Sequence[ArrayLike],
    penalties: _Penalties,
    sample_weight: Sequence[ArrayLike] | None,
    fit_intercept: bool,
) -> list[_Problem]:
    data_sets = take_data_sets(X, y, sample_weight)
    l1, l2 = take_elastic_net(*penalties, len(X))
    sizes = np.array([power_of_two(len(s)) for _, _, s in data_sets])
    p = data_sets[0][0].shape[1] + fit_intercept
    problems = []
    for size, has_l1 in np.unique(np.stack([sizes, l1 > 0], axis=1), axis=0).tolist():
        same = np.flatnonzero((sizes == size) & ((l1 > 0) == has_l1))
        for models in np.array_split(same, -(-len(same) // _together(p))):
            rows = [_stack([data_sets[k][i] for k in models], size) for i in range(3)]
            scaling = Scaling.of(rows[0], rows[2], intercept=fit_intercept)
            objective = Segments(Rows(*map(shard.put, rows)), scaling, l2[models])
            problems.append(_Problem(objective, models, l1[models]))
    return problems


def _stack(arrays: list[np.ndarray], size: int) -> np.ndarray:
    """Stack arrays of different lengths, filled up with zeros."""
    stacked = np.zeros((len(arrays), size, *arrays[0].shape[1:]), arrays[0].dtype)
    for place, v in zip(stacked, arrays, strict=True):
        place[: len(v)] = v
    return stacked
