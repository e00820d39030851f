"""Which axes of the arguments are one dimension: the rows of X, of y and of the weights.

Axes are tied when the function takes them only together. That is asked of the shapes: make some
axes longer by one, and see whether the output still has a shape. Longer and not shorter, for an
axis of length 1 would fit everywhere by broadcasting.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from jaxlr.check.smallest.arrays import is_array

_PROBES = 100  # sets of axes asked about, for each length


class Axis(NamedTuple):
    """One axis of one leaf of the arguments."""

    leaf: int
    axis: int


Dimension = tuple[Axis, ...]


def dimensions(leaves: Sequence[Any], fits: Callable[[tuple[Any, ...]], bool]) -> list[Dimension]:
    """Return the smallest sets of equally long axes that change length together, longest first.

    Parameters
    ----------
    leaves : sequence
        Leaves of the arguments; those that are no arrays stay as they are.
    fits : callable
        ``fits(leaves)``, whether the function takes arguments of these shapes.

    Returns
    -------
    list of tuple of Axis
        Disjoint. Axes of length 1, and those that no change fits, are in none of them.

    Examples
    --------
    >>> X, y, w = np.ones((2, 2)), np.ones(2), np.ones(2)
    >>> def fits(leaves):
    ...     X, y, w = leaves
    ...     return X.shape == (len(y), len(w))
    >>> for tied in dimensions((X, y, w), fits):
    ...     print([("X", "y", "w")[axis.leaf] + str(axis.axis) for axis in tied])
    ['X0', 'y0']
    ['X1', 'w0']
    """
    of_length: dict[int, list[Axis]] = {}
    for i, leaf in enumerate(leaves):
        for axis, length in enumerate(np.shape(leaf) if is_array(leaf) else ()):
            of_length.setdefault(length, []).append(Axis(i, axis))
    return [
        tied
        for length in sorted(of_length, reverse=True)
        if length > 1
        for tied in _tied(leaves, of_length[length], length, fits)
    ]


def _tied(
    leaves: Sequence[Any],
    axes: list[Axis],
    length: int,
    fits: Callable[[tuple[Any, ...]], bool],
) -> Iterator[Dimension]:
    def ask(chosen: Dimension) -> bool:
        # Twice as long: a function that folds its rows into eights takes no row more.
        return any(fits(_longer(leaves, chosen, to)) for to in (length + 1, 2 * length))

    rest, probes = list(axes), 0
    for size in range(1, len(axes) + 1):
        for chosen in combinations(tuple(rest), size):
            if not set(chosen) <= set(rest):
                continue
            probes += 1
            if probes > _PROBES:
                chosen = tuple(rest)
            if ask(chosen):
                yield chosen
                rest = [axis for axis in rest if axis not in chosen]
            if probes > _PROBES:
                return


def _longer(leaves: Sequence[Any], chosen: Dimension, to: int) -> tuple[Any, ...]:
    """Zeros in the place of every leaf whose axes are chosen, of the new length there."""
    longer = list(leaves)
    for i in {axis.leaf for axis in chosen}:
        shape = list(np.shape(leaves[i]))
        for axis in chosen:
            if axis.leaf == i:
                shape[axis.axis] = to
        longer[i] = np.zeros(shape, leaves[i].dtype)
    return tuple(longer)
