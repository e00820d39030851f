"""What `jaxlr.batch.optimality` sums, for one model and from the predictors z (n,) of all rows."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from jaxlr.batch.models import GradientSums, Rows, View
from jaxlr.batch.models.rows import terms_at
from jaxlr.batch.optimality import Optimality, dual_at
from jaxlr.batch.sparse.products import product
from jaxlr.batch.sparse.sums import total

sparse_product = jax.jit(product)


@jax.jit
def optimality_at(z: Array, rows: Rows) -> tuple[Optimality, Array, Array]:
    """Sum all but dw, which has no column here; s dz (n,) and s d2z (n,) of each row."""
    z = z if rows.offset is None else z + rows.offset.astype(z.dtype)
    others = rows._replace(offset=None)
    terms = jax.vmap(terms_at, (None, 0, 0))(View(), others, z)
    *scalars, dz, bend = terms
    s, L, ones, zeros, undecided = (total(v[None]) for v in scalars)
    none = jnp.zeros((1, 0), z.dtype)
    sums = GradientSums(s, L, ones, zeros, undecided, none, total(dz[None]))
    up, down = (total(jnp.maximum(v, 0)[None]) for v in (dz, -dz))
    return Optimality(sums, up, down), dz, bend


@jax.jit
def dual_sums_at(z: Array, rows: Rows, shrink: Array, shares: Array) -> tuple[Array, Array]:
    """`batch.dual_sums` of one model: (m,), and the sum of the weights ()."""
    of_row = partial(dual_at, shares, (shrink[0], shrink[1]), View())
    found, s = jax.vmap(of_row)(rows, z)
    return total(found[None])[0], total(s[None])[0]
