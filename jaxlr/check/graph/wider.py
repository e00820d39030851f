"""A jaxpr at wider numbers than it was traced for: what float64 makes of a float32 function."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxprs_in_params

from jaxlr.check.graph.body import inlined, is_array, trace
from jaxlr.check.graph.evaluate import CALLS, LOOPS, bind, inner, loop, run

_WIDE = {"f": np.float64, "c": np.complex128}


def undecorated(closed: ClosedJaxpr, wide: ClosedJaxpr | None) -> Callable[..., list[Array]]:
    """Evaluate what a rule is for, without rules; ``wide`` is the same as traced in float64."""
    wide = None if wide is None or _has_narrow(wide.jaxpr) else wide

    def fits(which: ClosedJaxpr, values: Sequence[Any]) -> bool:
        pairs = zip(values, _dtypes(which), strict=True)
        return all(v.dtype == t for v, t in pairs if jnp.issubdtype(t, jnp.inexact))

    def evaluate(*values: Any) -> list[Array]:
        values = tuple(map(jnp.asarray, values))
        for which in (closed, wide):
            if which is not None and fits(which, values):
                pairs = zip(values, _dtypes(which), strict=True)
                return inlined(which, [v if v.dtype == t else v.astype(t) for v, t in pairs])
        return wider(closed, values)

    return evaluate


def follows(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function, which of float64 computes nothing in less, casts or not."""

    @functools.wraps(f)
    def wide(*args: Any) -> Any:
        leaves = [v for v in jax.tree.leaves(args) if is_array(v)]
        if not any(v.dtype == np.float64 for v in leaves):
            return f(*args)
        closed, given, unflatten = trace(f, args, {})
        return unflatten(wider(closed, given)) if _has_narrow(closed.jaxpr) else f(*args)

    return wide


def _has_narrow(jaxpr: Jaxpr) -> bool:
    """Whether a function of float64 casts to less inside."""
    found: list[Any] = [v.aval for eqn in jaxpr.eqns for v in eqn.outvars]
    inside = (part for eqn in jaxpr.eqns for part in jaxprs_in_params(eqn.params))
    return any(_is_narrow(getattr(v, "dtype", None)) for v in found) or any(
        map(_has_narrow, inside)
    )


def _dtypes(closed: ClosedJaxpr) -> list[Any]:
    avals: list[Any] = [v.aval for v in closed.jaxpr.invars]
    return [aval.dtype for aval in avals]


def widened(args: Any) -> Any:
    """Make floating-point arrays of a PyTree float64; all else is left as it is."""
    return jax.tree.map(lambda v: _widen(v) if is_array(v) else v, args)


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
