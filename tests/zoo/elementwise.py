"""Species of one number each: logistic loss, sigmoid, and softplus as a Pallas kernel."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.ad_checkpoint import checkpoint_name as name
from jax.experimental import pallas as pl

from zoo.species import Context, Species, like, normal, soft_labels, wide


def odds(z: Array) -> tuple[Array, Array]:
    """Odds p : q of sigma(z), the larger scaled to 1; twice differentiable at z = 0 too."""
    up = z >= 0
    e = jnp.exp(jnp.where(up, -z, z))
    return jnp.where(up, 1, e), jnp.where(up, e, 1)


def logistic_twin(z: Array, y: Array) -> Array:
    """Loss of label y at z. One predicate for both parts: right under autodiff at z = 0 too."""
    up = z > 0
    tail = jnp.logaddexp(jnp.zeros_like(z), jnp.where(up, -z, z))
    return tail + jnp.where(up, (1 - y) * z, -y * z)


def _logistic_twin(z: Array, y: Array) -> Array:
    return name(logistic_twin(name(z, "z"), name(y, "y")), "out")


def _logistic_forward(z: Array, y: Array) -> tuple[Array, Any]:
    v, t = wide((z, y))
    p, q = odds(v)
    L = (1 - t) * jnp.maximum(v, 0) + t * jnp.maximum(-v, 0) + jnp.log1p(p * q)
    return L.astype(z.dtype), (z, y, p, q)


def _logistic_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array, Array]:
    z, y, p, q = saved
    v, t = wide((z, y))
    here = partial(Context, z.dtype, saved, cotangent, labels=t, rows=True)
    c = at("dout", wide(cotangent), here())
    up, down = c * (1 - t) * p / (p + q), -c * t * q / (p + q)
    dz = c * (((1 - t) * p - t * q) / (p + q))
    other = here(value=v, terms=(up, down), textbook=lambda: c * (p / (p + q) - t))
    dz = at("dz", dz, other._replace(sibling=lambda: -c * v))
    dy = at("dy", -c * v, here(value=t, sibling=lambda: c * ((1 - t) * p - t * q) / (p + q)))
    return like((dz, dy), (z, y))


def _logistic_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, Array]:
    return 2 * normal(rng, dtype, n), soft_labels(rng, n, dtype)


def _sigmoid_twin(z: Array) -> Array:
    z = name(z, "z")
    p, q = odds(z)
    return name(p / (p + q), "out")


def _sigmoid_forward(z: Array) -> tuple[Array, Any]:
    p, q = odds(wide(z))
    return (p / (p + q)).astype(z.dtype), (z, p, q)


def _sigmoid_backward(saved: Any, cotangent: Array, at: Any) -> tuple[Array]:
    z, p, q = saved
    here = partial(Context, z.dtype, saved, cotangent, rows=True)
    c = at("dout", wide(cotangent), here())
    a = p / (p + q)
    dz = c * (p * q / (p + q) ** 2)
    dz = at("dz", dz, here(value=wide(z), textbook=lambda: c * (a * (1 - a))))
    return like((dz,), (z,))


def _softplus_twin(z: Array) -> Array:
    z = name(z, "z")
    return name(jnp.logaddexp(jnp.zeros_like(z), z), "out")


def _softplus_kernel(z_ref: Any, out_ref: Any) -> None:
    z = z_ref[...]
    out_ref[...] = jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))


def _slope_kernel(z_ref: Any, c_ref: Any, out_ref: Any) -> None:
    p, q = odds(z_ref[...])
    out_ref[...] = c_ref[...] * (p / (p + q))


def _in_blocks(kernel: Any, *arrays: Array) -> Array:
    """Run a kernel over blocks of eight elements; the last one may stand out."""
    (n,) = arrays[0].shape
    block = pl.BlockSpec((8,), lambda i: (i,))
    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((n,), arrays[0].dtype),
        grid=(pl.cdiv(n, 8),),
        in_specs=[block] * len(arrays),
        out_specs=block,
        interpret=True,
    )(*arrays)


_softplus = jax.jit(partial(_in_blocks, _softplus_kernel))
_slope = jax.jit(partial(_in_blocks, _slope_kernel))


def _softplus_forward(z: Array) -> tuple[Array, Array]:
    return _softplus(wide(z)).astype(z.dtype), z


def _softplus_backward(z: Array, cotangent: Array, at: Any) -> tuple[Array]:
    here = partial(Context, z.dtype, z, cotangent, rows=True)
    c = at("dout", wide(cotangent), here())
    v = wide(z)
    textbook = partial(lambda v, c: c * (1 - 1 / (1 + jnp.exp(v))), v, c)
    return like((at("dz", _slope(v, c), here(value=v, textbook=textbook)),), (z,))


def _one_sample(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array]:
    return (2 * normal(rng, dtype, n),)


SPECIES = (
    Species(
        "logistic", _logistic_twin, _logistic_forward, _logistic_backward, _logistic_sample,
        nodes=("dout", "dz", "dy"), differentiable=(True, True), stretched=(True, False),
    ),
    Species(
        "sigmoid", _sigmoid_twin, _sigmoid_forward, _sigmoid_backward, _one_sample,
        nodes=("dout", "dz"), differentiable=(True,), stretched=(True,),
    ),
    Species(  # a kernel has no derivative of its own: order 1
        "pallas softplus", _softplus_twin, _softplus_forward, _softplus_backward, _one_sample,
        nodes=("dout", "dz"), differentiable=(True,), stretched=(True,), order=1,
    ),
)  # fmt: skip
