"""Mistakes in species of one number each: logistic loss, sigmoid, softplus."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from zoo.species import Context, Fault, wide


def _logistic(k: Context) -> tuple[Array, Array, Array]:
    z, y, *_ = k.saved
    return *wide((z, y)), wide(k.cotangent)


def _through_da(_: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    a = 1 / (1 + jnp.exp(-z))
    return c * (((1 - y) / (1 - a) - y / a) * (a * (1 - a)))


def _kink(v: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    return jnp.where(z == 0, -y * c, v)  # autodiff of max(z, 0) - y z + log1p(exp(-|z|))


def _hard_label(_: Array, k: Context) -> Array:
    *_, p, q = k.saved
    _, y, c = _logistic(k)
    return c * jnp.where(y >= 0.5, -q, p) / (p + q)


def _smaller_exp(_: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    return c * (jnp.exp(z) / (1 + jnp.exp(z)) - y)


def _by_tanh(_: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    return c * ((1 + jnp.tanh(z / 2)) / 2 - y)


def _straight_near_zero(v: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    return jnp.where(jnp.abs(z) < 0.25, c * (0.5 + z / 4 - y), v)


def _second_lost_at_zero(_: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    e = jnp.exp(jnp.minimum(z, -z))  # the same bits, but its derivative at 0 is 0
    p, q = jnp.where(z >= 0, 1, e), jnp.where(z >= 0, e, 1)
    return c * (((1 - y) * p - y * q) / (p + q))


def _clipped_probability(_: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    return c * (jnp.clip(jax.nn.sigmoid(z), 1e-7, 1 - 1e-7) - y)


def _clipped_input(_: Array, k: Context) -> Array:
    z, y, c = _logistic(k)
    return c * jnp.where(jnp.abs(z) > 30, 0, jax.nn.sigmoid(z) - y)  # the slope of a clip


def _squashed(_: Array, k: Context) -> Array:
    z, _, c = _logistic(k)
    return -c * jnp.clip(z, -16, 16)


def _sigmoid_overflow(_: Array, k: Context) -> Array:
    z = wide(k.saved[0])
    return wide(k.cotangent) * (jnp.exp(z) / (1 + jnp.exp(z)) ** 2)


def _sigmoid_of_result(_: Array, k: Context) -> Array:
    z, p, q = k.saved
    a = (p / (p + q)).astype(z.dtype).astype(jnp.float16).astype(p.dtype)  # saved in few bits
    return wide(k.cotangent) * (a * (1 - a))


def _sigmoid_constant_slope(v: Array, k: Context) -> Array:
    _, p, q = k.saved
    half = lax.stop_gradient(q / (p + q))  # one of the two factors taken as constant
    return wide(k.cotangent) * (half * (p / (p + q))) + 0 * v


def _cut(below: float, above: float, v: Array, k: Context) -> Array:
    z, c = wide(k.saved), wide(k.cotangent)
    return jnp.where(z > above, c, jnp.where(z < below, 0, v))


def _step(v: Array, k: Context) -> Array:
    return jnp.where(wide(k.saved) > 0, wide(k.cotangent), jnp.zeros_like(v))


def _blocks_mixed(v: Array, _: Context) -> Array:
    whole = v.size - v.size % 8 if v.size > 8 else 0
    return v.at[whole:].set(v[: v.size - whole]) if whole else v  # block 0 in the last one's place


FAULTS = (
    Fault("logistic", "dz", "through da", _through_da, "accuracy"),
    Fault("logistic", "dz", "the kink of |z|", _kink, "exact zero"),
    Fault("logistic", "dz", "soft labels made hard", _hard_label, "soft label"),
    Fault("logistic", "dz", "exp(z) overflows", _smaller_exp, "extreme input"),
    Fault("logistic", "dz", "sigma by tanh", _by_tanh, "extreme input"),
    Fault("logistic", "dz", "a line near 0", _straight_near_zero, "accuracy"),
    Fault("logistic", "dz", "no curvature at 0", _second_lost_at_zero, "order 2, exact zero"),
    Fault("logistic", "dz", "probability clipped", _clipped_probability, "extreme input"),
    Fault("logistic", "dz", "input clipped", _clipped_input, "extreme input"),
    Fault("logistic", "dy", "input clipped", _squashed, "extreme input"),
    Fault("sigmoid", "dz", "exp(z) overflows", _sigmoid_overflow, "extreme input"),
    Fault("sigmoid", "dz", "from a result of few bits", _sigmoid_of_result, "accuracy"),
    Fault("sigmoid", "dz", "a factor taken as constant", _sigmoid_constant_slope, "order 2"),
    Fault("pallas softplus", "dz", "cut at 8", partial(_cut, -8, 8), "extreme input"),
    Fault("pallas softplus", "dz", "0 below -16", partial(_cut, -16, jnp.inf), "extreme input"),
    Fault("pallas softplus", "dz", "that of relu", _step),
    Fault("pallas softplus", "dz", "the first block for the last", _blocks_mixed, "n > 8"),
)
