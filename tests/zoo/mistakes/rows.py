"""Mistakes in species of a row each: cross-entropy, logsumexp, layer norm, RMS norm."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from zoo.species import Context, Fault, wide


def _column(k: Context) -> Array:
    return wide(k.cotangent)[:, None]


def _entropy(k: Context, label: Array) -> Array:
    Z, _, e = k.saved
    onehot = jax.nn.one_hot(label, Z.shape[1], dtype=e.dtype)
    return _column(k) * (e / jnp.sum(e, axis=1, keepdims=True) - onehot)


def _label_from_one(_: Array, k: Context) -> Array:
    return _entropy(k, k.saved[1] - 1)


def _last_class_lost(v: Array, k: Context) -> Array:
    Z, label, _ = k.saved
    return jnp.where((label == Z.shape[1] - 1)[:, None], _entropy(k, label - Z.shape[1]), v)


def _class_zero_ignored(v: Array, k: Context) -> Array:
    return jnp.where((k.saved[1] == 0)[:, None], jnp.zeros_like(v), v)


def _softmax_overflows(_: Array, k: Context) -> Array:
    Z, label, _ = k.saved
    raised = jnp.exp(wide(Z))
    onehot = jax.nn.one_hot(label, Z.shape[1], dtype=raised.dtype)
    return _column(k) * (raised / jnp.sum(raised, axis=1, keepdims=True) - onehot)


def _mean_over_classes(v: Array, _: Context) -> Array:
    return v / v.shape[1]


def _softmax_of_column(_: Array, k: Context) -> Array:
    Z, label, _ = k.saved
    onehot = jax.nn.one_hot(label, Z.shape[1], dtype=jnp.float32).astype(wide(Z).dtype)
    return _column(k) * (jax.nn.softmax(wide(Z), axis=0) - onehot)


def _largest_only(_: Array, k: Context) -> Array:
    X, e = k.saved
    return _column(k) * jax.nn.one_hot(jnp.argmax(X, axis=1), X.shape[1], dtype=e.dtype)


def _normaliser_constant(_: Array, k: Context) -> Array:
    e = k.saved[1]
    return _column(k) * (e / lax.stop_gradient(jnp.sum(e, axis=1, keepdims=True)))


def _through_maximum(v: Array, k: Context) -> Array:
    X, e = k.saved
    top = jax.nn.one_hot(jnp.argmax(X, axis=1), X.shape[1], dtype=e.dtype)
    return v + _column(k) * top  # the shift by the maximum counted as well


def _norm_dx(k: Context, r: Array, *, xhat: Array | None = None, axis: int = 1) -> Array:
    """Gradient of x of a norm, from its parts; a mean is taken off where there is an offset."""
    g, saved = wide(k.saved[1]), k.saved[-2]
    xhat = saved if xhat is None else xhat
    dxhat = wide(k.cotangent) * g[None]
    found = dxhat - xhat * jnp.mean(dxhat * xhat, axis=axis, keepdims=True)
    if len(k.saved) == 5:
        found = found - jnp.mean(dxhat, axis=axis, keepdims=True)
    return r * found


def _r(k: Context) -> Array:
    return k.saved[-1]


def _one_less(_: Array, k: Context) -> Array:
    d = k.saved[0].shape[1]
    return _norm_dx(k, _r(k) * (1 - 1 / d) ** 0.5)  # divided by d - 1 in the variance


def _without_eps(_: Array, k: Context) -> Array:
    u = k.saved[-2] / _r(k)
    return _norm_dx(k, 1 / jnp.sqrt(jnp.mean(u * u, axis=1, keepdims=True)))


def _means_of_columns(_: Array, k: Context) -> Array:
    return _norm_dx(k, _r(k), axis=0)


def _statistics_constant(_: Array, k: Context) -> Array:
    return _r(k) * wide(k.cotangent) * wide(k.saved[1])[None]


def _r_constant(_: Array, k: Context) -> Array:
    return _norm_dx(k, lax.stop_gradient(_r(k)))


def _xhat_constant(_: Array, k: Context) -> Array:
    return _norm_dx(k, _r(k), xhat=lax.stop_gradient(k.saved[-2]))


def _of_x(_: Array, k: Context) -> Array:
    return jnp.sum(wide(k.cotangent) * wide(k.saved[0]), axis=0)


def _no_gain(_: Array, k: Context) -> Array:
    return wide(k.cotangent)


def _gain_twice(v: Array, k: Context) -> Array:
    return v * wide(k.saved[1])[None]


_NORMS = (
    ("dx", "divided by d - 1", _one_less, "anywhere"),
    ("dx", "eps forgotten", _without_eps, "accuracy"),
    ("dx", "means over the wrong axis", _means_of_columns, "anywhere"),
    ("dx", "statistics taken as constant", _statistics_constant, "anywhere"),
    ("dx", "scale constant in the second derivative", _r_constant, "order 2"),
    ("dx", "xhat constant in the second derivative", _xhat_constant, "order 2"),
    ("dg", "of x instead of xhat", _of_x, "anywhere"),
    ("dxhat", "gain forgotten", _no_gain, "anywhere"),
    ("dxhat", "gain twice", _gain_twice, "anywhere"),
)
_ENTROPY, _LSE = "softmax cross-entropy", "logsumexp"
FAULTS = (
    Fault(_ENTROPY, "dZ", "labels counted from 1", _label_from_one),
    Fault(_ENTROPY, "dZ", "last class lost", _last_class_lost, "one class"),
    Fault(_ENTROPY, "dZ", "class 0 ignored", _class_zero_ignored, "one class"),
    Fault(_ENTROPY, "dZ", "softmax overflows", _softmax_overflows, "extreme input"),
    Fault(_ENTROPY, "dZ", "mean over classes", _mean_over_classes),
    Fault(_ENTROPY, "dZ", "softmax over the wrong axis", _softmax_of_column),
    Fault(_LSE, "dX", "that of the maximum", _largest_only),
    Fault(_LSE, "dX", "normaliser constant", _normaliser_constant, "order 2"),
    Fault(_LSE, "dX", "maximum counted twice", _through_maximum),
    *(Fault(species, *rest) for species in ("layer norm", "rms norm") for rest in _NORMS),
)
