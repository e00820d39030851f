"""Leaves that are numbers, looked at on the host and given back as they came."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import float0


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array of numbers or booleans, NumPy's or JAX's; keys are not."""
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic) or leaf.dtype == float0:
        return False
    return bool(jnp.issubdtype(leaf.dtype, jnp.number)) or leaf.dtype == bool


def is_floating(leaf: Any) -> bool:
    """Whether a leaf is an array of real floating-point numbers, half precision included."""
    return is_array(leaf) and bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def alike(values: np.ndarray, leaf: Any) -> Any:
    """Return ``values`` as NumPy's where ``leaf`` is, as JAX's where it is; the dtype is kept."""
    if not isinstance(leaf, jax.Array):
        return values[()] if isinstance(leaf, np.generic) else values
    with jax.enable_x64(True):  # else float64 would come back as float32
        return jnp.asarray(values)


def same(a: Any, b: Any) -> bool:
    """Whether two arrays of one shape and dtype are equal to the bit: -0.0 is not 0.0."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()
