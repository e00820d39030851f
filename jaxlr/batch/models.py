"""K models over shared rows: one read of X serves them all.

`core` is mapped over the rows and over the models; what differs from model to model is its
parameters, and which label and which weight it gives to a row::

    J_k  = sum_i s_ki L(w_k . x_i + b_k + o_i, y_ki) / sum_i s_ki
    dw_k = sum_i s_ki dz_ki x_i / sum_i s_ki                        (no penalty here)
    H_k  = sum_i s_ki d2z_ki x_i x_i' / sum_i s_ki

For K models, z and dw are products of matrices where a single model has products with a vector.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from jaxlr import core
from jaxlr.batch.blocks import sum_over_rows
from jaxlr.core import Params

Moment = Literal["loss", "slope"]
_FAR, _NEAR = 0.3, 0.03  # in z: a Newton step along which labels separate moves them by about 1


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

    y_column: Array | None = None
    s_column: Array | None = None
    label: Array | None = None
    left_out: Array | None = None


class Models(NamedTuple):
    """K models: ``w`` (K, d), ``b`` (K,), and how each sees the rows."""

    w: Array
    b: Array
    view: View = View()


class GradientSums(NamedTuple):
    """Sums over rows for each model: weights and losses (K,), dw (K, d) and db (K,).

    ``ones`` and ``zeros`` (K,) are the weights of labels 1 and 0. ``undecided`` (K,) is that of the
    rows not on their label's side of z = 0; where there are none, the model separates the labels.
    """

    s: Array
    L: Array
    ones: Array
    zeros: Array
    undecided: Array
    dw: Array
    db: Array


class CurvatureSums(NamedTuple):
    """Sums over rows for each model: weights, and s d2z times x x', x and 1."""

    s: Array
    ww: Array
    wb: Array
    bb: Array

    def matrix(self) -> Array:
        """Mean curvature of one model as a matrix (d + 1, d + 1), the intercept last."""
        top = jnp.concatenate([self.ww, self.wb[:, None]], axis=1)
        bottom = jnp.append(self.wb, self.bb)
        return jnp.concatenate([top, bottom[None]]) / self.s


class Curvature(NamedTuple):
    """Weights ``s`` (K,) and mean curvature ``H`` (K, d + 1, d + 1) of K models, b last."""

    s: Array
    H: Array


def label_of(row: Rows, view: View) -> Array:
    """Label of one row in the eyes of one model."""
    y = row.y if view.y_column is None else row.y[view.y_column]
    return y if view.label is None else y == view.label


def weight_of(row: Rows, view: View, dtype: DTypeLike) -> Array:
    """Weight of one row in the eyes of one model."""
    s = jnp.ones((), dtype) if row.s is None else row.s
    s = (s if view.s_column is None else s[view.s_column]).astype(dtype)
    return s if view.left_out is None else jnp.where(row.fold == view.left_out, 0, s)


def _gradient_sums(models: Models, rows: Rows) -> GradientSums:
    def of_row(model: Models, row: Rows) -> tuple[Array, ...]:
        s, y, L, cache = _forward(model, row)
        decided = jnp.where(cache.q < cache.p, y == 1, (cache.p < cache.q) & (y == 0))
        undecided = jnp.where(decided, 0, s)
        return s, s * L, s * y, s * (1 - y), undecided, s * core.slope(cache)

    *scalars, dz = jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, rows)
    dw = jnp.dot(dz, rows.X.astype(dz.dtype), precision=lax.Precision.HIGHEST)
    s, L, ones, zeros, undecided = (v.sum(1) for v in scalars)
    return GradientSums(s, L, ones, zeros, undecided, dw, dz.sum(1))


def _forward(model: Models, row: Rows) -> tuple[Array, Array, Array, core.Cache]:
    """Weight, label, loss and cache of one row in one model."""
    b = model.b if row.offset is None else model.b + row.offset.astype(model.b.dtype)
    L, cache = core.forward(Params(model.w, b), row.X, label_of(row, model.view))
    return weight_of(row, model.view, L.dtype), cache.y, L, cache


def _side_sums(models: Models, rows: Rows) -> tuple[Array, Array]:
    def of_row(model: Models, row: Rows) -> tuple[Array, Array]:
        y, z = label_of(row, model.view), core.linear(Params(model.w, model.b), row.X)
        s = weight_of(row, model.view, z.dtype)
        along = jnp.where(y == 1, z, jnp.where(y == 0, -z, -abs(z)))
        return jnp.where(along > _FAR, s, 0), jnp.where(along < -_NEAR, s, 0)

    sides = jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, rows)
    return jax.tree.map(lambda v: v.sum(1), sides)


def _curvature_sums(
    of: Moment, model_and_scale: tuple[Models, Array, Array], rows: Rows
) -> CurvatureSums:
    model, center, scale = model_and_scale

    def of_row(row: Rows) -> tuple[Array, Array, Array]:
        s, _, _, cache = _forward(model, row)
        d2z = s * (core.curvature(cache) if of == "loss" else core.slope(cache) ** 2)
        x = (row.X.astype(d2z.dtype) - center) / scale
        return s, d2z, x

    s, d2z, x = jax.vmap(of_row)(rows)
    scaled = x * d2z[:, None]
    ww = lax.dot_general(scaled, x, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)
    return CurvatureSums(s.sum(), ww, scaled.sum(0), d2z.sum())


def _sum(
    sums: Callable[[Models, Rows], Any],
    models: Models,
    rows: Rows,
    index: Array | None,
    mesh: Mesh | None,
) -> Any:
    numbers = rows.X.shape[1] + 2 * len(models.w)  # of a row: x, and z and dz of all models
    row_bytes = numbers * models.w.dtype.itemsize
    return sum_over_rows(sums, models, rows, mesh=mesh, row_bytes=row_bytes, index=index)


@partial(jax.jit, static_argnames="mesh")
def gradient_sums(
    models: Models, rows: Rows, index: Array | None = None, *, mesh: Mesh | None = None
) -> GradientSums:
    """Sum loss and gradient of K models, in one read of X (or of its rows ``index``)."""
    return _sum(_gradient_sums, models, rows, index, mesh)


@partial(jax.jit, static_argnames="mesh")
def moment_sums(
    X: Array, s: Array, center: Array, *, mesh: Mesh | None = None
) -> tuple[Array, Array, Array]:
    """Sum the weights, and s (x - center) and s (x - center)^2, in the type of ``center``."""

    def sums(center: Array, rows: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        X, s = (v.astype(center.dtype) for v in rows)
        off = jax.vmap(lambda x: x - center)(X)
        precise = lax.Precision.HIGHEST
        return s.sum(), jnp.dot(s, off, precision=precise), jnp.dot(s, off**2, precision=precise)

    row_bytes = X.shape[1] * center.dtype.itemsize
    return sum_over_rows(sums, center, (X, s), mesh=mesh, row_bytes=row_bytes)


@partial(jax.jit, static_argnames="mesh")
def side_sums(models: Models, rows: Rows, *, mesh: Mesh | None = None) -> tuple[Array, Array]:
    """Sum the weights of the rows that each model, as a direction, takes towards their labels.

    Returns the weight (K,) of rows moved to the side of their label by more than 0.3 in z, and of
    rows moved away from it by more than 0.03; a soft label is moved away either way.
    """
    return _sum(_side_sums, models, rows, None, mesh)


@partial(jax.jit, static_argnames=("of", "mesh"))
def mean_curvature(
    models: Models,
    rows: Rows,
    index: Array | None,
    center: Array,
    scale: Array,
    *,
    of: Moment = "loss",
    mesh: Mesh | None = None,
) -> Curvature:
    """Mean curvature of K models, model after model, for features ``(x - center) / scale``.

    With ``of="slope"``, dz^2 stands in the place of d2z: the second moment of the gradients.
    """

    def of_model(model: Models) -> Curvature:
        total = sum_over_rows(
            partial(_curvature_sums, of),
            (model, center, scale),
            rows,
            mesh=mesh,
            row_bytes=512,
            index=index,
        )
        return Curvature(total.s, total.matrix())

    return lax.map(of_model, models)


@jax.jit
def scores(models: Models, rows: Rows, index: Array) -> tuple[Array, Array, Array, Array]:
    """Weight, label, z and loss of the rows ``index`` in K models, each (K, len(index)).

    ``View.left_out`` is not looked at: these may be the rows that were left out.
    """
    models = models._replace(view=models.view._replace(left_out=None))

    def of_row(model: Models, row: Rows) -> tuple[Array, Array, Array, Array]:
        s, y, L, _ = _forward(model, row)
        z = core.linear(Params(model.w, model.b), row.X)
        return s, y, z if row.offset is None else z + row.offset.astype(z.dtype), L

    chosen = jax.tree.map(lambda v: v[index], rows)
    return jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, chosen)


@partial(jax.jit, static_argnames="mesh")
def gradient_and_curvature(
    models: Models, rows: Rows, center: Array, scale: Array, *, mesh: Mesh | None = None
) -> tuple[GradientSums, Curvature]:
    """`gradient_sums` and `mean_curvature` in one: less to do where X is small."""

    def of_model(model: Models) -> tuple[GradientSums, Curvature]:
        total, bend = sum_over_rows(
            _both_sums, (model, center, scale), rows, mesh=mesh, row_bytes=512
        )
        return total, Curvature(bend.s, bend.matrix())

    return lax.map(of_model, models)


def _both_sums(
    model_and_scale: tuple[Models, Array, Array], rows: Rows
) -> tuple[GradientSums, CurvatureSums]:
    alone = jax.tree.map(lambda v: v[None], model_and_scale[0])
    total = jax.tree.map(lambda v: v[0], _gradient_sums(alone, rows))
    return total, _curvature_sums("loss", model_and_scale, rows)


def gradient_sums_apart(models: Models, rows: Rows) -> GradientSums:
    """`gradient_sums` where each of K models has rows of its own: X (K, m, d), y (K, m)."""
    return _apart(_gradient_sums, models, rows)


def side_sums_apart(models: Models, rows: Rows) -> tuple[Array, Array]:
    """`side_sums` where each of K models has rows of its own."""
    return _apart(_side_sums, models, rows)


@partial(jax.jit, static_argnames="of")
def mean_curvature_apart(
    models: Models, rows: Rows, center: Array, scale: Array, *, of: Moment = "loss"
) -> Curvature:
    """`mean_curvature` where each of K models has rows of its own; center and scale are (K, d)."""

    def of_one(one: tuple[Models, Rows, Array, Array]) -> Curvature:
        model, rows, center, scale = one
        total = _curvature_sums(of, (model, center, scale), rows)
        return Curvature(total.s, total.matrix())

    return lax.map(of_one, (models, rows, center, scale))


@partial(jax.jit, static_argnums=0)
def _apart(sums: Callable[[Models, Rows], Any], models: Models, rows: Rows) -> Any:
    def of_one(one: tuple[Models, Rows]) -> Any:
        model, rows = one
        total = sums(jax.tree.map(lambda v: v[None], model), rows)
        return jax.tree.map(lambda v: v[0], total)

    return lax.map(of_one, (models, rows))
