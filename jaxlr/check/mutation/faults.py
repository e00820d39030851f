"""Faults that show only sometimes: in one element, in the last row, at zero, where it is large.

Each takes a value, array or PyTree, and returns it wrong; NumPy stays NumPy. The names appear in
the text of the mutants, as in ``return zero_where_small(dw), db``.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

PyTree = Any
SMALL = 1e-3  # a gradient as small as this is a saturated one
LARGE = 30.0  # exp(-30) is below the rounding unit in float32; 1 + exp(30) is its exp

OUTPUTS: dict[str, Callable[[PyTree], PyTree]] = {}
INPUTS: dict[str, Callable[[PyTree, PyTree], PyTree]] = {}


def _of_output(fault: Callable[[PyTree], PyTree]) -> Callable[[PyTree], PyTree]:
    return OUTPUTS.setdefault(fault.__name__, fault)


def _of_input(fault: Callable[[PyTree, PyTree], PyTree]) -> Callable[[PyTree, PyTree], PyTree]:
    return INPUTS.setdefault(fault.__name__, fault)


@_of_output
def zero(value: PyTree) -> PyTree:
    """Let nothing arrive."""
    return _on_floats(lambda v: 0 * v, value)


@_of_output
def off_by_a_thousandth(value: PyTree) -> PyTree:
    """Lose accuracy, relative, everywhere."""
    return _on_floats(lambda v: v * (1 + SMALL), value)


@_of_output
def negate_first(value: PyTree) -> PyTree:
    """Turn the sign of the first element."""
    return _on_floats(lambda v: _where(_position(v) == 0, -v, v), value)


@_of_output
def negate_last(value: PyTree) -> PyTree:
    """Turn the sign of the last element: the tail of a block."""
    return _on_floats(lambda v: _where(_position(v) == v.size - 1, -v, v), value)


@_of_output
def double_last_row(value: PyTree) -> PyTree:
    """Count the last row twice."""

    def fault(v: Any) -> Any:
        last = v.size - (v.size // v.shape[0] if v.ndim and v.size else v.size)
        return _where(_position(v) >= last, 2 * v, v)

    return _on_floats(fault, value)


@_of_output
def zero_where_small(value: PyTree) -> PyTree:
    """Lose what is below 1e-3, as a difference of two nearly equal numbers does."""
    return _on_floats(lambda v: _where(abs(v) < SMALL, 0 * v, v), value)


@_of_output
def double_if_traced(value: PyTree) -> PyTree:
    """Be wrong under jit and vmap, right outside."""
    return _on_floats(lambda v: 2 * v if isinstance(v, jax.core.Tracer) else v, value)


@_of_input
def off_by_one_at_zero(value: PyTree, given: PyTree) -> PyTree:
    """Be wrong when an element of an input is exactly 0."""
    return _when(lambda v: v == 0, given, lambda v: v + 1, value)


@_of_input
def nan_at_large(value: PyTree, given: PyTree) -> PyTree:
    """Give NaN when an element of an input is beyond 30."""
    return _when(lambda v: abs(v) > LARGE, given, lambda v: v * np.nan, value)


def ones_like(value: PyTree) -> PyTree:
    """Take an input for 1: the cotangent of a loss that is not scaled."""
    return _on_floats(lambda v: (jnp if isinstance(v, jax.Array) else np).ones_like(v), value)


def _when(
    happens: Callable[[Any], Any],
    given: PyTree,
    fault: Callable[[Any], Any],
    value: PyTree,
) -> PyTree:
    """``fault`` on the whole of ``value`` where something happens anywhere in ``given``."""
    at = [happens(_as_array(v)).any() for v in jax.tree.leaves(given) if _is_floating(v)]
    if not at:
        raise TypeError("this input holds no floating-point array")
    anywhere = at[0]
    for one in at[1:]:
        anywhere = anywhere | one
    return _on_floats(lambda v: _where(anywhere, fault(v), v), value)


def _on_floats(fault: Callable[[Any], Any], value: PyTree) -> PyTree:
    if not any(map(_is_floating, jax.tree.leaves(value))):
        raise TypeError("this value holds no floating-point array")
    return jax.tree.map(lambda v: fault(_as_array(v)) if _is_floating(v) else v, value)


def _is_floating(v: Any) -> bool:
    return isinstance(v, float) or (hasattr(v, "dtype") and jnp.issubdtype(v.dtype, jnp.floating))


def _as_array(v: Any) -> Any:
    return np.float64(v) if isinstance(v, float) else v


def _position(v: Any) -> np.ndarray:
    return np.arange(v.size).reshape(v.shape)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, jax.Array) or isinstance(no, jax.Array):
        return jnp.where(condition, yes, no)
    return np.where(condition, yes, no)[()]
