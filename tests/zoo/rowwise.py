"""Species of a row each: softmax cross-entropy with integer labels, and logsumexp."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.ad_checkpoint import checkpoint_name as name

from zoo.species import Context, Species, labels, like, normal, wide

_CLASSES = 4


def _entropy_twin(Z: Array, k: Array) -> Array:
    """Loss as a function of the margins over the label's own score, where nothing cancels."""
    Z = name(Z, "Z")
    others = (k[:, None] + jnp.arange(1, Z.shape[1], dtype=k.dtype)[None]) % Z.shape[1]
    margins = jnp.take_along_axis(Z, others, 1) - jnp.take_along_axis(Z, k[:, None], 1)
    most = jax.nn.logsumexp(margins, axis=1)
    return name(jnp.logaddexp(jnp.zeros_like(most), most), "out")


def _entropy_forward(Z: Array, k: Array) -> tuple[Array, Any]:
    V = wide(Z)
    top = jnp.argmax(V, axis=1)
    m = jnp.take_along_axis(V, top[:, None], 1)
    e = jnp.exp(V - m)  # odds of the classes, the largest scaled to 1
    rest = jnp.sum(jnp.where(_onehot(top, Z), 0, e), axis=1)
    label = jnp.take_along_axis(V, k[:, None], 1)
    return ((m - label)[:, 0] + jnp.log1p(rest)).astype(Z.dtype), (Z, k, e)


def _entropy_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array]:
    Z, k, e = saved
    is_label = _onehot(k, Z)
    ones = (k == 1).astype(e.dtype)
    here = partial(Context, Z.dtype, saved, cotangent, rows=True)
    c = at("dout", wide(cotangent), here(labels=ones))[:, None]
    S = jnp.sum(e, axis=1, keepdims=True)
    others = jnp.where(is_label, 0, e)
    missing = jnp.sum(others, axis=1, keepdims=True)  # S (1 - a) of the label, not 1 minus a
    scores, targets = c * (others / S), c * jnp.where(is_label, -missing / S, 0)
    context = here(
        value=wide(Z),
        labels=jnp.broadcast_to(ones[:, None], Z.shape),
        terms=(scores, targets),
        textbook=lambda: c * (e / S - is_label.astype(e.dtype)),
    )
    return like((at("dZ", scores + targets, context),), (Z,))


def _onehot(k: Array, Z: Array) -> Array:
    return k[:, None] == jnp.arange(Z.shape[1], dtype=k.dtype)[None]


def _entropy_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, Array]:
    return normal(rng, dtype, n, _CLASSES), labels(rng, n, _CLASSES)


def _logsumexp_twin(X: Array) -> Array:
    return name(jax.nn.logsumexp(name(X, "X"), axis=1), "out")


def _logsumexp_forward(X: Array) -> tuple[Array, Any]:
    V = wide(X)
    m = lax.stop_gradient(jnp.max(V, axis=1, keepdims=True))
    e = jnp.exp(V - m)
    return (m[:, 0] + jnp.log(jnp.sum(e, axis=1))).astype(X.dtype), (X, e)


def _logsumexp_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array]:
    X, e = saved
    here = partial(Context, X.dtype, saved, cotangent, rows=True)
    c = at("dout", wide(cotangent), here())[:, None]
    dX = c * (e / jnp.sum(e, axis=1, keepdims=True))
    V = wide(X)

    def textbook() -> Array:
        raised = jnp.exp(V)
        return c * (raised / jnp.sum(raised, axis=1, keepdims=True))

    return like((at("dX", dX, here(value=V, textbook=textbook)),), (X,))


def _logsumexp_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array]:
    return (normal(rng, dtype, n, _CLASSES),)


SPECIES = (
    Species(
        "softmax cross-entropy", _entropy_twin, _entropy_forward, _entropy_backward,
        _entropy_sample, nodes=("dout", "dZ"), differentiable=(True, False),
        stretched=(True, False),
    ),
    Species(
        "logsumexp", _logsumexp_twin, _logsumexp_forward, _logsumexp_backward,
        _logsumexp_sample, nodes=("dout", "dX"), differentiable=(True,), stretched=(True,),
    ),
)  # fmt: skip
