"""Curvature of K models over shared rows, for features that are rescaled as they are read."""

import itertools
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh

from jaxlr.batch.blocks import Part, sum_over_rows
from jaxlr.batch.models.gradients import GradientSums, apart, gradient_of
from jaxlr.batch.models.rows import Models, Moment, Rows, Terms, terms_of

_CURVATURE_ROW_BYTES = 512  # blocks of so many rows as products of matrices like
_OVER_ROWS = (((0,), (0,)), ((), ()))
_WIDE = 256  # columns from which on half a symmetric product is faster than all of it


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
    """Sums over rows for each model: weights ``s`` (K,), curvature ``H`` (K, d + 1, d + 1).

    With C classes H is (K, C (d + 1), C (d + 1)), class by class, the intercept last in each.
    """

    s: Array
    H: Array

    def as_matrices(self) -> "Curvature":
        """Curvatures as matrices, which these are."""
        return self


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
        row_bytes=curvature_row_bytes(models, center),
        index=index,
        part=part,
    )
    return total.as_matrices()


@partial(jax.jit, static_argnames="mesh")
def gradient_and_curvature(
    models: Models, rows: Rows, center: Array, scale: Array, *, mesh: Mesh | None = None
) -> tuple[GradientSums, Curvature]:
    """`gradient_sums` and `curvature_sums` in one: less to do where X is small."""
    total, bend = sum_over_rows(
        _both_sums,
        (models, center, scale),
        rows,
        mesh=mesh,
        row_bytes=curvature_row_bytes(models, center),
    )
    return total, bend.as_matrices()


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

    return apart(sums, (models, center, scale), rows, part)


def curvature_row_bytes(models: Models, center: Array) -> int:
    """Bytes that a row takes: with C classes, C x C numbers, and C times its features."""
    if models.b.ndim == 1:
        return _CURVATURE_ROW_BYTES
    C = models.b.shape[1]
    return max(_CURVATURE_ROW_BYTES, C * (C + len(center)) * center.dtype.itemsize // 8)


def _both_sums(
    models_and_scale: tuple[Models, Array, Array], rows: Rows
) -> tuple[GradientSums, CurvatureSums | Curvature]:
    models, center, scale = models_and_scale
    terms = terms_of(models, rows)
    return gradient_of(terms, rows), curvature_of(terms, rows, center, scale)


def _curvature_sums(
    of: Moment, models_and_scale: tuple[Models, Array, Array], rows: Rows
) -> CurvatureSums | Curvature:
    models, center, scale = models_and_scale
    return curvature_of(terms_of(models, rows, of), rows, center, scale)


def curvature_of(
    terms: Terms, rows: Rows, center: Array, scale: Array
) -> CurvatureSums | Curvature:
    """Sum the curvature of the rows of a block."""
    assert terms.bend is not None
    x = jax.vmap(lambda x: (x.astype(scale.dtype) - center) / scale)(rows.X)
    if terms.bend.ndim > 2:
        return Curvature(terms.s.sum(1), lax.map(partial(_of_classes, x), terms.bend))

    def of_model(bend: Array) -> tuple[list[Array], Array]:
        scaled = x * bend[:, None]
        return _upper_panels(scaled, x), scaled.sum(0)

    ww, wb = lax.map(of_model, terms.bend)
    return CurvatureSums(terms.s.sum(1), ww, wb, terms.bend.sum(1))


def _of_classes(x: Array, bend: Array) -> Array:
    """Curvature of C classes from ``bend`` (m, C, C), a row of blocks at a time."""
    m, C = bend.shape[:2]
    x = jnp.concatenate([x, jnp.ones((m, 1), x.dtype)], axis=1)

    def of_class(bend: Array) -> Array:
        scaled = (bend[:, :, None] * x[:, None, :]).reshape(m, -1)
        return lax.dot_general(x, scaled, _OVER_ROWS, precision=lax.Precision.HIGHEST)

    return lax.map(of_class, jnp.moveaxis(bend, 1, 0)).reshape(C * x.shape[1], -1)


def _upper_panels(A: Array, B: Array) -> list[Array]:
    """Multiply ``A' B`` (d, d), a symmetric product: panels of rows, from the diagonal on."""
    d = A.shape[1]
    panels = 4 if d >= _WIDE else 1
    edges = [d * i // panels for i in range(panels + 1)]
    return [
        lax.dot_general(A[:, i:j], B[:, i:], _OVER_ROWS, precision=lax.Precision.HIGHEST)
        for i, j in itertools.pairwise(edges)
    ]


def _from_upper_panels(panels: list[Array]) -> Array:
    d = panels[0].shape[1]
    whole = jnp.concatenate([jnp.pad(U, [(0, 0), (d - U.shape[1], 0)]) for U in panels])
    return whole if len(panels) == 1 else jnp.triu(whole) + jnp.triu(whole, 1).T
