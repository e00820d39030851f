"""Hosts: several processes that share the rows of one problem, by JAX's own runtime.

Each process runs the same program and holds a part of the rows. Sums over devices (`mesh`) then
go over all of them. What a process has on its host, as a NumPy array, is brought together by
`gather`, in the order of the processes, so that what is computed of it is the same on each.

Every function here but `host_count` and `host_index` waits for all processes to call it.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxlr.shard.mesh import ROWS

HEARTBEAT_SECONDS = 30
_START_SECONDS = 120
_END_SECONDS = 30
_HOSTS = "hosts"
_PIECE = 1 << 22  # bytes of each process that are on the devices at once


class HostsError(RuntimeError):
    """The processes of a run cannot be brought together; the message says why."""


def start_hosts(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
) -> None:
    """Join the processes of a run, before anything is computed.

    Parameters
    ----------
    coordinator : str, optional
        ``HOST:PORT`` of process 0, a port that is free there. Without it, JAX asks SLURM, MPI or
        Kubernetes for all three.
    processes, process : int, optional
        How many there are, and which of them this is, from 0.
    heartbeat_seconds : int
        A process that has not been heard of for so long counts as dead; JAX then aborts the others,
        naming it. What they compute together fails before, where the connection to it breaks.

    Raises
    ------
    ValueError
        If the numbers do not go together.
    HostsError
        If the others do not come, or JAX has started already.

    Notes
    -----
    On CPUs the processes talk by Gloo, on GPUs by NCCL. Each must have the same number of devices.

    Examples
    --------
    A run of one process, which need not be started:

    >>> host_count(), host_index()
    (1, 0)
    """
    given = [v for v in (coordinator, processes, process) if v is not None]
    if len(given) not in (0, 3):
        raise ValueError(
            "coordinator (HOST:PORT), processes and process go together: give all three, or none "
            "for SLURM, MPI or Kubernetes to tell"
        )
    if processes is not None and process is not None and not 0 <= process < processes:
        raise ValueError(f"process is {process}: it must be from 0 to {processes - 1}")
    if heartbeat_seconds < 1:
        raise ValueError(f"heartbeat_seconds is {heartbeat_seconds}: it must be at least 1")
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=_START_SECONDS,
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=_END_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        where = f"the coordinator at {coordinator}" if coordinator else "SLURM, MPI or Kubernetes"
        reason = str(error).strip().partition("\n")[0]
        raise HostsError(f"the processes cannot be joined by {where}: {reason}") from error


def host_count() -> int:
    """Return how many processes there are; 1 where `start_hosts` was not called."""
    return jax.process_count()


def host_index() -> int:
    """Return which process this is, from 0."""
    return jax.process_index()


def host_share(n: int) -> slice:
    """Return which of n rows are this process's: as many as the first has, or one less."""
    count, index = host_count(), host_index()
    return slice(-(-n * index // count), -(-n * (index + 1) // count))


def gather(v: Any) -> np.ndarray:
    """Bring the arrays of all processes, of one shape and type, to each: (processes, ...)."""
    v = np.asarray(v)
    if host_count() == 1:
        return v[None]
    # As bytes, for JAX may have no float64; filled up to a power of two, to compile less.
    own = np.zeros((1, 1 << max(6, (v.nbytes - 1).bit_length())), np.uint8)
    own[0, : v.nbytes] = np.frombuffer(v.tobytes(), np.uint8)
    mesh = _mesh_of_hosts()
    split = NamedSharding(mesh, PartitionSpec(_HOSTS))
    parts = jax.make_array_from_process_local_data(split, own, (host_count(), own.size))
    found = np.asarray(_everywhere(mesh)(parts))[:, : v.nbytes].tobytes()
    return np.frombuffer(found, v.dtype).reshape(host_count(), *v.shape)


def join(v: np.ndarray) -> np.ndarray:
    """Join the rows that the processes have, in their order: arrays (m, ...), m of each its own."""
    if host_count() == 1:
        return v
    sizes = gather(len(v))
    ends, longest = np.cumsum(sizes), int(sizes.max())
    whole = np.empty((ends[-1], *v.shape[1:]), v.dtype)
    step = max(1, _PIECE // max(1, whole.itemsize * int(np.prod(v.shape[1:]))))
    for at in range(0, longest, step):
        room = np.zeros((min(step, longest - at), *v.shape[1:]), v.dtype)
        own = v[at : at + step]
        room[: len(own)] = own
        for part, m, end in zip(gather(room), sizes - at, ends, strict=True):
            if m > 0:
                whole[end - m : end][: len(part)] = part[:m]
    return whole


def add_up(v: Any) -> np.ndarray:
    """Sum the arrays of all processes, in their order."""
    return gather(v).sum(axis=0)


def from_first(data: bytes) -> bytes:
    """Return what process 0 has; the others' ``data`` is not looked at."""
    return gather_bytes(data if host_index() == 0 else b"")[0]


def gather_bytes(data: bytes) -> list[bytes]:
    """Bring what the processes have, each as much as it will, to all of them, in their order."""
    ends = np.cumsum(gather(len(data)))
    joined = join(np.frombuffer(data, np.uint8))
    return [part.tobytes() for part in np.split(joined, ends[:-1])]


def devices_of_hosts(each: int) -> list[Any]:
    """Return the first devices of every process, ``each`` of them, process by process."""
    of: dict[int, list[Any]] = {}
    for device in sorted(jax.devices(), key=lambda device: device.id):
        of.setdefault(device.process_index, []).append(device)
    counts = {index: len(devices) for index, devices in of.items()}
    if len(set(counts.values())) > 1:
        raise HostsError(
            f"processes have {counts} devices: each must have the same number (JAX_NUM_CPU_DEVICES)"
        )
    return [device for index in sorted(of) for device in of[index][:each]]


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
        return np.asarray(v if index is None else v[index])
    if index is None:
        return join(own_rows(v))
    return np.asarray(_rows_everywhere(v.sharding.mesh)(v, np.asarray(index)))


def placed_like(v: np.ndarray, X: Array) -> Array:
    """Split an array, which all processes have whole, over devices as X is."""
    if not is_elsewhere(X):
        return jax.numpy.asarray(v)
    sharding: Any = X.sharding
    split = NamedSharding(sharding.mesh, PartitionSpec(ROWS))
    return jax.make_array_from_callback(v.shape, split, lambda part: v[part])


@functools.cache
def _mesh_of_hosts() -> Mesh:
    return Mesh(np.array(devices_of_hosts(1)), (_HOSTS,))


@functools.cache
def _everywhere(mesh: Mesh) -> Any:
    return jax.jit(lambda v: v, out_shardings=NamedSharding(mesh, PartitionSpec()))


@functools.cache
def _rows_everywhere(mesh: Mesh) -> Any:
    return jax.jit(lambda v, index: v[index], out_shardings=NamedSharding(mesh, PartitionSpec()))
