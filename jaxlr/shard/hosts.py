"""Hosts: several processes that share the rows of one problem, by JAX's own runtime.

Each process runs the same program and holds a part of the rows. Sums over devices (`mesh`) then
go over all of them. What a process has on its host, as a NumPy array, is brought together by
`gather`, in the order of the processes, so that what is computed of it is the same on each.

Every function here but `host_count` and `host_index` waits for all processes to call it.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

HEARTBEAT_SECONDS = 30
_START_SECONDS = 120
_END_SECONDS = 30
_HOSTS = "hosts"
_PIECE = 1 << 22  # bytes of each process that are on the devices at once
BEFORE_GATHER: ContextVar[Callable[[], None] | None] = ContextVar("BEFORE_GATHER", default=None)


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
    look = BEFORE_GATHER.get()
    if look is not None:
        look()
    return exchange(v)


def exchange(v: Any) -> np.ndarray:
    """Do what `gather` does, whatever is to come before it."""
    v = np.asarray(v)
    found = np.asarray(_everywhere(_mesh_of_hosts())(_side_by_side(v.tobytes(), v.nbytes)))
    return np.frombuffer(found[:, : v.nbytes].tobytes(), v.dtype).reshape(host_count(), *v.shape)


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
    """Return what process 0 has; the others' ``data`` is not looked at.

    The others add zeros to it, a piece at a time.
    """
    if host_count() == 1:
        return data
    size, mesh, mine = int(gather(len(data))[0]), _mesh_of_hosts(), host_index() == 0
    pieces = []
    for at in range(0, size, _PIECE):
        m = min(_PIECE, size - at)
        own = _side_by_side(data[at : at + m] if mine else b"", m)
        pieces.append(np.asarray(_summed(mesh)(own))[:m].tobytes())
    return b"".join(pieces)


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


@functools.cache
def _mesh_of_hosts() -> Mesh:
    return Mesh(np.array(devices_of_hosts(1)), (_HOSTS,))


def _side_by_side(own: bytes, size: int) -> Any:
    """Make an array (processes, size or more) of bytes, of which each process has its own row.

    Bytes, for JAX may have no float64; filled up to a power of two, to compile less.
    """
    row = np.zeros((1, 1 << max(6, (size - 1).bit_length())), np.uint8)
    row[0, : len(own)] = np.frombuffer(own, np.uint8)
    split = NamedSharding(_mesh_of_hosts(), PartitionSpec(_HOSTS))
    return jax.make_array_from_process_local_data(split, row, (host_count(), row.size))


@functools.cache
def _everywhere(mesh: Mesh) -> Any:
    return jax.jit(lambda v: v, out_shardings=NamedSharding(mesh, PartitionSpec()))


@functools.cache
def _summed(mesh: Mesh) -> Any:
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(lambda v: v.sum(axis=0, dtype=v.dtype), out_shardings=everywhere)
