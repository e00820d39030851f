"""Species of matrix products: matmul, and a network of two layers with its mean loss."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.ad_checkpoint import checkpoint_name as name

from zoo.elementwise import odds
from zoo.species import Context, Species, dot, labels, like, normal, wide


def _matmul_twin(A: Array, B: Array) -> Array:
    return name(dot(name(A, "A"), name(B, "B")), "out")


def _matmul_forward(A: Array, B: Array) -> tuple[Array, Any]:
    return dot(*wide((A, B))).astype(A.dtype), (A, B)


def _matmul_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array, Array]:
    A, B = saved
    here = partial(Context, A.dtype, saved, cotangent)
    c = at("dout", wide(cotangent), here(rows=True))
    a, b = wide(saved)
    dA = at("dA", dot(c, b.T), here(value=a, rows=True))
    dB = at("dB", dot(a.T, c), here(value=b, summands=lambda: a[:, :, None] * c[:, None, :]))
    return like((dA, dB), (A, B))


def _matmul_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, Array]:
    return normal(rng, dtype, n, 3), normal(rng, dtype, 3, 3)


def tanh(z: Array) -> Array:
    """Tanh for autodiff in float64: 1 - tanh^2 has no digits left from z = 19 on."""
    e = jnp.exp(-2 * jnp.abs(z))
    return jnp.where(jnp.abs(z) < 1, jnp.tanh(z), jnp.sign(z) * (1 - e) / (1 + e))


def tanh_slope(z: Array) -> Array:
    """Derivative of tanh at z."""
    e = jnp.exp(-2 * jnp.abs(z))
    return 4 * e / (1 + e) ** 2


def _network_twin(params: dict[str, Array], X: Array, t: Array) -> Array:
    p = {key: name(v, key) for key, v in params.items()}
    z1 = name(dot(name(X, "X"), p["W1"]) + p["b1"][None], "z1")
    a1 = name(tanh(z1), "a1")
    z2 = name(dot(a1, p["w2"]) + p["b2"], "z2")
    loss = jnp.logaddexp(jnp.zeros_like(z2), _side(t, z2) * z2)
    return name(jnp.mean(loss), "out")


def _network_forward(params: dict[str, Array], X: Array, t: Array) -> tuple[Array, Any]:
    p, x = wide((params, X))
    z1 = dot(x, p["W1"]) + p["b1"][None]
    z2 = dot(jnp.tanh(z1), p["w2"]) + p["b2"]
    s = _side(t, z2) * z2
    loss = jnp.maximum(s, 0) + jnp.log1p(jnp.exp(-jnp.abs(s)))
    return jnp.mean(loss).astype(X.dtype), (params, X, t, z1, z2)


def _network_backward(saved: Any, cotangent: Array, at: Any) -> tuple[dict[str, Array], Array]:
    params, X, t, z1, z2 = saved
    here = partial(Context, X.dtype, saved, cotangent)
    c = at("dout", wide(cotangent), here())
    w, x = wide((params, X))
    a1, side = jnp.tanh(z1), _side(t, z2)
    up, down = odds(side * z2)
    n = jnp.asarray(z2.size, z2.dtype)
    is_one = t.astype(z2.dtype)
    context = here(value=z2, rows=True, labels=is_one, divisor=n)
    a2 = jnp.where(side > 0, up, down) / (up + down)
    context = context._replace(textbook=lambda: c / n * (a2 - is_one))
    dz2 = at("dz2", c / n * (side * (up / (up + down))), context)
    db2 = at("db2", jnp.sum(dz2), here(value=w["b2"], summands=lambda: dz2))
    to_w2 = here(value=w["w2"], summands=lambda: dz2[:, None] * a1)
    dw2 = at("dw2", dot(dz2, a1), to_w2)
    da1 = at("da1", dz2[:, None] * w["w2"][None], here(value=a1, rows=True))
    context = here(value=z1, rows=True, textbook=lambda: da1 * (1 - a1 * a1))
    dz1 = at("dz1", da1 * tanh_slope(z1), context)
    to_b1 = here(value=w["b1"], summands=lambda: dz1)
    db1 = at("db1", jnp.sum(dz1, axis=0), to_b1)
    to_W1 = here(value=w["W1"], summands=lambda: x[:, :, None] * dz1[:, None, :])
    dW1 = at("dW1", dot(x.T, dz1), to_W1)
    dX = at("dX", dot(dz1, w["W1"].T), here(value=x, rows=True))
    return like(({"W1": dW1, "b1": db1, "w2": dw2, "b2": db2}, dX), (params, X))


def _side(t: Array, z: Array) -> Array:
    return (1 - 2 * t).astype(z.dtype)


def _network_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Any, ...]:
    shapes = {"W1": (2, 3), "b1": (3,), "w2": (3,), "b2": ()}
    params = {key: normal(rng, dtype, *shape) for key, shape in shapes.items()}
    return params, normal(rng, dtype, n, 2), labels(rng, n)


SPECIES = (
    Species(
        "matmul", _matmul_twin, _matmul_forward, _matmul_backward, _matmul_sample,
        nodes=("dout", "dA", "dB"), differentiable=(True, True), stretched=(True, True),
    ),
    Species(
        "network", _network_twin, _network_forward, _network_backward, _network_sample,
        nodes=("dout", "dz2", "db2", "dw2", "da1", "dz1", "db1", "dW1", "dX"),
        differentiable=(True, True, False), stretched=(True, True, False),
    ),
)  # fmt: skip
