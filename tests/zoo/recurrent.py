"""A species with memory: a leaky tanh recurrence, its backward pass a scan from the end."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.ad_checkpoint import checkpoint_name as name

from zoo.products import tanh, tanh_slope
from zoo.species import Context, Species, dot, like, normal, wide

LEAK = 0.25  # h_t = (1 - leak) h_(t-1) + leak tanh(u_t + h_(t-1) U)


def _twin(X: Array, W: Array, U: Array, b: Array, h0: Array) -> Array:
    X, W, U, b, h0 = (
        name(v, k) for v, k in zip((X, W, U, b, h0), ["X", "W", "U", "b", "h0"], strict=True)
    )
    u = name(dot(X, W) + b[None], "u")

    def step(h: Array, u_t: Array) -> tuple[Array, Array]:
        h = (1 - LEAK) * h + LEAK * tanh(u_t + dot(h, U))
        return h, h

    return name(lax.scan(step, h0, u)[1], "out")


@jax.jit
def _scan(u: Array, U: Array, h0: Array) -> tuple[Array, Array, Array]:
    """Every state, the states before them, and what went into tanh; all of shape (n, h)."""

    def step(h: Array, u_t: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        z = u_t + dot(h, U)
        new = (1 - LEAK) * h + LEAK * jnp.tanh(z)
        return new, (new, h, z)

    return lax.scan(step, h0, u)[1]


@jax.jit
def scan_back(c: Array, z: Array, U: Array) -> tuple[Array, Array]:
    """Gradient of u, (n, h), and of the first state, (h,)."""

    def step(later: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        c_t, z_t = now
        dh = c_t + later
        du = LEAK * dh * tanh_slope(z_t)
        return (1 - LEAK) * dh + dot(du, U.T), (du, dh)

    _, (du, dh) = lax.scan(step, jnp.zeros_like(c[0]), (c, z), reverse=True)
    return du, dh[0]


def _forward(X: Array, W: Array, U: Array, b: Array, h0: Array) -> tuple[Array, Any]:
    args = X, W, U, b, h0
    x, w, v, offset, start = wide(args)
    H, before, z = _scan(dot(x, w) + offset[None], v, start)
    return H.astype(X.dtype), (args, before, z)


def _backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array, ...]:
    args, before, z = saved
    x, w, v, offset, start = wide(args)
    here = partial(Context, args[0].dtype, saved, cotangent)
    c = at("dout", wide(cotangent), here(rows=True))
    du, dh_first = scan_back(c, z, v)
    du = at("du", du, here(value=z, rows=True))
    direct, through = (1 - LEAK) * dh_first, dot(du[0], v.T)
    at_b = here(value=offset, summands=lambda: du, sibling=lambda: direct + through)
    db = at("db", jnp.sum(du, axis=0), at_b)
    at_h0 = here(value=start, terms=(direct, through), sibling=lambda: jnp.sum(du, axis=0))
    dh0 = at("dh0", direct + through, at_h0)
    at_U = here(value=v, summands=lambda: before[:, :, None] * du[:, None, :])
    at_W = here(value=w, summands=lambda: x[:, :, None] * du[:, None, :])
    dU = at("dU", dot(before.T, du), at_U)
    dW = at("dW", dot(x.T, du), at_W)
    dX = at("dX", dot(du, w.T), here(value=x, rows=True))
    return like((dX, dW, dU, db, dh0), args)


def _sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, ...]:
    shapes = (n, 2), (2, 3), (3, 3), (3,), (3,)
    return tuple(normal(rng, dtype, *shape) for shape in shapes)


SPECIES = (
    Species(
        "recurrence", _twin, _forward, _backward, _sample,
        nodes=("dout", "du", "db", "dh0", "dU", "dW", "dX"),
        differentiable=(True,) * 5, stretched=(True,) * 5,
    ),
)  # fmt: skip
