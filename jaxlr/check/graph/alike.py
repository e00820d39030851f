"""Whether two equations call the same custom rule: what they are called, and what they do."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import JaxprEqn
from jax.extend.core.primitives import jit_p, remat_p

from jaxlr.check.graph.evaluate import RULES, bind, inner


def label(eqn: JaxprEqn) -> str:
    """Return what a path calls an equation."""
    if eqn.primitive is jit_p:
        return eqn.params["name"]
    if eqn.primitive is remat_p:
        return "remat"
    if eqn.primitive not in RULES:
        return eqn.primitive.name
    source = getattr(getattr(inner(eqn).jaxpr, "debug_info", None), "func_src_info", None)
    return (source or eqn.primitive.name).partition(" at ")[0]


def differentiable(eqn: JaxprEqn) -> tuple[bool, ...]:
    """Which of its inputs are floating point or complex."""
    return tuple(_is_inexact(v) for v in _shapes(eqn.invars))


def _shapes(variables: Any) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in variables]


def _is_inexact(v: Any) -> bool:
    return jnp.issubdtype(v.dtype, jnp.inexact)


def behaviour(eqn: JaxprEqn) -> Any:
    """Name, value and derivative of a rule as text; where that fails, the equation itself."""
    wanted = differentiable(eqn)
    cotangents = [v for v in _shapes(eqn.outvars) if _is_inexact(v)]

    def both(given: list[Array], cotangents: list[Array]) -> Any:
        def f(some: list[Array]) -> tuple[list[Array], list[Array]]:
            new = iter(some)
            merged = [next(new) if w else v for v, w in zip(given, wanted, strict=True)]
            found = bind(eqn, merged)
            return [v for v in found if _is_inexact(v)], found

        some = [v for v, w in zip(given, wanted, strict=True) if w]
        _, pull, found = jax.vjp(f, some, has_aux=True)
        return found, pull(cotangents)

    try:
        closed = jax.make_jaxpr(both)(_shapes(eqn.invars), cotangents)
    except Exception:  # a rule that fails is judged where it is called
        return id(eqn)
    consts = tuple(np.asarray(v).tobytes() for v in closed.consts)
    return label(eqn), str(eqn.params.get("symbolic_zeros")), str(closed), consts
