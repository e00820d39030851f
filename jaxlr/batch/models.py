"""K models over shared rows: one read of X serves them all.

`core` is mapped over the rows and over the models; what differs from model to model is its
parameters, and which label and which weight it gives to a row::

    J_k  = sum_i s_ki L(w_k . x_i + b_k + o_i, y_ki) / sum_i s_ki
    dw_k = sum_i s_ki dz_ki x_i / sum_i s_ki                        (no penalty here)
    H_k  = sum_i s_ki d2z_ki x_i x_i' / sum_i s_ki

For K models, z and dw are products of matrices where a single model has products with a vector.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from jaxlr import core
from jaxlr.batch.blocks import Part, map_models, sum_over_rows
from jaxlr.core import Params

Moment = Literal["loss", "slope"]
_CURVATURE_ROW_BYTES = 512  # blocks of so many rows as products of matrices like
_WIDE = 256  # columns from which on half a symmetric product is faster than all of it
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
    """Sums over rows for K models: weights, and s d2z times x x' (upper panels), x and 1."""

    s: Array
    ww: list[Array]
    wb: Array
    bb: Array

    def as_matrices(self) -> "Curvature":
        """Curvatures as matrices (K, d + 1, d + 1), the intercept last."""

        def matrix(ww: list[Array], wb: Array, bb: Array) -> Array:
            top = jnp.concatenate([_from_upper_panels(ww), wb[:, None]], axis=1)
            return jnp.concatenate([top, jnp.append(wb, bb)[None]])

        return Curvature(self.s, jax.vmap(matrix)(self.ww, self.wb, self.bb))


class Curvature(NamedTuple):
    """Sums over rows for each model: weights ``s`` (K,), curvature ``H`` (K, d + 1, d + 1)."""

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


class _Terms(NamedTuple):
    """What each row adds to the sums of each model, (K, m); ``bend`` is s d2z, or s dz^2."""

    s: Array
    L: Array
    ones: Array
    zeros: Array
    undecided: Array
    dz: Array
    bend: Array


def _terms(models: Models, rows: Rows, of: Moment = "loss") -> _Terms:
    def of_row(model: Models, row: Rows) -> _Terms:
        s, y, L, cache = _forward(model, row)
        dz, d2z = core.slope(cache), core.curvature(cache)
        decided = jnp.where(cache.q < cache.p, y == 1, (cache.p < cache.q) & (y == 0))
        undecided = jnp.where(decided, 0, s)
        bend = s * (d2z if of == "loss" else dz**2)
        return _Terms(s, s * L, s * y, s * (1 - y), undecided, s * dz, bend)

    return jax.vmap(jax.vmap(of_row, (None, 0)), (0, None))(models, rows)


def _gradient_sums(models: Models, rows: Rows) -> GradientSums:
    return _gradient_of(_terms(models, rows), rows)


def _gradient_of(terms: _Terms, rows: Rows) -> GradientSums:
    *scalars, dz, _ = terms
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
    of: Moment, models_and_scale: tuple[Models, Array, Array], rows: Rows
) -> CurvatureSums:
    models, center, scale = models_and_scale
    return _curvature_of(_terms(models, rows, of), rows, center, scale)


def _curvature_of(terms: _Terms, rows: Rows, center: Array, scale: Array) -> CurvatureSums:
    x = jax.vmap(lambda x: (x.astype(scale.dtype) - center) / scale)(rows.X)

    def of_model(bend: Array) -> tuple[list[Array], Array]:
        scaled = x * bend[:, None]
        return _upper_panels(scaled, x), scaled.sum(0)

    ww, wb = lax.map(of_model, terms.bend)
    return CurvatureSums(terms.s.sum(1), ww, wb, terms.bend.sum(1))


def _upper_panels(A: Array, B: Array) -> list[Array]:
    """Multiply ``A' B`` (d, d), a symmetric product: panels of rows, from the diagonal on."""
    d = A.shape[1]
    panels = 4 if d >= _WIDE else 1
    edges = [d * i // panels for i in range(panels + 1)]
    over_rows = (((0,), (0,)), ((), ()))
    return [
        lax.dot_general(A[:, i:j], B[:, i:], over_rows, precision=lax.Precision.HIGHEST)
        for i, j in itertools.pairwise(edges)
    ]


def _from_upper_panels(panels: list[Array]) -> Array:
    d = panels[0].shape[1]
    whole = jnp.concatenate([jnp.pad(U, [(0, 0), (d - U.shape[1], 0)]) for U in panels])
    return whole if len(panels) == 1 else jnp.triu(whole) + jnp.triu(whole, 1).T


def _sum(
    sums: Callable[[Models, Rows], Any],
    models: Models,
    rows: Rows,
    index: Array | None,
    part: Part | None,
    mesh: Mesh | None,
) -> Any:
    numbers = rows.X.shape[1] + 2 * len(models.w)  # of a row: x, and z and dz of all models
    row_bytes = numbers * models.w.dtype.itemsize
    return sum_over_rows(sums, models, rows, mesh=mesh, row_bytes=row_bytes, index=index, part=part)


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
    return _sum(_gradient_sums, models, rows, index, part, mesh)


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
    return _sum(_side_sums, models, rows, None, part, mesh)


@partial(jax.jit, static_argnames=("of", "mesh"))
def curvature_sums(
    models: Models,
    rows: Rows,
    index: Array | None,
    center: Array,
    scale: Array,
    part: Part | None = None,
    *,
    of: Moment = "loss",
    mesh: Mesh | None = None,
) -> Curvature:
    """Sum the curvature of K models, for features ``(x - center) / scale``.

    The models take their turns in each block of rows, which is read and rescaled once for all.
    With ``of="slope"``, dz^2 stands in the place of d2z: the second moment of the gradients.
    """
    total = sum_over_rows(
        partial(_curvature_sums, of),
        (models, center, scale),
        rows,
        mesh=mesh,
        row_bytes=_CURVATURE_ROW_BYTES,
        index=index,
        part=part,
    )
    return total.as_matrices()


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
    """`gradient_sums` and `curvature_sums` in one: less to do where X is small."""
    total, bend = sum_over_rows(
        _both_sums, (models, center, scale), rows, mesh=mesh, row_bytes=_CURVATURE_ROW_BYTES
    )
    return total, bend.as_matrices()


def _both_sums(
    models_and_scale: tuple[Models, Array, Array], rows: Rows
) -> tuple[GradientSums, CurvatureSums]:
    models, center, scale = models_and_scale
    terms = _terms(models, rows)
    return _gradient_of(terms, rows), _curvature_of(terms, rows, center, scale)


@jax.jit
def gradient_sums_apart(models: Models, rows: Rows, part: Part | None = None) -> GradientSums:
    """`gradient_sums` where each of K models has rows of its own: X (K, m, d), y (K, m)."""
    return _apart(_gradient_sums, models, rows, part)


@jax.jit
def side_sums_apart(models: Models, rows: Rows, part: Part | None = None) -> tuple[Array, Array]:
    """`side_sums` where each of K models has rows of its own."""
    return _apart(_side_sums, models, rows, part)


@partial(jax.jit, static_argnames="of")
def curvature_sums_apart(
    models: Models,
    rows: Rows,
    center: Array,
    scale: Array,
    part: Part | None = None,
    *,
    of: Moment = "loss",
) -> Curvature:
    """`curvature_sums` where each of K models has rows of its own; center and scale are (K, d)."""

    def sums(model_and_scale: tuple[Models, Array, Array], rows: Rows) -> Curvature:
        models, center, scale = model_and_scale
        return _curvature_sums(of, (models, center[0], scale[0]), rows).as_matrices()

    return _apart(sums, (models, center, scale), rows, part)


def _apart(sums: Callable[[Any, Rows], Any], models: Any, rows: Rows, part: Part | None) -> Any:
    def of_one(model: Any, rows: Rows) -> Any:
        total = sums(jax.tree.map(lambda v: v[None], model), rows)
        return jax.tree.map(lambda v: v[0], total)

    return map_models(of_one, models, rows, part=part)
