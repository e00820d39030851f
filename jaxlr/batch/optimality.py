"""What conditions of optimality and duality gaps need of the rows, one model at a time or more.

Every slope ``dz_i`` of the losses gives a lower bound of the objective, its Fenchel dual::

    D = sum_i s_i (t_i o_i - L*(t_i, y_i)) / sum_i s_i      at t_i = dz_i, or less of it

where L* is `core.conjugate`. With an intercept it is one only where ``sum_i s_i t_i`` is 0:
positive and negative slopes are then shrunk until they weigh the same.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxlr import core
from jaxlr.batch.blocks import Part, sum_over_rows
from jaxlr.batch.models.curvature import Curvature, curvature_of, curvature_row_bytes
from jaxlr.batch.models.gradients import GradientSums, gradient_of, sum_models
from jaxlr.batch.models.rows import Models, Rows, Terms, label_of, terms_of, weight_of


class Optimality(NamedTuple):
    """`GradientSums` of K models; beside them their positive slopes ``s dz``, and negative (K,)."""

    total: GradientSums
    up: Array
    down: Array


def _optimality_of(terms: Terms, rows: Rows) -> Optimality:
    up, down = jnp.maximum(terms.dz, 0).sum(1), jnp.maximum(-terms.dz, 0).sum(1)
    return Optimality(gradient_of(terms, rows), up, down)


@partial(jax.jit, static_argnames="mesh")
def optimality_sums(
    models: Models, rows: Rows, part: Part | None = None, *, mesh: Mesh | None = None
) -> Optimality:
    """`gradient_sums`, and how much of the slopes is positive."""

    def sums(models: Models, rows: Rows) -> Optimality:
        return _optimality_of(terms_of(models, rows), rows)

    return sum_models(sums, models, rows, None, part, mesh)


@partial(jax.jit, static_argnames="mesh")
def optimality_and_curvature(
    models: Models,
    rows: Rows,
    center: Array,
    scale: Array,
    part: Part | None = None,
    *,
    mesh: Mesh | None = None,
) -> tuple[Optimality, Curvature]:
    """`optimality_sums` and `curvature_sums` in one: less to do where X is small."""

    def sums(given: tuple[Models, Array, Array], rows: Rows) -> Any:
        terms = terms_of(given[0], rows)
        return _optimality_of(terms, rows), curvature_of(terms, rows, *given[1:])

    row_bytes = curvature_row_bytes(models, center)
    total, bend = sum_over_rows(
        sums, (models, center, scale), rows, mesh=mesh, row_bytes=row_bytes, part=part
    )
    return total, bend.as_matrices()


@partial(jax.jit, static_argnames="mesh")
def dual_sums(
    models: Models,
    rows: Rows,
    shrink: tuple[Array, Array],
    shares: Array,
    part: Part | None = None,
    *,
    mesh: Mesh | None = None,
) -> tuple[Array, Array]:
    """Sum ``s (t o - L*(t, y))`` at shares (m,) of the slopes of K models: (K, m); and s (K,).

    Positive slopes are first multiplied by ``shrink[0]`` (K,), negative ones by ``shrink[1]``.
    """

    def of_row(model: Models, shrink: tuple[Array, Array], row: Rows) -> tuple[Array, Array]:
        z = core.linear(core.Params(model.w, model.b), row.X)
        o = jnp.zeros_like(z) if row.offset is None else row.offset.astype(z.dtype)
        _, cache = core.loss_at(z + o, label_of(row, model.view))
        dz = core.slope(cache)
        t = shares * (dz * jnp.where(dz > 0, *shrink))
        conjugates = jax.vmap(core.conjugate, (0, None))(t, cache.y)
        s = weight_of(row, model.view, z.dtype)
        return s * (t * o - conjugates), s

    def sums(given: tuple[Models, tuple[Array, Array]], rows: Rows) -> tuple[Array, Array]:
        each = jax.vmap(jax.vmap(of_row, (None, None, 0)), (0, 0, None))(*given, rows)
        return jax.tree.map(lambda v: v.sum(1), each)

    row_bytes = (rows.X.shape[1] + 4 * len(shares)) * models.w.dtype.itemsize
    return sum_over_rows(sums, (models, shrink), rows, mesh=mesh, row_bytes=row_bytes, part=part)


@jax.jit
def take_columns(X: Array, columns: Array) -> Array:
    """Columns of X, next to each other: X[:, columns]; 0 where ``columns`` is beyond the last."""
    return jnp.take(X, columns, axis=1, mode="fill", fill_value=0)
