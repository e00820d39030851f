"""Rows that several processes have as one array: put together, and read back."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxlr.shard.hosts import gather, host_count, join
from jaxlr.shard.mesh import ROWS


def join_rows(
    X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None, devices: Sequence[Any]
) -> tuple[Array, Array, Array | None]:
    """Make one array of the rows that the processes have, split over devices as by `split_rows`.

    Parameters
    ----------
    X, y, sample_weight
        Rows of this process: (m, d), (m,) and (m,) or None.
    devices : sequence of jax.Device
        As `devices_of_hosts` returns them.

    Returns
    -------
    X, y, sample_weight : Array
        Of all rows, process by process. Where a process has fewer than fill its devices, rows
        of zeros with weight 0 follow its own.
    """
    sizes, each = gather(len(y)), len(devices) // host_count()
    size = -(-int(sizes.max()) // each) * each
    if sample_weight is None and (sizes < size).any():
        sample_weight = np.ones(len(y), y.dtype)
    sharding = NamedSharding(Mesh(np.array(devices), (ROWS,)), PartitionSpec(ROWS))

    def put(v: np.ndarray) -> Array:
        if len(v) < size:
            v = np.pad(v, [(0, size - len(v))] + [(0, 0)] * (v.ndim - 1))
        whole = (size * host_count(), *v.shape[1:])
        return jax.make_array_from_process_local_data(sharding, v, whole)

    return put(X), put(y), None if sample_weight is None else put(sample_weight)


def is_elsewhere(v: Any) -> bool:
    """Whether an array has rows on other processes, which this one cannot read."""
    return isinstance(v, Array) and not (v.is_fully_addressable or v.is_fully_replicated)


def own_rows(v: Any) -> np.ndarray:
    """Return the rows that this process has, as a NumPy array."""
    if not is_elsewhere(v):
        return np.asarray(v)
    pieces = sorted(v.addressable_shards, key=lambda piece: piece.index[0].start or 0)
    return np.concatenate([np.asarray(piece.data) for piece in pieces])


def on_host(v: Any, index: Any = None) -> np.ndarray:
    """Return an array as a NumPy array, its rows ``index`` or all, those of other processes too."""
    if not is_elsewhere(v):
        return np.asarray(v if index is None else readable(v)[index])
    if index is None:
        return join(own_rows(v))
    return np.asarray(_rows_everywhere(v.sharding.mesh)(v, np.asarray(index)))


def readable(v: Any) -> Any:
    """View memory of a CPU as NumPy, for which nothing is compiled; all else stays as it is."""
    on_cpu = isinstance(v, Array) and [d.platform for d in v.devices()] == ["cpu"]
    return np.asarray(v) if on_cpu else v


def placed_like(v: np.ndarray, X: Array) -> Array:
    """Split an array, which all processes have whole, over devices as X is."""
    if not is_elsewhere(X):
        return jax.numpy.asarray(v)
    sharding: Any = X.sharding
    split = NamedSharding(sharding.mesh, PartitionSpec(ROWS))
    return jax.make_array_from_callback(v.shape, split, lambda part: v[part])


@functools.cache
def _rows_everywhere(mesh: Mesh) -> Any:
    return jax.jit(lambda v, index: v[index], out_shardings=NamedSharding(mesh, PartitionSpec()))
