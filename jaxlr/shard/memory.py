"""Memory that a device takes over without copying it."""

from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import DTypeLike

from jaxlr.shard.threads import cores, in_threads

_ALIGNED = 64  # bytes; arrays of NumPy start at a multiple of 16
_LARGE = 1 << 20  # bytes


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Uninitialised array whose memory starts at a multiple of 64 bytes.

    ``jax.device_put`` takes such an array on a CPU as it is, and copies any other.

    Examples
    --------
    >>> aligned_empty((3, 2), np.float32).ctypes.data % 64
    0
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + _ALIGNED, np.uint8)
    start = -raw.ctypes.data % _ALIGNED
    return raw[start : start + size].view(dtype).reshape(shape)


def put(v: np.ndarray) -> Array:
    """Put an array on the default device: as ``jax.device_put``, which copies slowly to a CPU.

    An array of 400 MB took it 0.25 s, where 0.06 s is enough (2 cores, jax 0.10.2).
    """
    kept = v.dtype == jax.dtypes.canonicalize_dtype(v.dtype)
    misplaced = v.ctypes.data % _ALIGNED != 0 or not v.flags.c_contiguous
    if v.nbytes >= _LARGE and v.ndim > 0 and kept and misplaced and _on_cpu():
        copy = aligned_empty(v.shape, v.dtype)
        pieces = zip(np.array_split(copy, cores()), np.array_split(v, cores()), strict=True)
        in_threads([partial(np.copyto, *piece) for piece in pieces])
        v = copy
    return jax.device_put(v)


def copied(v: ArrayLike) -> Array:
    """Array of JAX as it is, and a copy of any other: ``jnp.asarray`` compiles one for each shape.

    Examples
    --------
    >>> print(copied([0.5, 1]))
    [0.5 1. ]
    """
    return v if isinstance(v, Array) else jax.device_put(np.asarray(v), may_alias=False)


@cache
def host_device() -> Any:
    """CPU that JAX has beside its accelerators; None, the default, where it was started without.

    Examples
    --------
    >>> host_device().platform
    'cpu'
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _on_cpu() -> bool:
    config: Any = jax.config
    device = config.jax_default_device
    return jax.default_backend() == "cpu" if device is None else "cpu" in str(device).lower()
