"""Devices: rows split over a mesh or over threads, parameters replicated, sums over everything."""

from jaxlr.shard.memory import aligned_empty, put
from jaxlr.shard.mesh import mesh_of, split_rows, sum_over_devices
from jaxlr.shard.prefetch import prefetch
from jaxlr.shard.threads import cores, in_threads

__all__ = [
    "aligned_empty",
    "cores",
    "in_threads",
    "mesh_of",
    "prefetch",
    "put",
    "split_rows",
    "sum_over_devices",
]
