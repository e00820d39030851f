"""Inputs on which a fault may show, and the truth there by autodiff of the twin in float64."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from zoo.faults import ROWS
from zoo.species import Species

PyTree = Any


class Probe(NamedTuple):
    """Arguments and a cotangent."""

    name: str
    args: tuple[Any, ...]
    cotangent: Array


def probes(species: Species, dtype: Any, n: int = ROWS) -> Iterator[Probe]:
    """Ordinary arguments first, then exact zeros, saturated ones, huge and tiny cotangents."""
    rng = np.random.default_rng(7)
    args = species.sample(rng, n, dtype)
    out = jax.eval_shape(species.twin, *args)
    c = jnp.asarray(rng.standard_normal(out.shape), dtype)

    def stretch(change: Callable[[Array], Array]) -> tuple[Any, ...]:
        pairs = zip(args, species.stretched, strict=True)
        return tuple(jax.tree.map(change, v) if yes else v for v, yes in pairs)

    def one_zero(v: Array) -> Array:
        return v.ravel().at[0].set(0).reshape(v.shape)

    yield Probe("ordinary", args, c)
    yield Probe("one element 0", stretch(one_zero), c)
    yield Probe("all 0", stretch(jnp.zeros_like), c)
    yield Probe("times 10", stretch(lambda v: 10 * v), c)
    yield Probe("times 100", stretch(lambda v: 100 * v), c)
    yield Probe("mirrored times 30", stretch(lambda v: -30 * v), c)
    yield Probe("cotangent 3", args, jnp.full_like(c, 3))
    yield Probe("cotangent -1000", args, jnp.full_like(c, -1000))
    yield Probe("cotangent 1e-4", args, 1e-4 * c)


def wide64(tree: PyTree) -> PyTree:
    """Floating-point leaves in float64, all as arrays of NumPy."""

    def on_leaf(v: Any) -> np.ndarray:
        v = np.asarray(v)
        return v.astype(np.float64) if jnp.issubdtype(v.dtype, jnp.floating) else v

    return jax.tree.map(on_leaf, tree)


def split(species: Species, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Callable[..., Any]]:
    """The differentiable arguments, and how to put them back among the others."""
    at = [i for i, wanted in enumerate(species.differentiable) if wanted]

    def merge(found: tuple[Any, ...]) -> tuple[Any, ...]:
        given = dict(zip(at, found, strict=True))
        return tuple(given.get(i, v) for i, v in enumerate(args))

    return tuple(args[i] for i in at), merge


def gradient(
    species: Species, f: Callable[..., Array], args: tuple[Any, ...], c: Array
) -> tuple[Array, tuple[PyTree, ...]]:
    """The value of f, and its gradient for each differentiable argument."""
    given, merge = split(species, args)
    out, pull = jax.vjp(lambda *given: f(*merge(given)), *given)
    return out, pull(c)


def second(
    species: Species, f: Callable[..., Array], args: tuple[Any, ...], c: Array
) -> tuple[PyTree, ...]:
    """Gradients, by arguments and by cotangent, of the gradient times fixed directions."""
    given, merge = split(species, args)
    rng = np.random.default_rng(3)
    along = jax.tree.map(lambda v: jnp.asarray(rng.standard_normal(v.shape), v.dtype), given)

    def slope(given: tuple[Any, ...], c: Array) -> Array:
        found = gradient(species, f, merge(given), c)[1]
        parts = jax.tree.map(lambda g, u: jnp.sum(g * u), found, along)
        return jax.tree.reduce(jnp.add, parts)

    return jax.grad(slope, (0, 1))(given, c)


@cache
def _true(species: Species, order: int) -> Callable[..., Any]:
    what = gradient if order == 1 else second
    return jax.jit(lambda args, c: what(species, species.twin, args, c))


def truth(species: Species, args: tuple[Any, ...], c: Array, order: int = 1) -> PyTree:
    """`gradient` or `second` of the twin, in float64."""
    with jax.enable_x64(True):
        return wide64(_true(species, order)(wide64(args), wide64(c)))
