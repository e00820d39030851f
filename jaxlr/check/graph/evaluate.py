"""A jaxpr run equation by equation, so that any of them may be seen, changed or replaced."""

from collections.abc import Callable, Sequence
from typing import Any

from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.extend.core.primitives import (
    call_p,
    closed_call_p,
    cond_p,
    custom_jvp_call_p,
    custom_vjp_call_p,
    jit_p,
    remat_p,
    scan_p,
    while_p,
)

RULES = (custom_jvp_call_p, custom_vjp_call_p)
CALLS = (jit_p, remat_p, closed_call_p, call_p, *RULES)  # each runs one jaxpr, once
LOOPS = (scan_p, while_p, cond_p)

Visit = Callable[[JaxprEqn, list[Any]], Sequence[Any] | None]
Evaluate = Callable[[ClosedJaxpr, Sequence[Any]], list[Any]]


def run(closed: ClosedJaxpr, args: Sequence[Any], visit: Visit) -> list[Any]:
    """Evaluate a jaxpr; where ``visit(eqn, values)`` returns results they stand for the equation's.

    Where it returns None the equation is evaluated as it is.
    """
    jaxpr = closed.jaxpr
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))

    def read(v: Any) -> Any:
        return v.val if isinstance(v, Literal) else known[v]

    for eqn in jaxpr.eqns:
        values = [read(v) for v in eqn.invars]
        found = visit(eqn, values)
        found = bind(eqn, values) if found is None else found
        known.update(zip(eqn.outvars, found, strict=True))
    return [read(v) for v in jaxpr.outvars]


def bind(eqn: JaxprEqn, values: Sequence[Any], **changed: Any) -> list[Any]:
    """Evaluate one equation at other values, and with other parameters if any are given."""
    bound = eqn.primitive.get_bind_params(eqn.params | changed)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)
    found = eqn.primitive.bind(*functions, *values, **params)
    return list(found) if eqn.primitive.multiple_results else [found]


def inner(eqn: JaxprEqn) -> ClosedJaxpr:
    """Return the jaxpr that a call runs."""
    found = eqn.params["jaxpr"] if "jaxpr" in eqn.params else eqn.params["call_jaxpr"]
    return ClosedJaxpr(found, ()) if isinstance(found, Jaxpr) else found


def loop(eqn: JaxprEqn, values: Sequence[Any], evaluate: Evaluate) -> list[Any]:
    """Run a scan, while or cond again, its bodies evaluated by ``evaluate``."""
    again = {scan_p: _scan, while_p: _while, cond_p: _cond}[eqn.primitive]
    return list(again(eqn.params, values, evaluate))


def _scan(params: dict[str, Any], values: Sequence[Any], evaluate: Evaluate) -> list[Any]:
    consts, init, xs = split_scan(params, values)

    def step(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        found = evaluate(params["jaxpr"], (*consts, *carry, *x))
        return found[: len(init)], found[len(init) :]

    how = {key: params[key] for key in ("length", "reverse", "unroll")}
    carry, ys = lax.scan(step, init, xs, **how)
    return [*carry, *ys]


def _while(params: dict[str, Any], values: Sequence[Any], evaluate: Evaluate) -> list[Any]:
    of_cond, of_body, init = split_while(params, values)
    return lax.while_loop(
        lambda carry: evaluate(params["cond_jaxpr"], (*of_cond, *carry))[0],
        lambda carry: evaluate(params["body_jaxpr"], (*of_body, *carry)),
        init,
    )


def _cond(params: dict[str, Any], values: Sequence[Any], evaluate: Evaluate) -> list[Any]:
    which, *given = values
    branches = [
        lambda *given, branch=branch: evaluate(branch, given) for branch in params["branches"]
    ]
    return lax.switch(which, branches, *given)


def split_scan(params: dict[str, Any], values: Sequence[Any]) -> tuple[list, list, list]:
    """Constants, first carry, and what is scanned over."""
    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    return list(values[:first]), list(values[first:second]), list(values[second:])


def split_while(params: dict[str, Any], values: Sequence[Any]) -> tuple[list, list, list]:
    """Constants of the condition, constants of the body, and the first carry."""
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    return list(values[:first]), list(values[first:second]), list(values[second:])
