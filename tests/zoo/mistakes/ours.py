"""Mistakes in logistic regression itself: one example, and the weighted mean with a penalty."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxlr import core
from zoo.ours import L2
from zoo.species import Context, Fault, wide


def _hard_label(_: Array, k: Context) -> Array:
    cache = k.saved[1]
    return wide(k.cotangent) * core.slope(cache._replace(y=jnp.round(cache.y)))


def _through_da(_: Array, k: Context) -> Array:
    _, cache, z = k.saved
    a = 1 / (1 + jnp.exp(-z))
    da = (1 - cache.y) / (1 - a) - cache.y / a
    return wide(k.cotangent) * (da * (a * (1 - a)))


def _w_for_x(_: Array, k: Context) -> Array:
    params, cache, _ = k.saved
    return wide(params.w) * (wide(k.cotangent) * core.slope(cache))


def _curvature(_: Array, k: Context) -> Array:
    return wide(k.cotangent) * core.curvature(k.saved[1])


def _times_z(v: Array, k: Context) -> Array:
    return v * k.saved[2]


def _slopes(k: Context) -> Array:
    return wide(k.cotangent) * jax.vmap(core.slope)(k.saved[4])


def _weights(k: Context) -> Array:
    return wide(k.saved[3])


def _by_rows(_: Array, k: Context) -> Array:
    s = _weights(k)
    return _slopes(k) * s / s.size


def _no_weights(_: Array, k: Context) -> Array:
    return _slopes(k) / _weights(k).size


def _weights_squared(_: Array, k: Context) -> Array:
    s = _weights(k)
    return _slopes(k) * s * s / jnp.sum(s)


def _mean_twice(v: Array, k: Context) -> Array:
    return v / _weights(k).size


def _penalised_intercept(v: Array, k: Context) -> Array:
    return v + wide(k.cotangent) * (L2 * wide(k.saved[0].b))


def _penalty(factor: float, v: Array, k: Context) -> Array:
    return v + factor * (wide(k.cotangent) * (L2 * wide(k.saved[0].w)))


def _penalty_doubled(v: Array, k: Context) -> Array:
    return _penalty(1, v, k)


def _penalty_over_n(v: Array, k: Context) -> Array:
    return _penalty(1 / _weights(k).size - 1, v, k)


def _penalty_without_cotangent(_: Array, k: Context) -> Array:
    return k.terms[0] + L2 * wide(k.saved[0].w)


def _penalty_of_l1(_: Array, k: Context) -> Array:
    return k.terms[0] + wide(k.cotangent) * (L2 * jnp.sign(wide(k.saved[0].w)))


_CORE, _BATCH = "jaxlr core", "jaxlr batch"
FAULTS = (
    Fault(_CORE, "dz", "soft label made hard", _hard_label, "soft label"),
    Fault(_CORE, "dz", "through da", _through_da, "extreme input"),
    Fault(_CORE, "dz", "curvature for slope", _curvature),
    Fault(_CORE, "dw", "w for x", _w_for_x),
    Fault(_CORE, "db", "times z", _times_z),
    Fault(_BATCH, "dz", "divided by n instead of the weights", _by_rows),
    Fault(_BATCH, "dz", "weights forgotten", _no_weights),
    Fault(_BATCH, "dz", "weights squared", _weights_squared),
    Fault(_BATCH, "dz", "divided twice", _mean_twice),
    Fault(_BATCH, "db", "intercept penalised", _penalised_intercept),
    Fault(_BATCH, "dw", "penalty doubled", _penalty_doubled),
    Fault(_BATCH, "dw", "penalty divided by n", _penalty_over_n),
    Fault(_BATCH, "dw", "penalty without cotangent", _penalty_without_cotangent, "cotangent"),
    Fault(_BATCH, "dw", "penalty of the wrong norm", _penalty_of_l1),
)
