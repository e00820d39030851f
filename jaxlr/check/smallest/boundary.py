"""Where an error first exceeds its budget: between an input that passes and one that fails."""

from collections.abc import Callable
from typing import Any

import jax
import ml_dtypes
import numpy as np

from jaxlr.check.smallest.arrays import alike, is_array, is_floating, same

PyTree = Any


def boundary(
    passes: tuple[PyTree, ...],
    fails_at: tuple[PyTree, ...],
    fails: Callable[[tuple[PyTree, ...]], bool],
    steps: int = 60,
) -> tuple[tuple[PyTree, ...], tuple[PyTree, ...]]:
    """Bisect the straight line from arguments that pass to arguments that fail.

    Parameters
    ----------
    passes, fails_at : tuple of PyTree
        Two inputs of one structure, equal in all but their floating-point arrays.
    fails : callable
        ``fails(args)``, whether it fails there.
    steps : int
        At most so many halvings; it ends where no number lies between the two.

    Returns
    -------
    tuple
        Arguments that just pass and arguments that just fail, of the dtypes they came in. With
        more than one change along the line it is one of them.

    Raises
    ------
    ValueError
        If the two have other structures, shapes, dtypes or other values than floating-point
        ones, if ``passes`` fails, or if ``fails_at`` does not.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.float32(1)
    >>> low, high = boundary((one,), (0 * one,), lambda args: one + args[0] == one)
    >>> float(low[0]), float(high[0]), 2.0**-24
    (5.960465188081798e-08, 5.960464477539063e-08, 5.960464477539063e-08)
    """
    (low, tree), (high, other) = jax.tree.flatten(passes), jax.tree.flatten(fails_at)
    _check_one_line(low, high, tree == other)
    if fails(passes):
        raise ValueError("the input that should pass fails: there is no boundary between the two")
    if not fails(fails_at):
        raise ValueError("the input that should fail passes: there is no boundary between the two")
    for _ in range(steps):
        middle = [_middle(a, b) for a, b in zip(low, high, strict=True)]
        if _equal(middle, low) or _equal(middle, high):
            break
        if fails(tree.unflatten(middle)):
            high = middle
        else:
            low = middle
    return tree.unflatten(low), tree.unflatten(high)


def _middle(a: Any, b: Any) -> Any:
    if not is_floating(a):
        return a
    low, high = np.asarray(a), np.asarray(b)
    largest = float(ml_dtypes.finfo(low.dtype).max)  # infinity has no middle with anything
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        near, far = (np.clip(v.astype(np.float64), -largest, largest) for v in (low, high))
        middle, near, far = (v.astype(low.dtype) for v in (near / 2 + far / 2, near, far))
    middle = np.where(np.isinf(high) & (middle == low), far, middle)
    middle = np.where(np.isinf(low) & (middle == high), near, middle)
    return alike(np.where(low == high, low, middle), a)


def _equal(ours: list[Any], theirs: list[Any]) -> bool:
    floating = ((a, b) for a, b in zip(ours, theirs, strict=True) if is_floating(a))
    return all(same(a, b) for a, b in floating)


def _check_one_line(low: list[Any], high: list[Any], alike_trees: bool) -> None:
    if not alike_trees:
        raise ValueError("the two inputs have different structures: no line joins them")
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        if is_array(a) and is_array(b):
            if (np.shape(a), a.dtype) != (np.shape(b), b.dtype):
                raise ValueError(f"leaf {i} is {_kind(a)} in one input and {_kind(b)} in the other")
            if is_floating(a) or same(a, b):
                continue
        elif a is b or (type(a) is type(b) and a == b):
            continue
        raise ValueError(f"leaf {i}, not floating point, differs: no line joins the two inputs")


def _kind(leaf: Any) -> str:
    return f"{leaf.dtype} of shape {np.shape(leaf)}"
