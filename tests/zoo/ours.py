"""jaxlr's own: one example of `core`, and a weighted mean with a penalty as `batch` has it.

Only parameters have gradients here; rows, labels and weights are data. Autodiff through
``core.slope`` is not right at z = 0, where it takes e as constant (the curvature has its own
formula), so these may be differentiated once.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.ad_checkpoint import checkpoint_name as name

from jaxlr import batch, core
from jaxlr.core import Params
from zoo.elementwise import logistic_twin
from zoo.species import Context, Species, dot, like, normal, soft_labels, wide

L2 = 0.125


def _core_twin(params: Params, x: Array, y: Array) -> Array:
    w, b = name(params.w, "w"), name(params.b, "b")
    z = name(dot(w, x) + b, "z")
    return name(logistic_twin(z, y), "out")


def _core_forward(params: Params, x: Array, y: Array) -> tuple[Array, Any]:
    L, cache = core.forward(params, x, y)
    return L, (params, cache, core.linear(params, x))


def _core_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Params]:
    params, cache, z = saved
    here = partial(Context, cache.x.dtype, saved, cotangent, labels=cache.y)
    c = at("dout", wide(cotangent), here())
    a = cache.p / (cache.p + cache.q)
    context = here(value=z, textbook=lambda: c * (a - cache.y))
    dz = at("dz", c * core.slope(cache), context)
    weights = wide(params)
    at_w = here(value=weights.w)._replace(labels=jnp.broadcast_to(cache.y, cache.x.shape))
    dw = at("dw", wide(cache.x) * dz, at_w)
    db = at("db", dz, here(value=weights.b))
    return (like(Params(dw, db), params),)


def _core_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Params, Array, Array]:
    params = Params(normal(rng, dtype, n), normal(rng, dtype))
    label = (1.0, 0.25, 0.0)[n % 3]  # of every kind, as the number of features changes
    return params, normal(rng, dtype, n), jnp.asarray(label, dtype)


def _batch_twin(params: Params, X: Array, y: Array, s: Array) -> Array:
    w, b = name(params.w, "w"), name(params.b, "b")
    z = name(dot(X, w) + b, "z")
    mean = jnp.sum(s * logistic_twin(z, y)) / jnp.sum(s)
    return name(mean + L2 / 2 * dot(w, w), "out")


def _batch_forward(params: Params, X: Array, y: Array, s: Array) -> tuple[Array, Any]:
    J = batch.mean_loss(params, X, y, s, L2, mesh=None)
    each_row = params, wide(X), wide(y)
    _, cache = jax.vmap(core.forward, in_axes=(None, 0, 0))(wide(params), *each_row[1:])
    z = jax.vmap(core.linear, in_axes=(None, 0))(params, X)
    return J.astype(X.dtype), (params, X, y, s, cache, z)


def _batch_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Params]:
    params, X, y, s, cache, z = saved
    here = partial(Context, X.dtype, saved, cotangent)
    c = at("dout", wide(cotangent), here())
    weights, x, t, v = wide((params, X, y, s))
    total = jnp.sum(v)
    a = cache.p / (cache.p + cache.q)
    context = here(value=z, rows=True, labels=t, divisor=total)
    context = context._replace(textbook=lambda: c * (v * (a - t) / total))
    dz = at("dz", c * (v * jax.vmap(core.slope)(cache) / total), context)
    loss, penalty = dot(dz, x), c * (L2 * weights.w)
    at_w = here(value=weights.w, terms=(loss, penalty))
    dw = at("dw", loss + penalty, at_w)
    db = at("db", jnp.sum(dz), here(value=weights.b, summands=lambda: dz))
    return (like(Params(dw, db), params),)


def _batch_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Any, ...]:
    params = Params(normal(rng, dtype, 3), normal(rng, dtype))
    s = jnp.asarray(rng.uniform(0.5, 2.0, n), dtype)
    return params, normal(rng, dtype, n, 3), soft_labels(rng, n, dtype), s


SPECIES = (
    Species(
        "jaxlr core", _core_twin, _core_forward, _core_backward, _core_sample,
        nodes=("dout", "dz", "dw", "db"), differentiable=(True, False, False),
        stretched=(True, False, False), order=1,
    ),
    Species(
        "jaxlr batch", _batch_twin, _batch_forward, _batch_backward, _batch_sample,
        nodes=("dout", "dz", "dw", "db"), differentiable=(True, False, False, False),
        stretched=(True, False, False, False), order=1,
    ),
)  # fmt: skip
