"""What `fit_many` solves: the objectives of K models, of shared rows or each of rows of its own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlr import shard
from jaxlr.batch import Rows, SparseX, View
from jaxlr.core import Params
from jaxlr.solve.measure import measure
from jaxlr.solve.objective import Objective, power_of_two
from jaxlr.solve.plan import choose_method
from jaxlr.solve.proximal import take_elastic_net
from jaxlr.solve.rows import take_data_sets, take_many_rows, take_names
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.segments import Segments
from jaxlr.solve.sparse import SparseObjective
from jaxlr.solve.starts import own_starts

_BYTES_AT_A_TIME = 1 << 28  # of matrices and memory, for the models that are solved together


class Problem(NamedTuple):
    """One objective, which of all models it is about, and their l1: none has any, or all."""

    objective: Objective
    models: np.ndarray
    l1: np.ndarray


class Penalties(NamedTuple):
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


class Asked(NamedTuple):
    """What models of shared rows differ in, as `fit_many` was given it."""

    y: ArrayLike
    n_classes: int | None
    penalties: Penalties
    sample_weight: ArrayLike | None
    offset: ArrayLike | None
    classes: ArrayLike | None
    folds: tuple[ArrayLike, ArrayLike] | None
    init: Params | None


def are_data_sets(X: Any) -> bool:
    """Whether X is a sequence of data sets: each model then has rows of its own."""
    if isinstance(X, list | tuple) and len(X) == 0:
        raise ValueError("X is an empty sequence: there is no data set in it")
    return isinstance(X, list | tuple) and np.ndim(X[0]) == 2


def of_shared_rows(X: ArrayLike, asked: Asked, *, intercept: bool) -> list[Problem]:
    """Models that share the rows X, as many together as memory allows, with l1 and without."""
    rows, view, K = _rows_and_view(X, asked)
    scaling, typical, reads = measure(rows, intercept=intercept, n_classes=asked.n_classes)
    l1, l2 = take_elastic_net(*asked.penalties, K)
    mesh, size = shard.mesh_of(rows.X), _together(scaling.size, scaling.n_classes)
    over = SparseObjective if isinstance(rows.X, SparseX) else Objective

    def of_models(models: np.ndarray) -> Problem:
        part = jax.tree.map(lambda v: v[models], view)
        penalties = l2[models]
        objective = over(rows, part, scaling, penalties, mesh, typical=typical, reads=reads)
        return Problem(objective, models, l1[models])

    alike = (np.flatnonzero(l1 == 0), np.flatnonzero(l1 > 0))
    parts = [np.array_split(models, -(-len(models) // size)) for models in alike if len(models)]
    return [of_models(models) for part in parts for models in part]


def _rows_and_view(X: ArrayLike, asked: Asked) -> tuple[Rows, View, int]:
    """Rows on the device, how each model sees them, and how many models there are."""
    y, label, fold, left_out = asked.y, None, None, None
    if asked.classes is not None:
        y, label = take_names(y, asked.classes)
    if asked.folds is not None:
        if not isinstance(asked.folds, tuple | list) or len(asked.folds) != 2:
            raise ValueError(
                "folds must be a pair (fold, left_out): the fold of each row, and that which each "
                "model leaves out. cross_validate takes a number of folds"
            )
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
        y_column=None if y_columns is None else np.arange(K) % y_columns,
        s_column=None if s_columns is None else np.arange(K) % s_columns,
        label=label,
        left_out=left_out,
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


def of_own_rows(
    X: Sequence[ArrayLike],
    y: Sequence[ArrayLike],
    penalties: Penalties,
    sample_weight: Sequence[ArrayLike] | None,
    fit_intercept: bool,
) -> list[Problem]:
    """Models of rows of their own, those together that are padded to the same number of rows."""
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
            problems.append(Problem(objective, models, l1[models]))
    return problems


def _together(P: int, n_classes: int | None = None) -> int:
    """Models whose matrices and memory fit into the memory meant for them."""
    block = 0 if n_classes is None else P // n_classes  # what L-BFGS begins with
    matrices = 4 * (P if choose_method("auto", P) == "newton" else block) ** 2
    return max(1, _BYTES_AT_A_TIME // max(1, 8 * (matrices + 30 * P)))


def _stack(arrays: list[np.ndarray], size: int) -> np.ndarray:
    """Stack arrays of different lengths, filled up with zeros."""
    stacked = np.zeros((len(arrays), size, *arrays[0].shape[1:]), arrays[0].dtype)
    for place, v in zip(stacked, arrays, strict=True):
        place[: len(v)] = v
    return stacked
