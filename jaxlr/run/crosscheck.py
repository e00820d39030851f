"""The hand-written derivatives on the rows at hand, before the judge."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxlr import batch, core
from jaxlr.check import NodeCheck, Report, check_nodes, check_point, logistic
from jaxlr.core import Params
from jaxlr.data import Dataset


def odd_point(rows: Dataset, rng: np.random.Generator) -> tuple[Params, Array, Array]:
    """Return parameters at which nothing is zero, and X and y of the rows on the device."""
    d, dtype = rows.X.shape[1], rows.y.dtype
    w = rng.standard_normal(d) / np.sqrt(d)
    params = Params(jnp.asarray(w, dtype), jnp.asarray(0.5, dtype))
    return params, jax.device_put(rows.X.astype(dtype)), jax.device_put(rows.y)


def check_nodes_at(params: Params, X: Array, y: Array) -> list[NodeCheck]:
    """Judge the scalar nodes of `jaxlr.trace` and the curvature, on rows X (n, d), y (n,).

    ``params``, in float32 or float64, gives the type; `check_nodes` says how it judges.
    """
    return check_nodes(_nodes_by_hand(params, X, y), params, X, y)


@jax.jit
def _nodes_by_hand(params: Params, X: Array, y: Array) -> dict[str, Array]:
    def of_row(x: Array, y: Array) -> dict[str, Array]:
        nodes = core.trace(params, x, y)
        d2z = core.curvature(core.forward(params, x, y)[1])
        return {name: getattr(nodes, name) for name in ("z", "a", "L", "da", "dz")} | {"d2z": d2z}

    return jax.vmap(of_row)(X, y)


def check_gradient_at(
    params: Params, X: Array, y: Array, *, sample_weight: ArrayLike | None = None, l2: float = 0.0
) -> Report:
    """Judge `jaxlr.loss_and_grads` on rows X (n, d), y (n,), weights (n,), at ``params``.

    Raises
    ------
    ValueError
        If the rows are not what `jaxlr.loss_and_grads` takes.
    """

    def grads(params: Params, X: Array, y: Array, s: Array | None, l2: float) -> Params:
        return batch.loss_and_grads(params, X, y, s, l2)[1]

    s = None if sample_weight is None else jnp.asarray(sample_weight)
    return check_point(logistic.loss, grads, params, X, y, s, l2)
