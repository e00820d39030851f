"""A jaxpr at wider numbers than it was traced for: what float64 makes of a float32 function."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, JaxprEqn

from jaxlr.check.graph.evaluate import CALLS, LOOPS, bind, inner, loop, run

_WIDE = {"f": np.float64, "c": np.complex128}


def wider(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    """Evaluate a jaxpr with everything floating in 64 bits, whatever its equations say.

    No custom rule is left, JAX's own neither: a rule is made for the types it was traced for.
    """
    found = run(closed, [_widen(v) for v in args], _visit)
    return [_widen(v) for v in found]


def _visit(eqn: JaxprEqn, values: list[Any]) -> Sequence[Any]:
    values = [_widen(v) for v in values]
    if eqn.primitive in CALLS:
        return wider(inner(eqn), values)
    if eqn.primitive in LOOPS:
        return loop(eqn, values, wider)
    if eqn.primitive.name == "reduce_precision":
        return values
    changed = {key: _wide_of(v) for key, v in eqn.params.items() if _is_narrow(v)}
    return bind(eqn, values, **changed)


def _widen(v: Any) -> Array:
    v = jnp.asarray(v)
    return v.astype(_wide_of(v.dtype)) if _is_narrow(v.dtype) else v


def _is_narrow(v: Any) -> bool:
    """Whether it is a floating-point type of less than 64 bits."""
    if not isinstance(v, np.dtype | type) or not jnp.issubdtype(v, jnp.inexact):
        return False
    return np.dtype(v) != _wide_of(v)


def _wide_of(v: Any) -> np.dtype:
    return np.dtype(_WIDE["c" if jnp.issubdtype(v, jnp.complexfloating) else "f"])
