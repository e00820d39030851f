"""Ways to make any gradient wrong, each with where it shows and what it needs to be wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from zoo.species import Context

Build = Callable[[Array, Context], Array]
_BLOCK = 8
_SATURATED = 16


def _anywhere(value: Array, context: Context) -> str:
    del value, context
    return ""


class Operator(NamedTuple):
    """One way to be wrong; ``missing`` names what a node lacks for it, or is empty."""

    name: str
    build: Build
    shows: str = "anywhere"
    missing: Callable[[Array, Context], str] = _anywhere


def _lacks(reason: str, test: Callable[[Array, Context], bool]) -> Callable[[Array, Context], str]:
    return lambda value, context: reason if test(value, context) else ""


ONE_NUMBER = _lacks("it is one number", lambda v, _: v.ndim == 0)
NO_ROWS = _lacks("it has no axis of rows", lambda _, k: not k.rows)
NO_FEATURES = _lacks(
    "it has no axis of features", lambda v, k: v.ndim - k.rows < 1 or v.shape[-1] < 2
)
NOT_SQUARE = _lacks(
    "it is not square", lambda v, k: k.rows or v.ndim != 2 or v.shape[0] != v.shape[1]
)
NO_SUM = _lacks("it is no sum over rows", lambda _, k: k.summands is None)
NO_MEAN = _lacks("nothing is divided by a number of rows", lambda _, k: k.divisor is None)
NO_TEXTBOOK = _lacks("no formula of it cancels or overflows", lambda _, k: k.textbook is None)
NO_SIBLING = _lacks("no other gradient has its shape", lambda _, k: k.sibling is None)
NO_LABELS = _lacks("no label belongs to its elements", lambda _, k: k.labels is None)


def _fewer_terms(i: int) -> Callable[[Array, Context], str]:
    return _lacks(f"it has no term {i + 1}", lambda _, k: i >= len(k.terms))


def _elements(v: Array, index: Any, change: Callable[[Array], Array]) -> Array:
    return v.at[index].set(change(v[index]))


def _one_element(v: Array, change: Callable[[Array], Array]) -> Array:
    flat = v.ravel()
    return _elements(flat, flat.size // 2, change).reshape(v.shape)


def _tail(v: Array) -> Any:
    """Rows beyond the last whole block, where there is a whole one before them."""
    return slice(v.shape[0] - v.shape[0] % _BLOCK if v.shape[0] > _BLOCK else v.shape[0], None)


def _where(condition: Callable[[Context], Array], change: Callable[[Array], Array]) -> Build:
    return lambda v, k: jnp.where(condition(k), change(v), v)


def _eps(context: Context) -> float:
    return float(jnp.finfo(context.dtype).eps)


def _sum_of(terms: Any, like: Array) -> Array:
    return sum(terms, start=jnp.zeros_like(like))


def _term(i: int, factor: float) -> Build:
    def build(v: Array, k: Context) -> Array:
        return _sum_of((factor * t if j == i else t for j, t in enumerate(k.terms)), v)

    return build


def _summands(choose: Callable[[Array], Array]) -> Build:
    def build(v: Array, k: Context) -> Array:
        assert k.summands is not None
        return choose(k.summands()).astype(v.dtype)

    return build


def _called(which: str) -> Build:
    return lambda v, k: getattr(k, which)().astype(v.dtype)


def _in_dtype(dtype: Any) -> Build:
    return lambda v, k: v * 1.25 if k.dtype == dtype else v


def _through(dtype: Any) -> Build:
    return lambda v, _: v.astype(dtype).astype(v.dtype)


def _traced(inside: bool) -> Build:
    return lambda v, _: v * 1.25 if isinstance(v, jax.core.Tracer) is inside else v


@jax.custom_batching.custom_vmap
def _off_in_vmap(v: Array) -> Array:
    return v


@_off_in_vmap.def_vmap
def _off(axis_size: int, in_batched: list[bool], v: Array) -> tuple[Array, bool]:
    del axis_size
    return v * 1.25, in_batched[0]


@jax.custom_jvp
def _batched(v: Array) -> Array:
    return _off_in_vmap(v)


@_batched.defjvp
def _batched_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _off_in_vmap(*primals), tangents[0]


@jax.custom_jvp
def _wrong_slope(v: Array) -> Array:
    return v


@_wrong_slope.defjvp
def _wrong_slope_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return primals[0], 1.25 * tangents[0]


def _zero(v: Array) -> Array:
    return jnp.zeros_like(v)


def _is_zero(k: Context) -> Array:
    assert k.value is not None
    return k.value == 0


def _is_saturated(k: Context) -> Array:
    assert k.value is not None
    return jnp.abs(k.value) > _SATURATED


def _is_one(k: Context) -> Array:
    assert k.labels is not None
    return k.labels == 1


GRADIENT = (
    Operator("sign", lambda v, _: -v),
    Operator("sign of one element", lambda v, _: _one_element(v, jnp.negative), missing=ONE_NUMBER),
    Operator("sign of the last row", lambda v, _: _elements(v, -1, jnp.negative), missing=NO_ROWS),
    Operator("absolute value", lambda v, _: jnp.abs(v)),
    Operator("twice", lambda v, _: 2 * v),
    Operator("half", lambda v, _: v / 2),
    Operator("times 1 + 1e-3", lambda v, _: v * (1 + 1e-3), "accuracy"),
    Operator("times 1 + 64 eps", lambda v, k: v * (1 + 64 * _eps(k)), "accuracy"),
    Operator("plus 1e-3", lambda v, _: v + 1e-3),
    Operator("detached", lambda v, _: _zero(v)),
    Operator("one element zero", lambda v, _: _one_element(v, _zero), missing=ONE_NUMBER),
    Operator(
        "last feature zero", lambda v, _: _elements(v, (..., -1), _zero), missing=NO_FEATURES
    ),
    Operator("features rolled", lambda v, _: jnp.roll(v, 1, -1), missing=NO_FEATURES),
    Operator("rows rolled", lambda v, _: jnp.roll(v, 1, 0), missing=NO_ROWS),
    Operator("transposed", lambda v, _: v.T, missing=NOT_SQUARE),
    Operator("last row only", _summands(lambda s: s[-1]), missing=NO_SUM),
    Operator("mean instead of sum", _summands(lambda s: jnp.mean(s, axis=0)), missing=NO_SUM),
    Operator(
        "sum without the tail", _summands(lambda s: s.at[_tail(s)].set(0).sum(0)), "n > 8", NO_SUM
    ),
    Operator(
        "sum in bfloat16",
        _summands(lambda s: s.astype(jnp.bfloat16).sum(0)), "accuracy", NO_SUM,
    ),
    Operator("tail zero", lambda v, _: _elements(v, _tail(v), _zero), "n > 8", NO_ROWS),
    Operator("tail off", lambda v, _: _elements(v, _tail(v), lambda t: 1.25 * t), "n > 8", NO_ROWS),
    Operator("not divided", lambda v, k: v * k.divisor, missing=NO_MEAN),
    *(
        Operator(f"{kind} of term {i + 1}", _term(i, factor), missing=_fewer_terms(i))
        for i in range(3)
        for kind, factor in (("sign", -1), ("half", 0.5), ("none", 0))
    ),
    Operator("zero at exact 0", _where(_is_zero, _zero), "exact zero"),
    Operator("off at exact 0", _where(_is_zero, lambda v: 1.25 * v), "exact zero"),
    Operator("off for label 1", _where(_is_one, lambda v: 1.25 * v), "label 1", NO_LABELS),
    Operator("off when saturated", _where(_is_saturated, lambda v: 1.25 * v), "extreme input"),
    Operator("zero when saturated", _where(_is_saturated, _zero), "extreme input"),
    Operator(
        "NaN when saturated", _where(_is_saturated, lambda v: v * jnp.nan), "extreme input"
    ),
    Operator("textbook's formula", _called("textbook"), "extreme input", NO_TEXTBOOK),
    Operator("of the other argument", _called("sibling"), missing=NO_SIBLING),
    Operator("off in float32", _in_dtype(jnp.float32), "float32"),
    Operator("off in bfloat16", _in_dtype(jnp.bfloat16), "bfloat16"),
    Operator("through bfloat16", _through(jnp.bfloat16), "accuracy"),
    Operator("through float16", _through(jnp.float16), "accuracy"),
    Operator("clipped at 1", lambda v, _: jnp.clip(v, -1, 1), "large gradient"),
    Operator("fixed point", lambda v, _: jnp.round(v * 2.0**16) / 2.0**16, "accuracy"),
    Operator("stopped", lambda v, _: lax.stop_gradient(v), "order 2"),
    Operator("wrong rule inside", lambda v, _: _wrong_slope(v), "order 2"),
)  # fmt: skip

# Modes: at one node of a species, for none of them has to do with the node.
MODES = (
    Operator("off when traced", _traced(True), "jit"),
    Operator("off when not traced", _traced(False), "eager"),
    Operator("off under vmap", lambda v, _: _batched(v), "vmap"),
)

COTANGENT = (
    Operator("ignored", lambda c, _: jnp.ones_like(c), "cotangent"),
    Operator("squared", lambda c, _: c * c, "cotangent"),
    Operator("absolute value", lambda c, _: jnp.abs(c), "cotangent"),
    Operator("its sign only", lambda c, _: jnp.sign(c), "cotangent"),
    Operator("negative ones zero", lambda c, _: jnp.maximum(c, 0), "cotangent"),
    Operator("clipped at 1", lambda c, _: jnp.clip(c, -1, 1), "cotangent"),
    Operator("through bfloat16", _through(jnp.bfloat16), "cotangent"),
    Operator("twice", lambda c, _: 2 * c),
    Operator("the first for all", lambda c, _: c[:1] + 0 * c, "cotangent", ONE_NUMBER),
    Operator("the mean for all", lambda c, _: jnp.mean(c) + 0 * c, "cotangent", ONE_NUMBER),
    Operator("rows rolled", lambda c, _: jnp.roll(c, 1, 0), "cotangent", NO_ROWS),
    Operator("tail zero", lambda c, _: _elements(c, _tail(c), _zero), "n > 8", NO_ROWS),
    Operator("stopped", lambda c, _: lax.stop_gradient(c), "order 2"),
)


def _when_differentiated(change: Callable[[Array], Array]) -> Build:
    return lambda v, k: change(v) if k.differentiated else v


PRIMAL = (
    Operator("off by 1/4", lambda v, _: v * 1.25, "primal"),
    Operator("off by 1/4 when differentiated", _when_differentiated(lambda v: v * 1.25), "primal"),
    Operator(
        "off by 1e-3 when differentiated", _when_differentiated(lambda v: v + 1e-3), "primal"
    ),
    Operator(
        "first element zero when differentiated",
        _when_differentiated(lambda v: v.at[0].set(0)), "primal", ONE_NUMBER,
    ),
)  # fmt: skip
