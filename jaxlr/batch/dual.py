"""Lower bounds of an objective by its Fenchel dual, and columns of X next to each other.

Slopes ``t_i`` of the losses, with ``y_i + t_i`` a probability, give such a bound::

    D = sum_i s_i (t_i o_i - L*(t_i, y_i)) / sum_i s_i

where L* is `core.conjugate`. With an intercept it is one only where ``sum_i s_i t_i`` is 0. Slopes
``dz_i`` of which that is nearly true are mixed with those of a model of the intercept alone.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxlr import core
from jaxlr.batch.blocks import Part, sum_over_rows
from jaxlr.batch.models import Models, Rows
from jaxlr.batch.models.rows import label_of, weight_of
from jaxlr.batch.sparse.layout import Block, SparseX
from jaxlr.batch.sparse.sums import predictors, sum_over_blocks


@partial(jax.jit, static_argnames="mesh")
def dual_sums(
    models: Models,
    rows: Rows,
    a: Array,
    mix: Array,
    shares: Array,
    part: Part | None = None,
    *,
    mesh: Mesh | None = None,
) -> tuple[Array, Array]:
    """Sum ``s (t o - L*(t, y))`` of K models at shares (m,) of mixed slopes: (K, m); and s (K,).

    The slopes are ``(1 - mix) dz + mix (a - y)``, with probabilities a (K,), or (K, C) of classes.
    """

    def of_row(model: Models, a: Array, row: Rows, z: Array) -> tuple[Array, Array]:
        o = jnp.zeros((), z.dtype) if row.offset is None else row.offset.astype(z.dtype)
        _, cache = core.loss_at(z + o, label_of(row, model.view))
        t = (1 - mix) * core.slope(cache) + mix * (a - cache.y)

        def value(share: Array) -> Array:
            return (share * t * o).sum() - core.conjugate(share * t, cache.y)

        s = weight_of(row, model.view, z.dtype)
        return s * jax.vmap(value)(shares), s

    def sums_at(models: Models, a: Array, rows: Rows, z: Array) -> tuple[Array, Array]:
        over_rows = jax.vmap(of_row, (None, None, 0, 0))
        each = jax.vmap(over_rows, (0, 0, None, 0))(models, a, rows, z)
        return jax.tree.map(lambda v: v.sum(1), each)

    def sums(given: tuple[Models, Array], rows: Rows) -> tuple[Array, Array]:
        z = _predictors(given[0], rows.X)
        return sums_at(*given, rows._replace(X=None), z)

    def sparse_sums(X: Block, rows: Rows) -> tuple[Array, Array]:
        return sums_at(models, a, rows, predictors(models.w, models.b, X))

    if isinstance(rows.X, SparseX):
        return sum_over_blocks(sparse_sums, rows)
    numbers = rows.X.shape[1] + models.b.size * (4 + len(shares))
    row_bytes = numbers * models.w.dtype.itemsize
    return sum_over_rows(sums, (models, a), rows, mesh=mesh, row_bytes=row_bytes, part=part)


def _predictors(models: Models, X: Array) -> Array:
    """Linear predictors (K, n), or (K, n, C), without the offset."""
    over_rows = jax.vmap(core.linear, (None, 0))
    return jax.vmap(over_rows, (0, None))(core.Params(models.w, models.b), X)
