"""A jaxpr run on complex numbers: only primitives that are analytic, and right, for them.

A number is complex where it depends on the point, and only there; everything else is run as it
is. What a primitive without a rule makes of complex numbers may not be used.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

_AS_THEY_ARE = {
    "add", "sub", "mul", "div", "neg", "exp", "log", "log1p", "sin", "cos", "tan", "tanh",
    "atan", "asinh", "atanh", "sqrt", "rsqrt", "logistic", "integer_pow", "square", "add_any",
    "reduce_sum", "cumsum", "reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim",
    "slice", "dynamic_slice", "rev", "copy", "copy_p", "real", "name", "stop_gradient",
    "unstack", "split",
}  # fmt: skip
_ALIKE = {"concatenate", "stack", "pad", "dynamic_update_slice"}  # all operands of one type
_NUMBERS = {"add", "sub", "mul", "div", "add_any"}  # JAX wants both operands of one type
_CALLS = {
    "jit", "pjit", "closed_call", "core_call", "call", "remat", "remat2", "checkpoint",
    "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr",
}  # fmt: skip
_JAXPRS = "jaxpr", "call_jaxpr", "fun_jaxpr"


class NoRule(Exception):  # noqa: N818 -- says what is missing
    """A primitive that complex numbers may not go through."""


class Unusable:
    """Result of such a primitive: an error only if something reads it."""

    def __init__(self, primitive: str) -> None:
        self.primitive = primitive


def run(closed: ClosedJaxpr | Jaxpr, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Evaluate a jaxpr where some of the inputs are complex; the same outputs are, or Unusable.

    Examples
    --------
    >>> import jax
    >>> with jax.enable_x64(True):
    ...     traced = jax.make_jaxpr(lambda x: jax.numpy.exp(2 * x))(0.0)
    ...     (y,) = run(traced, traced.consts, [np.complex128(1e-200j)])
    >>> float(y.imag)
    2e-200
    """
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            return jnp.asarray(atom.val, atom.aval.dtype)  # pyright: ignore
        return values[atom]

    for eqn in jaxpr.eqns:
        outputs = _equation(eqn, [read(v) for v in eqn.invars])
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [read(v) for v in jaxpr.outvars]


def usable(v: Any) -> Any:
    """Return ``v``; raise NoRule if a primitive without a rule made it."""
    if isinstance(v, Unusable):
        raise NoRule(v.primitive)
    return v


def _equation(eqn: JaxprEqn, inputs: list[Any]) -> Sequence[Any]:
    name = eqn.primitive.name
    if name in _CALLS and any(map(_is_active, inputs)):
        return _inner(next(eqn.params[k] for k in _JAXPRS if k in eqn.params), inputs)
    inputs = [usable(v) for v in inputs]
    if not any(map(_is_active, inputs)):
        outputs = eqn.primitive.bind(*inputs, **eqn.params)
    elif name in _RULES:
        outputs = _RULES[name](eqn, *inputs)
    elif name in _AS_THEY_ARE | _ALIKE:
        alike = name in _NUMBERS | _ALIKE
        outputs = eqn.primitive.bind(*(_alike(inputs) if alike else inputs), **eqn.params)
    else:
        return [Unusable(name) for _ in eqn.outvars]
    return outputs if eqn.primitive.multiple_results else [outputs]


def _is_active(v: Any) -> bool:
    return isinstance(v, Unusable) or jnp.issubdtype(v.dtype, jnp.complexfloating)


def _alike(inputs: Sequence[Any]) -> list[Any]:
    """Floating-point operands as complex numbers; places stay integers."""
    return [_complex(v) if jnp.issubdtype(v.dtype, jnp.floating) else v for v in inputs]


def _complex(v: Any) -> Any:
    return lax.convert_element_type(v, np.complex128)


def _inner(closed: Any, inputs: Sequence[Any]) -> list[Any]:
    return run(closed, getattr(closed, "consts", ()), inputs)


def _convert(eqn: JaxprEqn, x: Any) -> Any:
    if eqn.params["new_dtype"] != np.float64:
        return Unusable(f"conversion to {np.dtype(eqn.params['new_dtype'])}")
    return x


def _dot(eqn: JaxprEqn, a: Any, b: Any) -> Any:
    if eqn.params["preferred_element_type"] not in (None, np.float64):
        return Unusable("dot_general in another type")
    params = {**eqn.params, "preferred_element_type": None}
    return eqn.primitive.bind(_complex(a), _complex(b), **params)


def _gather(eqn: JaxprEqn, x: Any, indices: Any) -> Any:
    if eqn.params["fill_value"] is None:
        return eqn.primitive.bind(x, indices, **eqn.params)
    return eqn.primitive.bind(x, indices, **{**eqn.params, "fill_value": complex(np.nan)})


def _select(eqn: JaxprEqn, which: Any, *cases: Any) -> Any:
    return eqn.primitive.bind(which, *_alike(cases), **eqn.params)


def _parts(of_real: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[..., Any]:
    """Compute a function by its real and imaginary part: XLA's own loses digits."""

    def rule(eqn: JaxprEqn, z: Any) -> Any:
        return lax.complex(*of_real(z.real, z.imag))

    return rule


def _scan(eqn: JaxprEqn, *inputs: Any) -> Sequence[Any]:
    params, n = eqn.params, len(inputs)
    first, over = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, columns = inputs[:first], list(inputs[first:over]), inputs[over:n]

    def body(carry: list[Any], row: Any) -> tuple[list[Any], list[Any]]:
        out = [usable(v) for v in _inner(params["jaxpr"], [*consts, *carry, *row])]
        count = params["num_carry"]
        return out[:count], out[count:]

    carry = _steady(lambda c: body(c, [v[0] for v in columns])[0], carry)

    def alike(c: list[Any], row: Any) -> tuple[list[Any], list[Any]]:
        after, made = body(c, row)
        return _like(after, c), made

    how = {key: params[key] for key in ("length", "reverse", "unroll")}
    after, made = lax.scan(alike, carry, list(columns), **how)
    return [*after, *made]


def _while(eqn: JaxprEqn, *inputs: Any) -> Sequence[Any]:
    params = eqn.params
    first, then = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    tested, consts, carry = inputs[:first], inputs[first:then], list(inputs[then:])

    def body(carry: list[Any]) -> list[Any]:
        return [usable(v) for v in _inner(params["body_jaxpr"], [*consts, *carry])]

    def test(carry: list[Any]) -> Any:
        return usable(_inner(params["cond_jaxpr"], [*tested, *carry])[0])

    carry = _steady(body, carry)
    return lax.while_loop(test, lambda c: _like(body(c), c), carry)


def _cond(eqn: JaxprEqn, which: Any, *inputs: Any) -> Sequence[Any]:
    branches = eqn.params["branches"]

    def branch(closed: Any, like: Any = None) -> Callable[..., list[Any]]:
        def call(*operands: Any) -> list[Any]:
            out = [usable(v) for v in _inner(closed, operands)]
            return _like(out, like) if like else out

        return call

    shapes = [jax.eval_shape(branch(b), *inputs) for b in branches]
    widest = [next(filter(_is_active, column), column[0]) for column in zip(*shapes, strict=True)]
    return lax.switch(jnp.int32(which), [branch(b, widest) for b in branches], *inputs)


def _steady(body: Callable[[list[Any]], list[Any]], carry: list[Any]) -> list[Any]:
    """Make those numbers of a carry complex that become so on some turn of the loop."""
    while True:
        after = jax.eval_shape(body, carry)
        wider = [_complex(c) if _is_active(a) and not _is_active(c) else c
                 for a, c in zip(after, carry, strict=True)]  # fmt: skip
        if all(a is b for a, b in zip(wider, carry, strict=True)):
            return carry
        carry = wider


def _like(values: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    return [
        _complex(v) if _is_active(w) and not _is_active(v) else v
        for v, w in zip(values, like, strict=True)
    ]


_LN2 = float(np.log(2.0))
_RULES: dict[str, Callable[..., Any]] = {
    "convert_element_type": _convert,
    "dot_general": _dot,
    "gather": _gather,
    "select_n": _select,
    "sinh": _parts(lambda a, b: (lax.sinh(a) * lax.cos(b), lax.cosh(a) * lax.sin(b))),
    "cosh": _parts(lambda a, b: (lax.cosh(a) * lax.cos(b), lax.sinh(a) * lax.sin(b))),
    "expm1": _parts(
        lambda a, b: (
            lax.expm1(a) * lax.cos(b) - 2 * lax.sin(b / 2) ** 2,
            lax.exp(a) * lax.sin(b),
        )
    ),
    "exp2": _parts(lambda a, b: (lax.exp2(a) * lax.cos(_LN2 * b), lax.exp2(a) * lax.sin(_LN2 * b))),
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
