"""Rules of the primitives that move numbers: the result is the operands' numbers, rearranged.

Such a primitive is run by JAX itself, on the places of the numbers instead of the numbers: what
comes out says where each number of the result comes from.
"""

import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxlr.check.exact.arithmetic import Raw
from jaxlr.check.exact.arrays import build, exact, is_exact, is_floating, lanes
from jaxlr.check.exact.functions import Functions

Params = Mapping[str, Any]
# By name, with what NumPy does in their place: JAX compiles each new shape, which takes longer.
_BY_JAX = {
    "dynamic_slice", "dynamic_update_slice", "gather", "pad", "rev", "slice", "split", "tile",
    "unstack",
}  # fmt: skip


def _move(bind: Callable[..., Any], on: Functions, params: Params, *inputs: Any) -> Any:
    """Run the primitive on places of all exact inputs, counted on from one to the next."""
    offset, places, pool = 0, [], []
    for v in inputs:
        if not is_exact(v):
            places.append(v)
            continue
        places.append(np.arange(offset, offset + v.size, dtype=np.int32).reshape(v.shape))
        pool.append(v.ravel())
        offset += v.size
    numbers = np.concatenate(pool)
    moved = bind(*places)
    if isinstance(moved, list | tuple):
        return [numbers[np.asarray(m)].reshape(m.shape) for m in moved]
    return numbers[np.asarray(moved)].reshape(moved.shape)


def _by_jax(name: str, on: Functions, params: Params, *inputs: Any, primitive: Any) -> Any:
    return _move(lambda *places: primitive.bind(*places, **params), on, params, *inputs)


def _gather(
    on: Functions, params: Params, operand: np.ndarray, indices: Any, *, primitive: Any
) -> np.ndarray:
    """Places outside of the operand are -1, and are filled as the primitive says."""
    fill = params["fill_value"]
    (fill,) = exact(np.array([np.nan if fill is None else fill], np.float64))
    place = np.arange(operand.size, dtype=np.int32).reshape(operand.shape)
    at = np.asarray(primitive.bind(place, indices, **{**params, "fill_value": -1}))
    padded = build([*operand.ravel().tolist(), fill], (operand.size + 1,))
    return padded[at].reshape(at.shape)


def _scatter(
    combine: str,
    on: Functions,
    params: Params,
    operand: np.ndarray,
    indices: Any,
    updates: np.ndarray,
) -> np.ndarray:
    step = getattr(on, combine, None) or (lambda old, new: new)
    out = exact(operand).ravel().tolist()
    where = _places_of_updates(params, np.shape(operand), indices, updates.shape)
    for place, update in zip(where.ravel().tolist(), updates.ravel().tolist(), strict=True):
        if place >= 0:
            out[place] = step(out[place], update)
    return build(out, np.shape(operand))


def _places_of_updates(
    params: Params, shape: tuple[int, ...], indices: Any, updates: tuple[int, ...]
) -> np.ndarray:
    """Place in the operand that each update goes to, -1 where it is dropped."""
    numbers = params["dimension_numbers"]
    held = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    window = iter(updates[i] for i in numbers.update_window_dims)
    gather = jax.lax.GatherDimensionNumbers(
        offset_dims=numbers.update_window_dims,
        collapsed_slice_dims=numbers.inserted_window_dims,
        start_index_map=numbers.scatter_dims_to_operand_dims,
        operand_batching_dims=numbers.operand_batching_dims,
        start_indices_batching_dims=numbers.scatter_indices_batching_dims,
    )
    place = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
    sizes = tuple(1 if i in held else next(window) for i in range(len(shape)))
    at = jax.lax.gather(
        place, indices, gather, slice_sizes=sizes, mode=params["mode"], fill_value=-1
    )
    return np.asarray(at)


def _broadcast_in_dim(on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    kept = iter(x.shape)
    shape = params["shape"]
    dims = params["broadcast_dimensions"]
    return np.broadcast_to(
        x.reshape([next(kept) if i in dims else 1 for i in range(len(shape))]), shape
    )


def _concatenate(on: Functions, params: Params, *inputs: np.ndarray) -> np.ndarray:
    return np.concatenate([exact(v) for v in inputs], axis=params["dimension"])


def _stack(on: Functions, params: Params, *inputs: np.ndarray) -> np.ndarray:
    return np.stack([exact(v) for v in inputs], axis=params["axis"])


def _sort(on: Functions, params: Params, *operands: Any) -> list[np.ndarray]:
    """Stable sort of all operands by the first few; nan comes last."""
    axis, keys = params["dimension"], params["num_keys"]
    moved = [np.moveaxis(np.asarray(v), axis, -1) for v in operands]
    shape = moved[0].shape
    rows = [exact(v).reshape(-1, shape[-1]).tolist() for v in moved[:keys]]
    compare = partial(_compare_keys, on)
    orders = [
        sorted(range(shape[-1]), key=lambda i, lane=lane: _key(compare, lane, i))
        for lane in zip(*rows, strict=True)
    ]
    order = np.array(orders, dtype=int).reshape(shape)
    return [np.moveaxis(np.take_along_axis(v, order, axis=-1), -1, axis) for v in moved]


def _key(compare: Callable[..., int], lane: Any, i: int) -> Any:
    return functools.cmp_to_key(compare)(tuple(row[i] for row in lane))


def _compare_keys(on: Functions, a: tuple[Raw, ...], b: tuple[Raw, ...]) -> int:
    for x, y in zip(a, b, strict=True):
        nan = (x == on.nan) - (y == on.nan)
        order = nan or (0 if x == on.nan else on.lib.mpf_cmp(x, y))
        if order:
            return order
    return 0


def _top_k(on: Functions, params: Params, x: np.ndarray) -> list[np.ndarray]:
    """Largest first; equals in their order; nan before all, as in JAX."""
    axis = params.get("axis", x.ndim - 1)
    rows, shape = lanes(x, (axis,))

    def descending(a: Any, b: Any) -> int:
        return -_compare_keys(on, (a,), (b,))

    compare = functools.cmp_to_key(descending)
    orders = [
        sorted(range(len(row)), key=lambda i, row=row: compare(row[i]))[: params["k"]]
        for row in rows
    ]
    order = np.array(orders, dtype=np.int32).reshape(*shape, params["k"])
    order = np.moveaxis(order, -1, axis)
    return [np.take_along_axis(x, order, axis=axis), order]


def _iota(on: Functions, params: Params) -> np.ndarray:
    if not is_floating(params["dtype"]):
        raise AssertionError("iota of integers is left to JAX")
    shape, axis = params["shape"], params["dimension"]
    along = [-1 if i == axis else 1 for i in range(len(shape))]
    return exact(np.broadcast_to(np.arange(shape[axis]).reshape(along), shape))


RULES: dict[str, Callable[..., Any]] = {
    "reshape": lambda on, params, x: x.reshape(params["new_sizes"]),
    "transpose": lambda on, params, x: x.transpose(params["permutation"]),
    "squeeze": lambda on, params, x: np.squeeze(x, axis=tuple(params["dimensions"])),
    "expand_dims": lambda on, params, x: np.expand_dims(x, tuple(params["dimensions"])),
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "stack": _stack,
    "sort": _sort,
    "top_k": _top_k,
    "iota": _iota,
    "scatter": partial(_scatter, "set"),
    **{name: partial(_scatter, "add") for name in ("scatter-add", "scatter_add")},
    **{name: partial(_scatter, "sub") for name in ("scatter-sub", "scatter_sub")},
    **{name: partial(_scatter, "mul") for name in ("scatter-mul", "scatter_mul")},
    **{name: partial(_scatter, "min") for name in ("scatter-min", "scatter_min")},
    **{name: partial(_scatter, "max") for name in ("scatter-max", "scatter_max")},
}
# These are also given the primitive itself.
BY_PRIMITIVE: dict[str, Callable[..., Any]] = {
    **{name: partial(_by_jax, name) for name in _BY_JAX},
    "gather": _gather,
}
