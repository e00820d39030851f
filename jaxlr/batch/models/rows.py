"""What K models share row by row, how each sees it, and what each row adds to its sums."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxlr import core
from jaxlr.core import Params

Moment = Literal["loss", "slope"]


class Rows(NamedTuple):
    """What all models share, row by row; None where there is no such thing.

    ``X`` (n, d); labels ``y`` and weights ``s``, (n,) or (n, columns); ``offset`` (n,), added
    to z; ``fold`` (n,), the number of the fold that a row belongs to.
    """

    X: Array
    y: Array
    s: Array | None = None
    offset: Array | None = None
    fold: Array | None = None


class View(NamedTuple):
    """How each of K models sees the rows, (K,) each; None where all see the same.

    ``y_column`` and ``s_column`` choose a column of ``Rows.y`` and ``Rows.s``; with ``label``, the
    label of a row is whether its y equals that; rows of the fold ``left_out`` weigh nothing.
    """

    y_column: Array | np.ndarray | None = None
    s_column: Array | np.ndarray | None = None
    label: Array | np.ndarray | None = None
    left_out: Array | np.ndarray | None = None


class Models(NamedTuple):
    """K models: ``w`` (K, d), ``b`` (K,), and how each sees the rows.

    Where each has C classes, ``w`` is (K, C, d) and ``b`` (K, C).
    """

    w: Array
    b: Array
    view: View = View()


def label_of(row: Rows, view: View) -> Array:
    """Label of one row in the eyes of one model."""
    y = row.y if view.y_column is None else row.y[view.y_column]
    return y if view.label is None else y == view.label


def weight_of(row: Rows, view: View, dtype: DTypeLike) -> Array:
    """Weight of one row in the eyes of one model."""
    s = jnp.ones((), dtype) if row.s is None else row.s
    s = (s if view.s_column is None else s[view.s_column]).astype(dtype)
    return s if view.left_out is None else jnp.where(row.fold == view.left_out, 0, s)


def rows_seen(rows: Rows, view: View) -> Rows:
    """Rows as one model sees them, with a label and a weight in float64 for each."""

    def of_row(row: Rows) -> tuple[Array, Array]:
        return label_of(row, view), weight_of(row, view, jnp.float64)

    no_features: Any = None
    y, s = jax.vmap(of_row)(rows._replace(X=no_features))
    return Rows(rows.X, y, s, rows.offset)


class Terms(NamedTuple):
    """What each row adds to the sums of each model, (K, m); ``bend`` is s d2z, or s dz^2.

    With C classes ``ones``, ``zeros`` and ``dz`` are (K, m, C), and ``bend`` is (K, m, C, C).
    Where nobody asked for it, ``bend`` is None.
    """

    s: Array
    L: Array
    ones: Array
    zeros: Array
    undecided: Array
    dz: Array
    bend: Array | None


def terms_of(models: Models, rows: Rows, of: Moment = "loss") -> Terms:
    """Terms of all rows in all models."""

    def of_row(model: Models, row: Rows) -> Terms:
        return _terms(*forward(model, row), of)

    return jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, rows)


def terms_at(view: View, row: Rows, z: Array, of: Moment | None = "loss") -> Terms:
    """Terms of one row in one model whose linear predictor there is z: no X is read."""
    L, cache = core.loss_at(z, label_of(row, view))
    return _terms(weight_of(row, view, z.dtype), L, cache, of)


def _terms(s: Array, L: Array, cache: core.Cache, of: Moment | None) -> Terms:
    y, dz = cache.y, core.slope(cache)
    bend = None
    if of is not None:
        bend = s * (core.curvature(cache) if of == "loss" else jnp.multiply.outer(dz, dz))
    undecided = jnp.where(_is_decided(cache), 0, s)
    return Terms(s, s * L, s * y, s * (1 - y), undecided, s * dz, bend)


def forward(model: Models, row: Rows) -> tuple[Array, Array, core.Cache]:
    """Weight, loss and cache of one row in one model."""
    b = model.b if row.offset is None else model.b + row.offset.astype(model.b.dtype)
    L, cache = core.forward(Params(model.w, b), row.X, label_of(row, model.view))
    return weight_of(row, model.view, L.dtype), L, cache


def _is_decided(cache: core.Cache) -> Array:
    """Whether the largest z is that of the label alone."""
    _, y, p, q = cache
    if p.ndim == 0:
        return jnp.where(q < p, y == 1, (p < q) & (y == 0))
    ahead = p == 1
    return (ahead.sum() == 1) & (ahead & (y == 1)).any()
