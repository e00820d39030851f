"""The smallest input at which a check still fails, by greedy delta debugging."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr.check.smallest.arrays import is_array
from jaxlr.check.smallest.axes import dimensions
from jaxlr.check.smallest.rounder import simplify
from jaxlr.check.smallest.search import Search, State
from jaxlr.check.smallest.sizes import shrink

PyTree = Any


class Smallest(NamedTuple):
    """A small input that fails, and how many inputs were tried to find it."""

    args: tuple[PyTree, ...]
    cotangent: PyTree
    tried: int


def smallest(
    args: tuple[PyTree, ...],
    cotangent: PyTree,
    fails: Callable[[tuple[PyTree, ...], PyTree], bool],
    shape_of: Callable[[tuple[PyTree, ...]], PyTree],
    seconds: float = 10.0,
    *,
    tries: int = 1000,
    shapes: int = 24,
) -> Smallest:
    """Make a failing input smaller: fewer rows and features first, then rounder numbers.

    Parameters
    ----------
    args : tuple of PyTree
        Arguments that fail. Leaves that are no arrays of numbers stay as they are.
    cotangent : PyTree of arrays
        Cotangent of the output that fails with them; of the output's structure and shapes. None
        and float0 may stand at outputs without one.
    fails : callable
        ``fails(args, cotangent)``, whether it still fails there. Where it raises, it does not.
    shape_of : callable
        ``shape_of(args)``, the output as a PyTree of ``jax.ShapeDtypeStruct``; it raises where
        the shapes do not fit. `jax.eval_shape` of the function will do.
    seconds : float
        After this time no new try begins, and after 70 % of it none of a new shape.
    tries, shapes : int
        At most so many inputs, and so many new shapes: each is a compilation.

    Returns
    -------
    Smallest
        Arguments and cotangent that fail, of the kind (JAX's, NumPy's) and dtypes they came in.

    Raises
    ------
    ValueError
        If the given input does not fail, or the cotangent does not fit the output.

    Notes
    -----
    Axes of one length are cut together where the function takes them only together, and apart
    where it takes them apart. The search has no randomness: if the time suffices, the same input
    gives the same answer. It is a minimum among the steps that were tried, not of all inputs.

    References
    ----------
    Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> x = np.linspace(-20.0, 20.0, 64)
    >>> found = smallest(
    ...     (x,), np.cos(x), lambda args, c: args[0].max() > 16.64, lambda args: args[0]
    ... )
    >>> found.args, found.cotangent
    ((array([20.]),), array([1.]))
    """
    search = _start(args, cotangent, fails, shape_of, (seconds, tries, shapes))
    search.begin()
    tied = dimensions(search.best.args, lambda leaves: search.outputs(leaves) is not None)
    while True:
        before = search.best
        shrink(search, tied)
        simplify(search)
        if search.best is before:
            return Smallest(*search.trees(search.best), search.tried)


def _start(
    args: tuple[PyTree, ...],
    cotangent: PyTree,
    fails: Callable[[tuple[PyTree, ...], PyTree], bool],
    shape_of: Callable[[tuple[PyTree, ...]], PyTree],
    limits: tuple[float, int, int],
) -> Search:
    leaves, args_tree = jax.tree.flatten(args)
    out, out_tree = jax.tree.flatten(shape_of(args))
    along = out_tree.flatten_up_to(cotangent)
    for i, (o, c) in enumerate(zip(out, along, strict=True)):
        if is_array(c) and np.shape(c) != tuple(o.shape):
            raise ValueError(
                f"leaf {i} of the cotangent has shape {np.shape(c)}, "
                f"but the output has {tuple(o.shape)} there"
            )
    best = State(tuple(leaves), tuple(along))
    return Search(args_tree, out_tree, fails, shape_of, best, *limits)
