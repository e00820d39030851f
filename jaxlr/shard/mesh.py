"""Several devices: rows split over a mesh, parameters replicated.

A CPU counts as one device unless ``jax.config.update("jax_num_cpu_devices", cores)`` is called
before JAX starts; one device leaves cores idle in a loop over blocks of rows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

ROWS = "rows"


def split_rows(
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    devices: Sequence[Any] | None = None,
) -> tuple[Array, Array, Array | None]:
    """Split rows over devices, for everything in jaxlr that takes ``X, y, sample_weight``.

    Parameters
    ----------
    X : array_like, shape (n, d)
    y : array_like, shape (n,)
    sample_weight : array_like, shape (n,), optional
    devices : sequence of jax.Device, optional
        All devices of the default backend unless given.

    Returns
    -------
    X, y, sample_weight : Array
        Rows spread evenly. Where n is no multiple of the number of devices, rows of zeros with
        weight 0 fill up, and ``sample_weight`` is an array even if it was None.

    Raises
    ------
    ValueError
        If X, y and sample_weight do not have one row per example each.

    Notes
    -----
    Devices of a CPU share one pool of threads, in which several results under way at once can
    wait for each other for good. `jaxlr.train` waits for each step; in a loop of your own call
    ``jax.block_until_ready`` on one result before you ask for the next.

    Examples
    --------
    >>> import jaxlr, numpy as np
    >>> X, y, s = split_rows(np.ones((5, 2), np.float32), np.ones(5, np.float32))
    >>> loss, grads = jaxlr.loss_and_grads(jaxlr.zeros(2), X, y, s)
    >>> print(f"{loss:.4f}")
    0.6931
    """
    devices = jax.devices() if devices is None else list(devices)
    X, y = np.asarray(X), np.asarray(y)
    columns = {"y": y} if sample_weight is None else {"y": y, "sample_weight": sample_weight}
    for name, v in columns.items():
        if X.ndim == 0 or np.shape(v)[:1] != X.shape[:1]:
            raise ValueError(
                f"X {X.shape} and {name} {np.shape(v)} must have one row per example each"
            )
    missing = -len(X) % len(devices)
    if missing and sample_weight is None:
        sample_weight = np.ones(len(X), X.dtype if X.dtype.kind == "f" else np.float32)
    sharding = NamedSharding(Mesh(np.array(devices), (ROWS,)), PartitionSpec(ROWS))

    def put(v: Any) -> Array:
        v = np.asarray(v)
        if missing:
            v = np.pad(v, [(0, missing)] + [(0, 0)] * (v.ndim - 1))
        # One by one, for a CPU takes over a part whose memory is aligned without copying it.
        pieces = zip(np.split(v, len(devices)), devices, strict=True)
        parts = [jax.device_put(part, device) for part, device in pieces]
        return jax.make_array_from_single_device_arrays(v.shape, sharding, parts)

    return put(X), put(y), None if sample_weight is None else put(sample_weight)


def mesh_of(X: Any) -> Mesh | None:
    """Mesh over which the rows of ``X`` are split, or None where they are in one place."""
    sharding = None if isinstance(X, Tracer) else getattr(X, "sharding", None)  # sparse: none
    if not isinstance(sharding, NamedSharding):
        return None
    mesh = sharding.mesh
    split = sharding.spec[:1] == (ROWS,) and mesh.size > 1
    return mesh if split and isinstance(mesh, Mesh) else None


def sum_over_devices(f: Callable[[Any, Any], Any], mesh: Mesh | None) -> Callable[[Any, Any], Any]:
    """``f(replicated, rows)`` run by every device on its own rows, and the results summed."""
    if mesh is None:
        return f

    def total(replicated: Any, rows: Any) -> Any:
        return jax.tree.map(lambda v: jax.lax.psum(v, ROWS), f(replicated, rows))

    everywhere, split = PartitionSpec(), PartitionSpec(ROWS)
    # Unchecked, for a loop over blocks starts from zeros, which are the same everywhere.
    return jax.shard_map(
        total, mesh=mesh, in_specs=(everywhere, split), out_specs=everywhere, check_vma=False
    )
