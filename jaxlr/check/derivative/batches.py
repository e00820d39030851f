"""Other numbers of rows: which axes are the batch, and arguments with fewer or more of them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr.check.derivative.layout import Layout

SIZES = (1, 2, 7, 8, 9, 64)
ODD = 1021  # a prime: no multiple of any block
_MOST = 2**18  # numbers in the arguments for which so many rows are tried, else ODD_SMALL
ODD_SMALL = 131

Axes = tuple[int | None, ...]


def leading_axes(
    shape_of: Callable[[Sequence[Any], Sequence[Any]], Any],
    floats: Sequence[Any],
    others: Sequence[Any],
) -> Axes:
    """Leaves whose first axis may have another length together: floats first, then others.

    Leaves of equal first length are tried together, then the first of them alone. Where there are
    integers, they must be among them.
    """
    leaves = [*floats, *others]
    lengths = [np.shape(v)[0] if np.ndim(v) else None for v in leaves]
    for n in dict.fromkeys(length for length in lengths if length):
        members = [i for i, length in enumerate(lengths) if length == n]
        for group in (members, members[:1]):
            if others and not any(i >= len(floats) for i in group):
                continue  # integers may point into what would become shorter
            axes = tuple(0 if i in group else None for i in range(len(leaves)))
            if all(_fits(shape_of, leaves, axes, size, len(floats)) for size in (1, n + 3)):
                return axes
    return (None,) * len(leaves)


def axes_of(layout: Layout, args: tuple[Any, ...], batch_axes: Any) -> Axes:
    """Batch axes as `jax.vmap` takes ``in_axes``, for every leaf."""
    if batch_axes is None or isinstance(batch_axes, int):
        batch_axes = (batch_axes,) * len(args)
    if len(batch_axes) != len(args):
        raise ValueError(f"batch_axes has {len(batch_axes)} entries for {len(args)} arguments")
    leaves: list[int | None] = []
    for axis, arg in zip(batch_axes, args, strict=True):
        leaves += [axis] * len(jax.tree.leaves(arg))
    return tuple(leaves[i] for i in (*layout.floats, *layout.others))


def resized(leaves: Sequence[Any], axes: Axes, rows: int, rng: np.random.Generator) -> list[Any]:
    """Leaves with so many rows, drawn from those there are; floating-point ones moved a little."""
    lengths = {np.shape(v)[axis] for v, axis in zip(leaves, axes, strict=True) if axis is not None}
    n = max(lengths)
    take = np.concatenate([rng.permutation(n) for _ in range(-(-rows // n))])[:rows]
    return [
        v if axis is None else _drawn(v, axis, take, rng)
        for v, axis in zip(leaves, axes, strict=True)
    ]


def odd_size(leaves: Sequence[Any], axes: Axes) -> int:
    """Return a prime number of rows, fewer where rows are long."""
    row = sum(
        np.size(v) // max(1, np.shape(v)[axis])
        for v, axis in zip(leaves, axes, strict=True) if axis is not None
    )  # fmt: skip
    return ODD if ODD * row <= _MOST else ODD_SMALL


def _drawn(v: Any, axis: int, take: np.ndarray, rng: np.random.Generator) -> Any:
    if not isinstance(v, np.ndarray) or not jnp.issubdtype(v.dtype, jnp.floating):
        return jnp.take(v, take, axis=axis)
    found = np.take(v, take, axis=axis)
    return found * (1 + 0.1 * rng.uniform(-1, 1, found.shape))


def _fits(
    shape_of: Callable[[Sequence[Any], Sequence[Any]], Any],
    leaves: list[Any],
    axes: Axes,
    rows: int,
    floats: int,
) -> bool:
    changed = [
        v if axis is None else jax.ShapeDtypeStruct((rows, *np.shape(v)[1:]), v.dtype)
        for v, axis in zip(leaves, axes, strict=True)
    ]
    try:
        shape_of(changed[:floats], changed[floats:])
    except Exception:  # whatever a function says to shapes that it does not take
        return False
    return True
