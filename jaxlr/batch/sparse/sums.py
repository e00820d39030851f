"""K models over the rows of a sparse X: what `jaxlr.batch.models` sums, in two products a read.

``z = X w + b + o`` for all rows at once, the loss and its derivatives at z by `core`, and
``dw = X' (s dz)``. X is never centred: its sums are, by whoever asked for them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxlr import core
from jaxlr.batch.models import GradientSums, Models, Moment, Rows, View
from jaxlr.batch.models.gradients import sides_at
from jaxlr.batch.models.rows import label_of, terms_at, weight_of
from jaxlr.batch.sparse.layout import SparseX
from jaxlr.batch.sparse.products import product, products
from jaxlr.core import Params, binary

_BLOCK = 1024  # rows


class CurvatureSums(NamedTuple):
    """Sums for each of K models: s, and s d2z times 1 (K,), x (K, d) and x x' (K, d, d)."""

    s: Array
    bb: Array
    wb: Array
    ww: Array


@jax.jit
def sparse_gradient_sums(models: Models, rows: Rows) -> GradientSums:
    """Sum loss and gradient of K models over all rows, as `batch.gradient_sums` does."""
    *scalars, dz, _ = _over_rows(terms_at, models, rows)
    s, L, ones, zeros, undecided = map(total, scalars)
    return GradientSums(s, L, ones, zeros, undecided, times_x(_sparse(rows), dz), total(dz))


@jax.jit
def sparse_diagonal_sums(models: Models, rows: Rows) -> tuple[Array, Array, Array, Array]:
    """Sum s, and s d2z times 1, x and x^2, for K models; of C classes, the diagonal of d2z."""

    def of_row(view: View, row: Rows, z: Array) -> tuple[Array, Array]:
        _, cache = core.loss_at(z, label_of(row, view))
        s = weight_of(row, view, z.dtype)
        return s, s * binary.curvature(cache.p, cache.q)

    X, (s, bend) = _sparse(rows), _over_rows(of_row, models, rows)
    return total(s), total(bend), times_x(X, bend), times_x(X, bend, squared=True)


@partial(jax.jit, static_argnames="of")
def sparse_curvature_sums(models: Models, rows: Rows, *, of: Moment = "loss") -> CurvatureSums:
    """Sum the curvature of K models, a column of each matrix at a time: as many reads as columns.

    With ``of="slope"``, dz^2 stands in the place of d2z.
    """
    X, terms = _sparse(rows), _over_rows(partial(terms_at, of=of), models, rows)

    def column(j: Array) -> Array:
        x = product(X.rows, jnp.zeros(X.shape[1], terms.bend.dtype).at[j].set(1))
        return times_x(X, terms.bend * x[None])

    ww = jnp.moveaxis(lax.map(column, jnp.arange(X.shape[1])), 0, 1)
    return CurvatureSums(total(terms.s), total(terms.bend), times_x(X, terms.bend), ww)


@jax.jit
def sparse_side_sums(models: Models, rows: Rows) -> tuple[Array, Array]:
    """Sum the rows that each model takes to their labels' side and away: `batch.side_sums`."""
    toward, away = _over_rows(sides_at, models, rows._replace(offset=None))
    return total(toward), total(away)


@jax.jit
def sparse_moment_sums(rows: Rows, s: Array) -> tuple[Array, Array, Array]:
    """Sum the weights s (n,), and s x and s x^2 (d,), in the type of s."""
    columns = _sparse(rows).columns
    return total(s[None])[0], product(columns, s), product(columns, s, squared=True)


def sparse_sums(params: Params, X: SparseX, y: Array, s: Array | None) -> tuple[Any, Any, Params]:
    """Sum the weights, losses and gradients of all rows, in the type of the parameters."""
    w, b = params
    found = sparse_gradient_sums(Models(w[None], b[None]), _rows(X, y, s))
    s, L, dw, db = (v[0].astype(w.dtype) for v in (found.s, found.L, found.dw, found.db))
    return s, L, Params(dw, db)


@jax.jit
def sparse_probabilities(params: Params, X: SparseX) -> Array:
    """Probabilities of label 1 (n,), or of each class (n, C), in the type of w."""
    wide = jnp.float64 if params.w.dtype == np.float64 else jnp.float32
    w, b = (v.astype(wide) for v in params)
    _, cache = jax.vmap(core.loss_at, (0, None))(predictors(w[None], b[None], X)[0], 0)
    return (cache.p / (cache.p + cache.q)).astype(params.w.dtype)


def predictors(w: Array, b: Array, X: SparseX) -> Array:
    """Linear predictors z (K, n) of all rows for w (K, d), or (K, n, C) for w (K, C, d)."""
    z = products(X.rows, w.reshape(b.size, w.shape[-1]))
    z = z.reshape(*b.shape, len(X)) + b[..., None]
    return jnp.moveaxis(z, -1, 1)


def times_x(X: SparseX, v: Array, *, squared: bool = False) -> Array:
    """Sum x_i v_i over rows: (K, d) for v (K, n), or (K, C, d) for (K, n, C)."""
    v = jnp.moveaxis(v, 1, -1)
    found = products(X.columns, v.reshape(-1, v.shape[-1]), squared=squared)
    return found.reshape(*v.shape[:-1], found.shape[-1])


def total(v: Array) -> Array:
    """Sum over the rows of v (K, n, ...), by blocks, and in float64 where JAX has it."""
    v = v.astype(jax.dtypes.canonicalize_dtype(np.float64))
    v = jnp.pad(v, [(0, 0), (0, -v.shape[1] % _BLOCK)] + [(0, 0)] * (v.ndim - 2))
    return v.reshape(len(v), -1, _BLOCK, *v.shape[2:]).sum(2).sum(1)


def _over_rows(f: Callable[[View, Rows, Array], Any], models: Models, rows: Rows) -> Any:
    """``f`` of each row in each model, at its linear predictor."""
    z = predictors(models.w, models.b, _sparse(rows))
    if rows.offset is not None:
        offset = rows.offset.astype(z.dtype)
        z = z + offset.reshape(1, -1, *[1] * (z.ndim - 2))
    others = rows._replace(X=None, offset=None)
    return jax.vmap(jax.vmap(f, (None, 0, 0)), (0, None, 0))(models.view, others, z)


def _rows(X: Any, y: Array, s: Array | None) -> Rows:
    return Rows(X, y, s)


def _sparse(rows: Rows) -> SparseX:
    X: Any = rows.X
    return X
