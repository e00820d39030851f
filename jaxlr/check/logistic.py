"""Logistic regression once more, in JAX's own words: what autodiff is given to differentiate.

``logaddexp`` carries its own derivative, right everywhere, z = 0 included; the loss is the stable
one, for autodiff of the textbook's gives NaN where a rounds to 0 or 1. Only ``da`` needs the
textbook, where a is the variable, and takes the two logarithms one by one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


def loss(
    params: Any,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    l2: ArrayLike = 0.0,
) -> Array:
    """Mean loss over the rows of X plus penalty, to be differentiated by autodiff.

    ``params`` is any pair (w, b). Everything is taken in the type of w.
    """
    w, b = params
    X, y = jnp.asarray(X, w.dtype), jnp.asarray(y, w.dtype)
    L = loss_of_z(jnp.dot(X, w, precision=jax.lax.Precision.HIGHEST) + b, y)
    s = jnp.ones_like(y) if sample_weight is None else jnp.asarray(sample_weight, w.dtype)
    return jnp.sum(s * L) / jnp.sum(s) + jnp.asarray(l2, w.dtype) / 2 * jnp.sum(w * w)


def loss_of_z(z: Array, y: Array) -> Array:
    """Stable loss, ``(1 - y) log(1 + e^z) + y log(1 + e^-z)``."""
    zero = jnp.zeros_like(z)
    return (1 - y) * jnp.logaddexp(zero, z) + y * jnp.logaddexp(zero, -z)


def nodes_at(z: ArrayLike, y: ArrayLike) -> dict[str, np.ndarray]:
    """Nodes a, L, da, dz and d2z at given z, by autodiff in float64; z and y of shape (m,).

    Right to about 8 + ``|z|`` units in the last place: exp turns a rounding of z into ``|z|`` of
    its result. For z > 0, ``da`` and ``d2z`` are taken at the mirror image (-z, 1 - y), where
    autodiff need not subtract a rounded a from 1.
    """
    with jax.enable_x64(True):
        z, y = (jnp.asarray(np.asarray(v, np.float64)) for v in (z, y))
        return {name: np.asarray(node) for name, node in _nodes_at(z, y).items()}


@jax.jit
@jax.vmap
def _nodes_at(z: Array, y: Array) -> dict[str, Array]:
    near, label = jnp.where(z > 0, -z, z), jnp.where(z > 0, 1 - y, y)
    da = _slope_of_a(near, label)
    return {
        "a": jax.nn.sigmoid(z),
        "L": loss_of_z(z, y),
        "da": jnp.where(z > 0, -da, da),
        "dz": jax.grad(loss_of_z)(z, y),
        "d2z": jax.grad(jax.nn.sigmoid)(near),
    }


def _slope_of_a(z: Array, y: Array) -> Array:
    """dL/da of the textbook's ``-y log a - (1 - y) log(1 - a)``, at a = sigma(z) with z <= 0."""
    a = jax.nn.sigmoid(z)
    log_a = jnp.where(a > 0, jax.grad(jnp.log)(a), jnp.exp(-z))  # 1 / a, where a is flushed to 0
    log_1_a = jax.grad(jnp.log1p)(-a)
    return (1 - y) * log_1_a - jnp.where(y > 0, y * log_a, 0)


def nodes(params: Any, x: ArrayLike, y: ArrayLike) -> dict[str, np.ndarray]:
    """Every node of the graph of one example, by autodiff in float64: x (d,), y ()."""
    w, b, x = (np.asarray(v, np.float64) for v in (*params, x))
    with jax.enable_x64(True):

        def L(w: Array, b: Array) -> Array:
            return loss_of_z(jnp.dot(w, jnp.asarray(x)) + b, jnp.asarray(y, np.float64))

        dw, db = jax.grad(L, argnums=(0, 1))(jnp.asarray(w), jnp.asarray(b))
        z = w @ x + b
        at_z = {name: node[0] for name, node in nodes_at(z[None], np.asarray(y)[None]).items()}
        return {"z": z, **at_z, "dw": np.asarray(dw), "db": np.asarray(db)}
