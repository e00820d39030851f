"""K models over the rows of a sparse X: what `jaxlr.batch.models` sums, in two products a read.

``z = X w + b + o`` for all rows of a block at once, the loss and its derivatives at z by `core`,
and ``dw = X' (s dz)``. X is never centred: its sums are, by whoever asked for them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import DTypeLike

from jaxlr import core
from jaxlr.batch.blocks import rows_of_block
from jaxlr.batch.models import Curvature, GradientSums, Models, Moment, Rows, View, curvature_sums
from jaxlr.batch.models.curvature import CurvatureSums
from jaxlr.batch.models.gradients import sides_at
from jaxlr.batch.models.rows import label_of, terms_at, weight_of
from jaxlr.batch.sparse.layout import Block, SparseX
from jaxlr.batch.sparse.products import product, products
from jaxlr.core import Params

_BLOCK = 1024  # rows


@jax.jit
def sparse_gradient_sums(models: Models, rows: Rows) -> GradientSums:
    """Sum loss and gradient of K models over all rows, as `batch.gradient_sums` does."""

    def sums(X: Block, rows: Rows) -> GradientSums:
        *scalars, dz, _ = _over_rows(terms_at, models, X, rows)
        s, L, ones, zeros, undecided = map(total, scalars)
        return GradientSums(s, L, ones, zeros, undecided, times_x(X, dz), total(dz))

    return sum_over_blocks(sums, rows)


@jax.jit
def sparse_diagonal_sums(models: Models, rows: Rows) -> tuple[Array, Array, Array, Array]:
    """Sum s, and s d2z times 1, x and x^2, for K models; of C classes, the diagonal of d2z."""

    def of_row(view: View, row: Rows, z: Array) -> tuple[Array, Array]:
        _, cache = core.loss_at(z, label_of(row, view))
        s = weight_of(row, view, z.dtype)
        return s, s * core.curvature_diagonal(cache)

    def sums(X: Block, rows: Rows) -> tuple[Array, Array, Array, Array]:
        s, bend = _over_rows(of_row, models, X, rows)
        return total(s), total(bend), times_x(X, bend), times_x(X, bend, squared=True)

    return sum_over_blocks(sums, rows)


@partial(jax.jit, static_argnames="of")
def sparse_curvature_sums(models: Models, rows: Rows, *, of: Moment = "loss") -> CurvatureSums:
    """Sum the curvature of K models, a column of each matrix at a time: as many reads as columns.

    With ``of="slope"``, dz^2 stands in the place of d2z.
    """
    d = models.w.shape[-1]

    def sums(X: Block, rows: Rows) -> CurvatureSums:
        terms = _over_rows(partial(terms_at, of=of), models, X, rows)

        def column(j: Array) -> Array:
            return times_x(X, terms.bend * _column(X, j, d, terms.bend.dtype)[None])

        ww = jnp.moveaxis(lax.map(column, jnp.arange(d)), 0, 1)
        wb = times_x(X, terms.bend)
        return CurvatureSums(total(terms.s), [ww], wb, total(terms.bend))

    return sum_over_blocks(sums, rows)


@partial(jax.jit, static_argnames="of")
def sparse_class_curvature(
    models: Models, rows: Rows, center: Array, scale: Array, *, of: Moment = "loss"
) -> Curvature:
    """Sum the curvature of K models of C classes, for features ``(x - center) / scale``.

    Blocks are made dense, one after the other: the matrix costs more than that.
    """

    def sums(X: Block, rows: Rows) -> Curvature:
        d, dtype = models.w.shape[-1], models.w.dtype
        dense = lax.map(lambda j: _column(X, j, d, dtype), jnp.arange(d)).T
        return curvature_sums(models, rows._replace(X=dense), None, center, scale, of=of)

    return sum_over_blocks(sums, rows)


@jax.jit
def sparse_side_sums(models: Models, rows: Rows) -> tuple[Array, Array]:
    """Sum the rows that each model takes to their labels' side and away: `batch.side_sums`."""

    def sums(X: Block, rows: Rows) -> tuple[Array, Array]:
        toward, away = _over_rows(sides_at, models, X, rows._replace(offset=None))
        return total(toward), total(away)

    return sum_over_blocks(sums, rows)


@jax.jit
def sparse_moment_sums(rows: Rows, s: Array) -> tuple[Array, Array, Array]:
    """Sum the weights s (n,), and s x and s x^2 (d,), in the type of s."""

    def sums(X: Block, rows: Rows) -> tuple[Array, Array, Array]:
        s: Any = rows.s
        return total(s[None])[0], product(X.columns, s), product(X.columns, s, squared=True)

    return sum_over_blocks(sums, Rows(rows.X, rows.y, s))


def sparse_sums(params: Params, X: SparseX, y: Array, s: Array | None) -> tuple[Any, Any, Params]:
    """Sum the weights, losses and gradients of all rows, in the type of the parameters."""
    w, b = params
    rows: Any = Rows(X, y, s)  # pyright: ignore[reportArgumentType]
    found = sparse_gradient_sums(Models(w[None], b[None]), rows)
    s, L, dw, db = (v[0].astype(w.dtype) for v in (found.s, found.L, found.dw, found.db))
    return s, L, Params(dw, db)


@jax.jit
def sparse_probabilities(params: Params, X: SparseX) -> Array:
    """Probabilities of label 1 (n,), or of each class (n, C), in the type of w."""
    wide = jnp.float64 if params.w.dtype == np.float64 else jnp.float32
    w, b = (v.astype(wide) for v in params)
    m = X.block_rows

    def of_block(i: Any) -> Array:
        z = predictors(w[None], b[None], X.block(i))[0]
        _, cache = jax.vmap(core.loss_at, (0, None))(z, 0)
        return (cache.p / (cache.p + cache.q)).astype(params.w.dtype)

    def add_block(i: Array, found: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(found, of_block(i), jnp.minimum(i * m, X.n - m), 0)

    if X.blocks == 1:
        return of_block(0)
    nothing = jnp.zeros((X.n, *b.shape), params.w.dtype)
    return lax.fori_loop(jnp.int32(0), jnp.int32(X.blocks), add_block, nothing)


def sum_over_blocks(sums: Callable[[Block, Rows], Any], rows: Rows) -> Any:
    """Sum ``sums(block of X, its rows)``, which come without X, over the blocks of a sparse X.

    In float64 where JAX has it; else blocks are too few to lose much.
    """
    X: Any = rows.X
    others: Any = rows._replace(X=None)  # pyright: ignore[reportArgumentType]
    if X.blocks == 1:
        return sums(X.block(0), others)

    wide = jax.dtypes.canonicalize_dtype(np.float64)

    def of_block(i: Array) -> Any:
        found = sums(X.block(i), rows_of_block(others, i, X.block_rows, X.n))
        return jax.tree.map(lambda v: v.astype(wide), found)

    def add_block(i: Array, total: Any) -> Any:
        return jax.tree.map(jnp.add, total, of_block(i))

    first = jnp.int32(0)
    nothing = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), jax.eval_shape(of_block, first))
    return lax.fori_loop(first, jnp.int32(X.blocks), add_block, nothing)


def predictors(w: Array, b: Array, X: Block) -> Array:
    """Linear predictors z (K, m) of all rows for w (K, d), or (K, m, C) for w (K, C, d)."""
    z = products(X.rows, w.reshape(b.size, w.shape[-1]))
    z = z.reshape(*b.shape, z.shape[-1]) + b[..., None]
    return jnp.moveaxis(z, -1, 1)


def times_x(X: Block, v: Array, *, squared: bool = False) -> Array:
    """Sum x_i v_i over rows: (K, d) for v (K, m), or (K, C, d) for (K, m, C)."""
    v = jnp.moveaxis(v, 1, -1)
    found = products(X.columns, v.reshape(-1, v.shape[-1]), squared=squared)
    return found.reshape(*v.shape[:-1], found.shape[-1])


def total(v: Array) -> Array:
    """Sum over the rows of v (K, m, ...), by blocks, and in float64 where JAX has it."""
    v = v.astype(jax.dtypes.canonicalize_dtype(np.float64))
    v = jnp.pad(v, [(0, 0), (0, -v.shape[1] % _BLOCK)] + [(0, 0)] * (v.ndim - 2))
    return v.reshape(len(v), -1, _BLOCK, *v.shape[2:]).sum(2).sum(1)


def _column(X: Block, j: Array, d: int, dtype: DTypeLike) -> Array:
    """Column j of d, (m,)."""
    return product(X.rows, (jnp.arange(d) == j).astype(dtype))


def _over_rows(f: Callable[[View, Rows, Array], Any], models: Models, X: Block, rows: Rows) -> Any:
    """``f`` of each row in each model, at its linear predictor."""
    z = predictors(models.w, models.b, X)
    if rows.offset is not None:
        offset = rows.offset.astype(z.dtype)
        z = z + offset.reshape(1, -1, *[1] * (z.ndim - 2))
    others = rows._replace(offset=None)
    return jax.vmap(jax.vmap(f, (None, 0, 0)), (0, None, 0))(models.view, others, z)
