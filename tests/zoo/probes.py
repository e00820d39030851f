"""Inputs on which a fault may show: ordinary ones, and those where real faults hide."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from zoo.faults import ROWS
from zoo.species import Species


class Probe(NamedTuple):
    """Arguments and a cotangent."""

    name: str
    args: tuple[Any, ...]
    cotangent: Array


def probes(species: Species, dtype: Any, n: int = ROWS) -> Iterator[Probe]:
    """Ordinary arguments first, then odd cotangents, exact zeros, saturated rows, a single row."""
    rng = np.random.default_rng(7)
    args = species.sample(rng, n, dtype)
    out = jax.eval_shape(species.twin, *args)
    c = jnp.asarray(rng.standard_normal(out.shape), dtype)
    yield Probe("ordinary", args, _full(out.shape, 1, dtype))
    yield Probe("cotangent of both signs", args, c)
    for size in (3, -1000, 1e-4):
        yield Probe(f"cotangent {size}", args, _full(out.shape, size, dtype))
    leaves = range(len(jax.tree.leaves(_stretched(species, args))))
    every = tuple(leaves)
    for some in dict.fromkeys((every, *combinations(leaves, 1), *combinations(leaves, 2))):
        yield Probe(f"zero {some}", _change(species, args, np.zeros_like, some), c)
        if len(some) == 1 or some == every:
            yield Probe(f"one zero {some}", _change(species, args, _one_zero, some), c)
            yield Probe(f"far {some}", _change(species, args, _far, some), c)
    for size in (3, -3, 10, -10, 30, -30):
        yield Probe(f"{size}", _change(species, args, partial(_times, size), every), c)
    if n > 1:
        for probe in probes(species, dtype, 1):
            yield probe._replace(name=f"{probe.name}, one row")


def _stretched(species: Species, args: tuple[Any, ...]) -> list[Any]:
    return [v for v, yes in zip(args, species.stretched, strict=True) if yes]


def _change(
    species: Species,
    args: tuple[Any, ...],
    change: Callable[[np.ndarray], np.ndarray],
    some: tuple[int, ...],
) -> tuple[Any, ...]:
    """Arguments with some of the leaves that may be stretched changed.

    In NumPy: JAX compiles each operation anew for each shape and type.
    """
    leaves, tree = jax.tree.flatten(_stretched(species, args))
    found = [
        jnp.asarray(change(np.asarray(v)), v.dtype) if i in some else v
        for i, v in enumerate(leaves)
    ]
    changed = iter(tree.unflatten(found))
    pairs = zip(args, species.stretched, strict=True)
    return tuple(next(changed) if yes else v for v, yes in pairs)


def _full(shape: tuple[int, ...], value: float, dtype: Any) -> Array:
    return jnp.asarray(np.full(shape, value), dtype)


def _one_zero(v: np.ndarray) -> np.ndarray:
    changed = v.copy()
    changed.flat[0] = 0
    return changed


def _far(v: np.ndarray) -> np.ndarray:
    return v.dtype.type(100) * v + v.dtype.type(20) * np.sign(v)


def _times(size: float, v: np.ndarray) -> np.ndarray:
    return v.dtype.type(size) * v
