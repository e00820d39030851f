"""Arrays of numbers of any precision: NumPy's, of objects, each a raw number."""

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxlr.check.exact.arithmetic import Raw, load


def is_exact(v: Any) -> bool:
    """Whether ``v`` is an array of raw numbers."""
    return isinstance(v, np.ndarray) and v.dtype == object


def is_floating(dtype: Any) -> bool:
    """Whether a type is floating point, bfloat16 and its like included."""
    return jnp.issubdtype(dtype, jnp.floating)


def build(values: Iterable[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Array of objects from as many values as it holds; tuples stay tuples."""
    return np.fromiter(values, dtype=object, count=int(np.prod(shape, dtype=int))).reshape(shape)


def full(shape: tuple[int, ...], value: Raw) -> np.ndarray:
    """Array of one raw number."""
    out = np.empty(shape, dtype=object)
    out.fill(value)
    return out


def exact(v: Any) -> np.ndarray:
    """Numbers of a NumPy array as they are, without rounding."""
    if is_exact(v):
        return v
    lib = load().libmp
    v = np.asarray(v)
    if is_floating(v.dtype):
        return build(map(lib.from_float, v.astype(np.float64).ravel().tolist()), v.shape)
    return build(map(lib.from_int, v.ravel().tolist()), v.shape)


def elementwise(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """Array of ``function`` of each element, scalars broadcast."""
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    flat = [a.ravel().tolist() if a.shape == shape else None for a in arrays]
    columns = [
        v if v is not None else np.broadcast_to(a, shape).ravel().tolist()
        for v, a in zip(flat, arrays, strict=True)
    ]
    return build(map(function, *columns), shape)


def lanes(array: np.ndarray, axes: tuple[int, ...]) -> tuple[list[list[Raw]], tuple[int, ...]]:
    """Numbers along ``axes``, one list for each place of the rest, and the shape of the rest."""
    rest = tuple(i for i in range(array.ndim) if i not in axes)
    shape = tuple(array.shape[i] for i in rest)
    length = int(np.prod([array.shape[i] for i in axes], dtype=int))
    rows = int(np.prod(shape, dtype=int))
    return array.transpose(rest + tuple(axes)).reshape(rows, length).tolist(), shape


def to_mpf(array: np.ndarray) -> np.ndarray:
    """Array of ``mpmath.mpf``."""
    return elementwise(load().mp.make_mpf, array)


def from_mpf(array: np.ndarray) -> np.ndarray:
    """Array of raw numbers from one of ``mpmath.mpf``."""
    return elementwise(lambda v: v._mpf_, array)
