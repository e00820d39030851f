"""The arguments of a function: which of their leaves move, and how to call it with others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr.check.graph.body import is_array
from jaxlr.check.graph.nodes import argument_names

PyTree = Any


@dataclass(frozen=True)
class Layout:
    """Leaves of the arguments, sorted into floating point, other arrays, and all else.

    Attributes
    ----------
    tree : PyTreeDef
        Structure of the tuple of arguments.
    floats, others : tuple of int
        Positions of the floating-point leaves, and of arrays of integers, booleans and keys.
    static : tuple
        Pairs of position and value of the leaves that are no arrays: handed on as they are.
    wanted : tuple of bool
        Of each floating-point leaf, whether the derivative by it is judged.
    varied : tuple of bool
        Whether its values may be taken anywhere; of the others, 0 and 1 are exact: labels, masks.
    names : tuple of str
        Of each floating-point leaf, as in ``params.w``.
    argument : tuple of int
        Of each floating-point leaf, the argument that it belongs to.
    """

    tree: Any
    floats: tuple[int, ...]
    others: tuple[int, ...]
    static: tuple[tuple[int, Any], ...]
    wanted: tuple[bool, ...]
    varied: tuple[bool, ...]
    names: tuple[str, ...]
    argument: tuple[int, ...]

    def arguments(self, floats: Sequence[Any], others: Sequence[Any]) -> tuple[Any, ...]:
        """Arguments with these leaves."""
        found = dict(self.static)
        found |= dict(zip(self.floats, floats, strict=True))
        found |= dict(zip(self.others, others, strict=True))
        return self.tree.unflatten([found[i] for i in range(len(found))])

    def call(self, f: Callable[..., Any], floats: Sequence[Any], others: Sequence[Any]) -> Any:
        """Floating-point leaves of what ``f`` returns, as a list; of integers nothing is judged."""
        return floating(f(*self.arguments(floats, others)))

    @property
    def moving(self) -> list[int]:
        """Which of the floating-point leaves are wanted."""
        return [i for i, wanted in enumerate(self.wanted) if wanted]


def floating(tree: PyTree) -> list[Any]:
    """Floating-point leaves of a tree of arrays."""
    return [v for v in jax.tree.leaves(tree) if _is_floating(v)]


def in_tree(outputs: PyTree, cotangent: Sequence[Any]) -> PyTree:
    """Cotangents of the floating-point outputs in the tree of all; None for the others."""
    given = iter(cotangent)
    return jax.tree.map(lambda v: next(given) if _is_floating(v) else None, outputs)


def layout(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: Sequence[int] | None,
    vary: Sequence[int] | None = None,
) -> tuple[Layout, list[Any], list[Any]]:
    """Sort the leaves of ``args``: their layout, the floating-point ones, the other arrays."""
    chosen = range(len(args)) if argnums is None else argnums
    found, tree = jax.tree_util.tree_flatten_with_path(args)
    names = argument_names(f, len(args))
    floats, others, static = [], [], []
    for i, (path, leaf) in enumerate(found):
        number = path[0].idx
        name = names[number] + jax.tree_util.keystr(path[1:])
        if argnums is not None and number in chosen and isinstance(leaf, float):
            leaf = np.asarray(leaf)
        if is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            raise ValueError(f"{name} is complex: derivatives by real arguments are judged")
        if not is_array(leaf):
            static.append((i, leaf))
        elif _is_floating(leaf):
            floats.append((i, name, number, np.asarray(leaf)))
        else:
            others.append((i, jnp.asarray(leaf)))  # one type of integers throughout
    wanted = tuple(number in chosen for _, _, number, _ in floats)
    if not any(wanted) or not sum(v.size for (*_, v), w in zip(floats, wanted, strict=True) if w):
        raise ValueError(
            "nothing to differentiate by: the arguments hold no floating-point array "
            "(or an empty one)" + ("" if argnums is None else f" among argnums {tuple(argnums)}")
        )
    made = Layout(
        tree,
        tuple(i for i, *_ in floats),
        tuple(i for i, _ in others),
        tuple(static),
        wanted,
        wanted if vary is None else tuple(number in vary for _, _, number, _ in floats),
        tuple(name for _, name, _, _ in floats),
        tuple(number for _, _, number, _ in floats),
    )
    return made, [v for *_, v in floats], [v for _, v in others]


def _is_floating(v: Any) -> bool:
    dtype = getattr(v, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.floating)
