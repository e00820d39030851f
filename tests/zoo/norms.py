"""Species that normalise a row: layer norm and RMS norm."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.ad_checkpoint import checkpoint_name as name

from zoo.species import Context, Species, like, normal, wide

_FEATURES = 4
_EPS = 1e-5


def _layer_twin(x: Array, g: Array, b: Array) -> Array:
    x, g, b = name(x, "x"), name(g, "g"), name(b, "b")
    centred = x - jnp.mean(x, axis=1, keepdims=True)
    xhat = name(centred / jnp.sqrt(_mean_square(centred) + _EPS), "xhat")
    return name(xhat * g[None] + b[None], "out")


def _layer_forward(x: Array, g: Array, b: Array) -> tuple[Array, Any]:
    v, gain, offset = wide((x, g, b))
    centred = v - jnp.mean(v, axis=1, keepdims=True)
    centred = centred - jnp.mean(centred, axis=1, keepdims=True)  # what the first mean rounded
    xhat, r = _normalise(centred)
    return (xhat * gain[None] + offset[None]).astype(x.dtype), (x, g, b, xhat, r)


def _layer_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array, Array, Array]:
    x, g, b, xhat, r = saved
    here = partial(Context, x.dtype, saved, cotangent)
    c = at("dout", wide(cotangent), here(rows=True))
    v, gain, offset = wide((x, g, b))
    to_g, to_b = c * xhat, c
    parts = here(summands=lambda: to_b, value=offset, sibling=lambda: jnp.sum(to_g, axis=0))
    db = at("db", jnp.sum(to_b, axis=0), parts)
    parts = here(summands=lambda: to_g, value=gain, sibling=lambda: jnp.sum(to_b, axis=0))
    dg = at("dg", jnp.sum(to_g, axis=0), parts)
    dxhat = at("dxhat", c * gain[None], here(value=xhat, rows=True))
    mean = jnp.mean(dxhat, axis=1, keepdims=True)
    along = xhat * jnp.mean(dxhat * xhat, axis=1, keepdims=True)
    terms = (r * dxhat, jnp.broadcast_to(-r * mean, x.shape), -r * along)
    dx = at("dx", r * (dxhat - mean - along), here(value=v, rows=True, terms=terms))
    return like((dx, dg, db), (x, g, b))


def _layer_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, ...]:
    x, g = normal(rng, dtype, n, _FEATURES), 1 + normal(rng, dtype, _FEATURES) / 4
    return x, g, normal(rng, dtype, _FEATURES)


def _rms_twin(x: Array, g: Array) -> Array:
    x, g = name(x, "x"), name(g, "g")
    xhat = name(x / jnp.sqrt(_mean_square(x) + _EPS), "xhat")
    return name(xhat * g[None], "out")


def _rms_forward(x: Array, g: Array) -> tuple[Array, Any]:
    xhat, r = _normalise(wide(x))
    return (xhat * wide(g)[None]).astype(x.dtype), (x, g, xhat, r)


def _rms_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array, Array]:
    x, g, xhat, r = saved
    here = partial(Context, x.dtype, saved, cotangent)
    c = at("dout", wide(cotangent), here(rows=True))
    v, gain = wide((x, g))
    to_g = c * xhat
    dg = at("dg", jnp.sum(to_g, axis=0), here(value=gain, summands=lambda: to_g))
    dxhat = at("dxhat", c * gain[None], here(value=xhat, rows=True))
    along = xhat * jnp.mean(dxhat * xhat, axis=1, keepdims=True)
    terms = (r * dxhat, -r * along)
    dx = at("dx", r * (dxhat - along), here(value=v, rows=True, terms=terms))
    return like((dx, dg), (x, g))


def _rms_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, Array]:
    return normal(rng, dtype, n, _FEATURES), 1 + normal(rng, dtype, _FEATURES) / 4


def _normalise(v: Array) -> tuple[Array, Array]:
    """Rows divided by their root mean square, and what they were multiplied with, (n, 1)."""
    largest = jnp.max(jnp.abs(v), axis=1, keepdims=True)
    unit = lax.stop_gradient(jnp.maximum(1, largest))  # squares of 1e30 overflow
    u = v / unit
    r = 1 / jnp.sqrt(_mean_square(u) + _EPS / unit / unit)
    return u * r, r / unit


def _mean_square(v: Array) -> Array:
    return jnp.mean(v * v, axis=1, keepdims=True)


SPECIES = (
    Species(
        "layer norm", _layer_twin, _layer_forward, _layer_backward, _layer_sample,
        nodes=("dout", "db", "dg", "dxhat", "dx"), differentiable=(True, True, True),
        stretched=(True, True, True),
    ),
    Species(
        "rms norm", _rms_twin, _rms_forward, _rms_backward, _rms_sample,
        nodes=("dout", "dg", "dxhat", "dx"), differentiable=(True, True),
        stretched=(True, True),
    ),
)  # fmt: skip
