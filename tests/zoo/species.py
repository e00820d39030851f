"""What a species of the zoo is, how a fault is planted in it, and the rule it makes for JAX."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

PyTree = Any


class Species(NamedTuple):
    """A function and its derivative by hand, right and accurate in every dtype.

    ``twin(*args)`` is the function in plain JAX, right under autodiff in float64; the value whose
    derivative node ``"dz"`` is, it names ``"z"`` with `jax.ad_checkpoint.checkpoint_name`.
    ``forward(*args)`` returns the result and what ``backward`` reads; ``backward(saved,
    cotangent, at)`` returns a gradient for each differentiable argument, and passes every node
    gradient through ``at(node, value, context)``, in the order of ``nodes``. The first node,
    ``"dout"``, is the cotangent as the backward pass takes it.

    ``sample(rng, n, dtype)`` gives ordinary arguments. ``differentiable`` says of each argument
    whether it is to have a gradient, ``stretched`` whether it may be taken to extremes, and
    ``order`` how often the rule may be differentiated.
    """

    name: str
    twin: Callable[..., Array]
    forward: Callable[..., tuple[Array, Any]]
    backward: Callable[..., tuple[PyTree, ...]]
    sample: Callable[[np.random.Generator, int, Any], tuple[Any, ...]]
    nodes: tuple[str, ...]
    differentiable: tuple[bool, ...]
    stretched: tuple[bool, ...]
    order: int = 2


class Context(NamedTuple):
    """What a fault may need to know of the place where it is planted.

    ``value`` is the forward value of the node, ``labels`` are 0 or 1 in a shape that goes with
    the gradient's, ``terms`` add up to the gradient, ``summands()`` do so along the rows,
    ``divisor`` is what a mean divides by, ``textbook()`` is the formula that loses digits,
    ``sibling()`` the gradient of another argument of the same shape, and ``rows`` says whether
    the first axis is that of the batch. In context of the primal, ``differentiated`` tells the
    forward pass of the rule from a plain call.
    """

    dtype: Any
    saved: Any
    cotangent: Array | None = None
    value: Array | None = None
    labels: Array | None = None
    terms: tuple[Array, ...] = ()
    summands: Callable[[], Array] | None = None
    divisor: Array | None = None
    textbook: Callable[[], Array] | None = None
    sibling: Callable[[], Array] | None = None
    rows: bool = False
    differentiated: bool = True


class Fault(NamedTuple):
    """A wrong derivative: ``build(value, context)`` in place of the gradient at one node.

    ``node`` is the culprit, ``"out"`` for the primal. A fault of two nodes, such as two
    gradients exchanged, has the other in ``also``. ``shows`` tells on which inputs, or in which
    use, it can be seen; ``operator`` what kind it is.
    """

    species: str
    node: str
    name: str
    build: Callable[[Array, Context], Array]
    shows: str = "anywhere"
    operator: str = "by hand"
    also: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name within the whole zoo."""
        return f"{self.species}, {self.node}: {self.name}"

    @property
    def culprits(self) -> frozenset[str]:
        """Nodes at which the gradient itself is wrong, and not merely inherits."""
        return frozenset((self.node, *self.also))


def plant(fault: Fault | None) -> Callable[[str, Array, Context], Array]:
    """The ``at`` of a backward pass: the identity, but for the node of the fault."""

    def at(node: str, value: Array, context: Context) -> Array:
        if fault is None or node not in fault.culprits:
            return value
        found = fault.build(value, context)
        if (found.shape, found.dtype) != (value.shape, value.dtype):
            raise ValueError(f"{fault.id} makes {found.shape} {found.dtype} of {value.aval}")
        return found

    return at


def rule(species: Species, fault: Fault | None = None) -> Callable[..., Array]:
    """The function of a species with its derivative by hand, as `jax.custom_vjp`."""
    at = plant(fault)

    def run(differentiated: bool, *args: Any) -> tuple[Array, Any]:
        out, saved = species.forward(*args)
        return at("out", out, Context(out.dtype, saved, differentiated=differentiated)), saved

    @jax.custom_vjp
    def f(*args: Any) -> Array:
        return run(False, *args)[0]

    def bwd(saved: Any, cotangent: Array) -> tuple[PyTree, ...]:
        found = iter(species.backward(saved, cotangent, at))
        return tuple(next(found) if wanted else None for wanted in species.differentiable)

    f.defvjp(lambda *args: run(True, *args), bwd)
    return f


def node_gradients(
    species: Species, args: tuple[Any, ...], cotangent: Array, fault: Fault | None = None
) -> dict[str, Array]:
    """Gradient at every node by hand, downstream of the fault with what they inherit of it."""
    found, plain = {}, plant(fault)

    def at(node: str, value: Array, context: Context) -> Array:
        found[node] = plain(node, value, context)
        return found[node]

    species.backward(species.forward(*args)[1], cotangent, at)
    return found


def wide(tree: PyTree) -> PyTree:
    """Floating point in at least float32: half precision is computed there and rounded once."""
    return jax.tree.map(
        lambda v: v.astype(jnp.float32) if jnp.finfo(v.dtype).bits < 32 else v, tree
    )


def like(gradients: PyTree, args: PyTree) -> PyTree:
    """Gradients in the types of what they belong to."""
    return jax.tree.map(lambda g, v: g.astype(v.dtype), gradients, args)


def dot(a: Array, b: Array) -> Array:
    """Product of matrices in the full precision of their type."""
    return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    """Standard normal numbers, away from 0 by what float16 can tell."""
    return jnp.asarray(rng.standard_normal(shape), dtype)


def labels(rng: np.random.Generator, n: int, classes: int = 2) -> Array:
    """Integer labels; every class occurs if there are rows enough."""
    return jnp.asarray(rng.permutation(np.arange(n) % classes), jnp.int32)


def soft_labels(rng: np.random.Generator, n: int, dtype: Any) -> Array:
    """Labels 1, 0 and 1/4, in any order."""
    return jnp.asarray(rng.permutation(np.resize([1.0, 0.0, 0.25], n)), dtype)
