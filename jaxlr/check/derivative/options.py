"""The options of a check: each is looked at before anything is compiled."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlr.check.derivative.batches import Axes, axes_of, leading_axes
from jaxlr.check.derivative.layout import Layout
from jaxlr.check.derivative.programs import Programs
from jaxlr.check.derivative.support import shapes

DTYPES = ("float64", "float32", "bfloat16", "float16")
Bounds = tuple[float, float]


def check_options(order: Any, level: Any, accuracy: Any, atol: Any, seed: Any) -> None:
    """Raise for values that an option does not have."""
    for name, value, known in (
        ("order", order, (None, 1, 2)),
        ("level", level, ("full", "quick")),
        ("accuracy", accuracy, ("reference", "inputs", "steps")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}: it may be {', '.join(map(repr, known))}")
    if not 0 <= atol < math.inf:
        raise ValueError(f"atol is {atol}: it must be a number of at least 0")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is {seed!r}: it must be a whole number of at least 0")


def numbers(name: str, given: Any, count: int) -> tuple[int, ...] | None:
    """Return arguments by their numbers, as in `jax.grad`: one, or several, from the end too."""
    if given is None:
        return None
    given = (given,) if isinstance(given, int | np.integer) else tuple(given)
    for i in given:
        if not isinstance(i, int | np.integer) or not -count <= i < count:
            raise ValueError(f"{name} names argument {i!r}, but there are {count} arguments")
    return tuple(int(i) % count for i in given)


def names_of(dtypes: Any) -> tuple[str, ...]:
    """Names of the types that were asked for; all four if none were."""
    if dtypes is None:
        return DTYPES
    if isinstance(dtypes, str) or not isinstance(dtypes, Sequence):
        raise ValueError(f"dtypes is {dtypes!r}: it must be a sequence, as in ('float32',)")
    found = tuple(jax.numpy.dtype(d).name for d in dtypes)
    for name in found:
        if name not in DTYPES:
            raise ValueError(f"dtypes names {name}: judged are {', '.join(DTYPES)}")
    if not found:
        raise ValueError("dtypes is empty: there is nothing to compare")
    return found


def bounds_of(
    layout: Layout, domain: Mapping[int, Bounds] | None, count: int
) -> list[Bounds | None]:
    """Smallest and largest value of every floating-point leaf; None where there is no bound."""
    for number, pair in (domain or {}).items():
        numbers("domain", number, count)
        if not isinstance(pair, Sequence) or len(pair) != 2 or not pair[0] < pair[1]:
            raise ValueError(
                f"domain of argument {number} is {pair!r}: it must be a smaller and a larger number"
            )
    known = {number % count: pair for number, pair in (domain or {}).items()}
    return [known.get(number) for number in layout.argument]


def axes_or_find(run: Programs, args: Any, floats: Any, others: Any, batch_axes: Any) -> Axes:
    """Axis of the rows of every leaf, as it was given or as it is found."""
    if isinstance(batch_axes, str):
        if batch_axes != "find":
            raise ValueError(
                f"batch_axes is {batch_axes!r}: it may be 'find', or as in_axes of vmap"
            )
        return leading_axes(shapes(run), floats, others)
    axes = axes_of(run.layout, args, batch_axes)
    for leaf, axis in zip((*floats, *others), axes, strict=True):
        if axis is not None and not -np.ndim(leaf) <= axis < np.ndim(leaf):
            raise ValueError(
                f"batch_axes names axis {axis} of an array of shape {np.shape(leaf)}: "
                "None says that an argument has no rows"
            )
    return axes
