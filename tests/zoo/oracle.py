"""The truth: autodiff of the twin in float64, and how far rounding may take one from it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Jaxpr, Literal

from zoo.species import Species

PyTree = Any
# XLA takes 0 for less than the smallest normal number; what follows multiplies it by hundreds.
FLUSHED = 1000 * float(jnp.finfo(jnp.float32).tiny)
_NEARBY = 2.0**-26  # relative; float64 resolves its effect to 8 digits


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
    along = jax.tree.map(lambda v: jnp.asarray(rng.choice([-1, 1], v.shape), v.dtype), given)

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


def flat(tree: PyTree) -> np.ndarray:
    """All numbers of a tree in one row, in float64."""
    return np.concatenate([np.ravel(v) for v in jax.tree.leaves(wide64(tree))])


def allowed(
    species: Species, args: tuple[Any, ...], c: Array, eps: float, order: int = 1
) -> np.ndarray:
    """Error that rounding explains: what changes of the inputs by ``32 eps`` do to the gradient.

    Every element of the inputs is moved on its own, up or down; the most that eight such moves do
    is taken, for sums of terms of either sign lose what the terms are moved by.
    """
    rng = np.random.default_rng(11)
    here = flat(truth(species, args, c, order))

    def moved(v: np.ndarray) -> np.ndarray:
        if not np.issubdtype(v.dtype, np.floating):
            return v
        return v * (1 + _NEARBY * rng.choice([-1.0, 1.0], v.shape))

    exact = wide64((args, c))
    nearby = [jax.tree.map(moved, exact) for _ in range(8)]
    change = [abs(flat(truth(species, *near, order)) - here) for near in nearby]
    return 32 * eps * np.max(change, axis=0) / _NEARBY + 4 * eps * abs(here)


def true_nodes(species: Species, args: tuple[Any, ...], c: Array) -> dict[str, np.ndarray]:
    """Gradient at every name of the twin, by adding zeros there and differentiating by those."""
    with jax.enable_x64(True):
        args, c = wide64(args), wide64(c)
        closed = jax.make_jaxpr(species.twin)(*args)
        names = {e.params["name"]: e.outvars[0].aval for e in _named(closed.jaxpr)}
        zeros = {name: jnp.zeros(aval.shape, aval.dtype) for name, aval in names.items()}
        leaves = jax.tree.leaves(args)

        def moved(zeros: dict[str, Array]) -> Array:
            return _evaluate(closed.jaxpr, closed.consts, leaves, zeros)

        found = jax.jit(lambda zeros: jax.vjp(moved, zeros)[1](c)[0])(zeros)
        return {f"d{name}": np.asarray(v) for name, v in found.items()}


def _named(jaxpr: Jaxpr) -> list[Any]:
    return [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "name"]


def _evaluate(jaxpr: Jaxpr, consts: Any, args: Any, added: dict[str, Array]) -> Array:
    """Run a jaxpr with something added to each value that has a name."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    for eqn in jaxpr.eqns:
        values = [v.val if isinstance(v, Literal) else known[v] for v in eqn.invars]
        if eqn.primitive.name == "name":
            found = [values[0] + added[eqn.params["name"]]]
        else:
            bound = eqn.primitive.get_bind_params(eqn.params)  # a pair, or parameters alone
            functions, params = bound if isinstance(bound, tuple) else ((), bound)
            found = eqn.primitive.bind(*functions, *values, **params)
            found = found if eqn.primitive.multiple_results else [found]
        known.update(zip(eqn.outvars, found, strict=True))
    (out,) = jaxpr.outvars
    return known[out]
