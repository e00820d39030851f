"""Losses and gradients of K members, in one read of the rows that they share."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxlr import batch
from jaxlr.batch import GradientSums, Models, Rows
from jaxlr.batch.objective import widen
from jaxlr.core import Params
from jaxlr.train.many.orders import Turn
from jaxlr.train.rows import take


def objectives(
    params: Params,
    X: Array,
    y: Array,
    s: Array | None,
    l2: Array,
    turn: Turn | None = None,
    *,
    mesh: Mesh | None = None,
) -> tuple[Array, Params]:
    """`jaxlr.loss_and_grads` of K members, for rows already checked.

    Parameters
    ----------
    params : Params
        w (K, d) and b (K,).
    X, y, s : Array
        Shared rows; s may be None.
    l2 : Array, shape (K,)
    turn : Turn, optional
        Which of the rows; all without it.

    Returns
    -------
    J : Array, shape (K,)
    grads : Params
        dw (K, d) and db (K,).
    """
    wide = widen(params, X)
    total = _sums(wide, X, y, s, mesh) if turn is None else _sums_of_turn(wide, X, y, s, turn)
    dw = total.dw / total.s[:, None] + l2[:, None] * wide.w
    J = total.L / total.s + l2 / 2 * jnp.square(wide.w).sum(1)
    return J, Params(dw.astype(params.w.dtype), (total.db / total.s).astype(params.b.dtype))


@partial(jax.jit, static_argnames="mesh")
def mean_losses(params: Params, X: Array, y: Array, s: Array | None, *, mesh: Mesh | None) -> Array:
    """Mean loss of K members without penalty, (K,); nobody asks for the gradient, which goes."""
    total = _sums(widen(params, X), X, y, s, mesh)
    return total.L / total.s


def _sums(params: Params, X: Array, y: Array, s: Array | None, mesh: Mesh | None) -> GradientSums:
    s = None if s is None else s.astype(params.w.dtype)
    return batch.gradient_sums(Models(*params), Rows(X, y, s), mesh=mesh)


def _sums_of_turn(params: Params, X: Array, y: Array, s: Array | None, turn: Turn) -> GradientSums:
    def of_order(order: Array, lanes: Array) -> GradientSums:
        chosen: Params = jax.tree.map(lambda v: v[lanes], params)
        return _sums(chosen, *take(X, y, s, order, turn.turn), mesh=None)

    total = jax.vmap(of_order)(turn.orders, jnp.asarray(turn.place))
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[turn.back], total)
