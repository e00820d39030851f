"""Rules of the primitives that take each element by itself."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr.check.exact.arithmetic import Raw
from jaxlr.check.exact.arrays import elementwise, exact, full, is_floating
from jaxlr.check.exact.functions import Functions

Params = Mapping[str, Any]
_SAME_NAME = {
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil",
    "cos", "cosh", "digamma", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor",
    "lgamma", "log", "log1p", "logistic", "max", "min", "mul", "neg", "pow", "rem", "rsqrt",
    "sign", "sin", "sinh", "sqrt", "square", "sub", "tan", "tanh",
}  # fmt: skip
_COMPARISONS = {
    name: f"mpf_{name}" for name in ("eq", "lt", "le", "gt", "ge")
}  # False of nan, as in IEEE
_IDENTITIES = {
    "copy", "copy_p", "name", "reduce_precision", "stop_gradient",
    "device_put", "sharding_constraint", "pvary",
}  # fmt: skip


def _same_name(name: str, on: Functions, params: Params, *inputs: Any) -> np.ndarray:
    return elementwise(getattr(on, name), *map(exact, inputs))


def _compare(name: str, on: Functions, params: Params, *inputs: Any) -> np.ndarray:
    order = getattr(on.lib, name)

    def compare(x: Raw, y: Raw) -> bool:
        on.note_tie(x, y)
        return order(x, y)

    return elementwise(compare, *map(exact, inputs)).astype(bool)


def _not_equal(on: Functions, params: Params, x: Any, y: Any) -> np.ndarray:
    return ~_compare("mpf_eq", on, params, x, y)


def _is_finite(on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    return elementwise(on.is_finite, x).astype(bool)


def _integer_pow(on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    return elementwise(lambda v: on.integer_pow(v, params["y"]), x)


def _clamp(on: Functions, params: Params, low: Any, x: Any, high: Any) -> np.ndarray:
    return elementwise(
        lambda low, x, high: on.min(on.max(x, low), high), exact(low), exact(x), exact(high)
    )


def _round(on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    even = params["rounding_method"] == jax.lax.RoundingMethod.TO_NEAREST_EVEN
    return elementwise(on.round_even if even else on.round_away, x)


def _select_n(on: Functions, params: Params, which: np.ndarray, *cases: Any) -> np.ndarray:
    which = np.asarray(which)
    out = exact(cases[0])
    for i, case in enumerate(cases[1:], start=1):
        out = np.where(which == i, exact(case), out)
    return out


def _convert(on: Functions, params: Params, x: Any) -> np.ndarray:
    """Conversion of type: floats are not rounded, integers are truncated, bools compared with 0."""
    dtype = params["new_dtype"]
    if is_floating(dtype):
        return exact(x)
    if jnp.issubdtype(dtype, jnp.bool_):
        return _not_equal(on, params, x, full((), on.zero))
    bounds = np.iinfo(dtype)

    def integer(v: Raw) -> int:
        if not on.is_finite(v):  # as XLA has it
            return 0 if v == on.nan else int(bounds.min if v[0] else bounds.max)
        return min(max(on.lib.to_int(on.truncate(v)), int(bounds.min)), int(bounds.max))

    return elementwise(integer, x).astype(dtype)


def _identity(on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    return x


RULES: dict[str, Callable[..., Any]] = {
    **{name: partial(_same_name, name) for name in _SAME_NAME},
    **{name: partial(_compare, function) for name, function in _COMPARISONS.items()},
    **dict.fromkeys(_IDENTITIES, _identity),
    "optimization_barrier": lambda on, params, *inputs: inputs,
    "add_any": partial(_same_name, "add"),
    "debug_callback": lambda on, params, *inputs: (),
    "ne": _not_equal,
    "is_finite": _is_finite,
    "integer_pow": _integer_pow,
    "clamp": _clamp,
    "round": _round,
    "select_n": _select_n,
    "convert_element_type": _convert,
}
