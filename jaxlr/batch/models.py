"""K models over shared rows: one read of X serves them all.

`core` is mapped over the rows and over the models; what differs from model to model is its
parameters, and which label and which weight it gives to a row::

    J_k  = sum_i s_ki L(w_k . x_i + b_k + o_i, y_ki) / sum_i s_ki
    dw_k = sum_i s_ki dz_ki x_i / sum_i s_ki                        (no penalty here)
    H_k  = sum_i s_ki d2z_ki x_i x_i' / sum_i s_ki

For K models, z and dw are products of matrices where a single model has products with a vector.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from jaxlr import core
from jaxlr.batch.blocks import sum_over_rows
from jaxlr.core import Params


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


class Models(NamedTuple):
    """K models: ``w`` (K, d), ``b`` (K,), and how each sees the rows; None where all see the same.

    ``y_column`` and ``s_column`` (K,) choose a column of ``Rows.y`` and ``Rows.s``; with
    ``label`` (K,) the label of a row is whether its y equals that; rows of the fold
    ``left_out`` (K,) weigh nothing.
    """

    w: Array
    b: Array
    y_column: Array | None = None
    s_column: Array | None = None
    label: Array | None = None
    left_out: Array | None = None


class GradientSums(NamedTuple):
    """Sums over rows for each model: weights, losses and labels (K,), dw (K, d), db (K,).

    ``undecided`` (K,) is the weight of the rows that are not on their label's side of z = 0; where
    it is 0, and only there, the model separates the labels.
    """

    s: Array
    L: Array
    y: Array
    undecided: Array
    dw: Array
    db: Array


class CurvatureSums(NamedTuple):
    """Sums over rows for each model: weights (K,), and s d2z times x x', x and 1."""

    s: Array
    ww: Array
    wb: Array
    bb: Array


def matrix(sums: CurvatureSums) -> Array:
    """Mean curvature of each model as one matrix, the intercept last: (K, d + 1, d + 1)."""
    top = jnp.concatenate([sums.ww, sums.wb[:, :, None]], axis=2)
    bottom = jnp.concatenate([sums.wb, sums.bb[:, None]], axis=1)
    return jnp.concatenate([top, bottom[:, None]], axis=1) / sums.s[:, None, None]


def label_of(model: Models, row: Rows) -> Array:
    """Label of one row in the eyes of one model."""
    y = row.y if model.y_column is None else row.y[model.y_column]
    return y if model.label is None else y == model.label


def weight_of(model: Models, row: Rows, dtype: DTypeLike) -> Array:
    """Weight of one row in the eyes of one model."""
    s = jnp.ones((), dtype) if row.s is None else row.s
    s = s if model.s_column is None else s[model.s_column]
    s = s.astype(dtype)
    return s if model.left_out is None else jnp.where(row.fold == model.left_out, 0, s)


def _gradient_sums(models: Models, rows: Rows) -> GradientSums:
    def of_row(model: Models, row: Rows) -> tuple[Array, ...]:
        s, y, L, cache = _forward(model, row)
        decided = jnp.where(cache.q < cache.p, y == 1, (cache.p < cache.q) & (y == 0))
        return s, s * L, s * y, jnp.where(decided, 0, s), s * core.slope(cache)

    s, L, y, undecided, dz = jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, rows)
    dw = jnp.dot(dz, rows.X.astype(dz.dtype), precision=lax.Precision.HIGHEST)
    return GradientSums(s.sum(1), L.sum(1), y.sum(1), undecided.sum(1), dw, dz.sum(1))


def _forward(model: Models, row: Rows) -> tuple[Array, Array, Array, core.Cache]:
    """Weight, label, loss and cache of one row in one model."""
    b = model.b if row.offset is None else model.b + row.offset.astype(model.b.dtype)
    L, cache = core.forward(Params(model.w, b), row.X, label_of(model, row))
    return weight_of(model, row, L.dtype), cache.y, L, cache


def _curvature_sums(model_and_scale: tuple[Models, Array, Array], rows: Rows) -> CurvatureSums:
    model, center, scale = model_and_scale

    def of_row(row: Rows) -> tuple[Array, Array, Array]:
        s, _, _, cache = _forward(model, row)
        d2z = s * core.curvature(cache)
        x = (row.X.astype(d2z.dtype) - center) / scale
        return s, d2z, x

    s, d2z, x = jax.vmap(of_row)(rows)
    scaled = x * d2z[:, None]
    ww = lax.dot_general(scaled, x, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)
    return CurvatureSums(s.sum(), ww, scaled.sum(0), d2z.sum())


@partial(jax.jit, static_argnames="mesh")
def gradient_sums(
    models: Models, rows: Rows, index: Array | None = None, *, mesh: Mesh | None = None
) -> GradientSums:
    """Sum loss and gradient of K models, in one read of X (or of its rows ``index``)."""
    size = rows.X.shape[1] + 2 * len(models.w)  # a row of X, and of z and dz
    return sum_over_rows(
        _gradient_sums,
        models,
        rows,
        mesh=mesh,
        row_bytes=size * models.w.dtype.itemsize,
        index=index,
    )


@partial(jax.jit, static_argnames="mesh")
def curvature_sums(
    models: Models,
    rows: Rows,
    index: Array | None,
    center: Array,
    scale: Array,
    *,
    mesh: Mesh | None = None,
) -> CurvatureSums:
    """Sum the curvature of K models, model after model, for features ``(x - center) / scale``."""

    def of_model(model: Models) -> CurvatureSums:
        return sum_over_rows(
            _curvature_sums, (model, center, scale), rows, mesh=mesh, row_bytes=512, index=index
        )

    return lax.map(of_model, models)
