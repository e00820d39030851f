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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh

from jaxlr import core
from jaxlr.batch.blocks import Part, map_models, sum_over_rows
from jaxlr.batch.models.rows import (
    Models,
    Rows,
    Terms,
    View,
    forward,
    label_of,
    terms_of,
    weight_of,
)
from jaxlr.core import Params

_FAR, _NEAR = 0.3, 0.03  # in z: a Newton step along which labels separate moves them by about 1


class GradientSums(NamedTuple):
    """Sums over rows for each model: weights and losses (K,), dw (K, d) and db (K,).

    ``ones`` and ``zeros`` (K,) are the weights of labels 1 and 0. ``undecided`` (K,) is that of the
    rows not on their label's side of z = 0; where there are none, the model separates the labels.
    With C classes, dw is (K, C, d) and db (K, C); ``ones`` and ``zeros`` (K, C) are the weights
    of each class and of all others, and a row is decided where its label's z is the largest.
    """

    s: Array
    L: Array
    ones: Array
    zeros: Array
    undecided: Array
    dw: Array
    db: Array


@partial(jax.jit, static_argnames="mesh")
def gradient_sums(
    models: Models,
    rows: Rows,
    index: Array | None = None,
    part: Part | None = None,
    *,
    mesh: Mesh | None = None,
) -> GradientSums:
    """Sum loss and gradient of K models, in one read of X (or of its rows ``index``)."""
    return sum_models(_gradient_sums, models, rows, index, part, mesh)


@partial(jax.jit, static_argnames="mesh")
def moment_sums(
    X: Array, s: Array, center: Array, part: Part | None = None, *, mesh: Mesh | None = None
) -> tuple[Array, Array, Array]:
    """Sum the weights, and s (x - center) and s (x - center)^2, in the type of ``center``."""

    def sums(center: Array, rows: Rows) -> tuple[Array, Array, Array]:
        X, s = rows.X.astype(center.dtype), weight_of(rows, View(), center.dtype)
        off = jax.vmap(lambda x: x - center)(X)
        precise = lax.Precision.HIGHEST
        return s.sum(), jnp.dot(s, off, precision=precise), jnp.dot(s, off**2, precision=precise)

    row_bytes = X.shape[1] * center.dtype.itemsize
    return sum_over_rows(sums, center, Rows(X, s, s), mesh=mesh, row_bytes=row_bytes, part=part)


@partial(jax.jit, static_argnames="mesh")
def side_sums(
    models: Models, rows: Rows, part: Part | None = None, *, mesh: Mesh | None = None
) -> tuple[Array, Array]:
    """Sum the weights of the rows that each model, as a direction, takes towards their labels.

    Returns the weight (K,) of rows moved to the side of their label by more than 0.3 in z, and of
    rows moved away from it by more than 0.03; a soft label is moved away either way.
    """
    return sum_models(_side_sums, models, rows, None, part, mesh)


@jax.jit
def scores(models: Models, rows: Rows, index: Array) -> tuple[Array, Array, Array, Array]:
    """Weight, label, z and loss of the rows ``index`` in K models, each (K, len(index)).

    ``View.left_out`` is not looked at: these may be the rows that were left out.
    """
    models = models._replace(view=models.view._replace(left_out=None))

    def of_row(model: Models, row: Rows) -> tuple[Array, Array, Array, Array]:
        s, L, cache = forward(model, row)
        z = core.linear(Params(model.w, model.b), row.X)
        return s, cache.y, z if row.offset is None else z + row.offset.astype(z.dtype), L

    chosen = jax.tree.map(lambda v: v[index], rows)
    return jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, chosen)


@jax.jit
def gradient_sums_apart(models: Models, rows: Rows, part: Part | None = None) -> GradientSums:
    """`gradient_sums` where each of K models has rows of its own: X (K, m, d), y (K, m)."""
    return apart(_gradient_sums, models, rows, part)


@jax.jit
def side_sums_apart(models: Models, rows: Rows, part: Part | None = None) -> tuple[Array, Array]:
    """`side_sums` where each of K models has rows of its own."""
    return apart(_side_sums, models, rows, part)


def apart(sums: Callable[[Any, Rows], Any], models: Any, rows: Rows, part: Part | None) -> Any:
    """Sum over the own rows of each model: ``sums`` of one model at a time."""

    def of_one(model: Any, rows: Rows) -> Any:
        total = sums(jax.tree.map(lambda v: v[None], model), rows)
        return jax.tree.map(lambda v: v[0], total)

    return map_models(of_one, models, rows, part=part)


def _gradient_sums(models: Models, rows: Rows) -> GradientSums:
    return gradient_of(terms_of(models, rows), rows)


def gradient_of(terms: Terms, rows: Rows) -> GradientSums:
    """Sum what the rows of a block add."""
    *scalars, dz, _ = terms
    # Row by row this is core.backward; summed over the rows, dz_i x_i is one product.
    dw = jnp.tensordot(dz, rows.X.astype(dz.dtype), (1, 0), precision=lax.Precision.HIGHEST)
    s, L, ones, zeros, undecided = (v.sum(1) for v in scalars)
    return GradientSums(s, L, ones, zeros, undecided, dw, dz.sum(1))


def _side_sums(models: Models, rows: Rows) -> tuple[Array, Array]:
    def of_row(model: Models, row: Rows) -> tuple[Array, Array]:
        return sides_at(model.view, row, core.linear(Params(model.w, model.b), row.X))

    sides = jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, rows)
    return jax.tree.map(lambda v: v.sum(1), sides)


def sides_at(view: View, row: Rows, z: Array) -> tuple[Array, Array]:
    """Weight of one row where z takes it to its label's side, and where away from it."""
    s = weight_of(row, view, z.dtype)
    along, away = _gain(z, label_of(row, view))
    return jnp.where(along > _FAR, s, 0), jnp.where(away < -_NEAR, s, 0)


def _gain(z: Array, y: Array) -> tuple[Array, Array]:
    """Most and least of what z adds to the lead of a row's label over another."""
    if z.ndim == 0:
        y = y.astype(z.dtype)
        along = jnp.where(y == 1, z, jnp.where(y == 0, -z, -abs(z)))
        return along, along
    own = y.astype(jnp.int32)
    lead = z[own] - z
    return lead.max(), jnp.where(jnp.arange(len(z), dtype=own.dtype) == own, jnp.inf, lead).min()


def sum_models(
    sums: Callable[[Models, Rows], Any],
    models: Models,
    rows: Rows,
    index: Array | None,
    part: Part | None,
    mesh: Mesh | None,
) -> Any:
    """Sum over rows what depends on x, z and dz of each in all models."""
    # Of a row: x, and z and dz of all models; with classes the odds and the label, too.
    numbers = rows.X.shape[1] + models.b.size * (2 if models.b.ndim == 1 else 5)
    row_bytes = numbers * models.w.dtype.itemsize
    return sum_over_rows(sums, models, rows, mesh=mesh, row_bytes=row_bytes, index=index, part=part)
