"""Devices and hosts: rows split over a mesh or over threads, parameters replicated, sums of all."""

from jaxlr.shard.errors import ElsewhereError, is_met_by_all, is_of_another, together
from jaxlr.shard.hostrows import (
    is_elsewhere,
    join_rows,
    on_host,
    own_rows,
    placed_like,
    readable,
)
from jaxlr.shard.hosts import (
    HEARTBEAT_SECONDS,
    HostsError,
    add_up,
    devices_of_hosts,
    from_first,
    gather,
    gather_bytes,
    host_count,
    host_index,
    host_share,
    join,
    start_hosts,
)
from jaxlr.shard.memory import aligned_empty, copied, host_device, put
from jaxlr.shard.mesh import mesh_of, split_rows, sum_over_devices
from jaxlr.shard.prefetch import prefetch
from jaxlr.shard.threads import cores, in_threads

__all__ = [
    "HEARTBEAT_SECONDS",
    "ElsewhereError",
    "HostsError",
    "add_up",
    "aligned_empty",
    "copied",
    "cores",
    "devices_of_hosts",
    "from_first",
    "gather",
    "gather_bytes",
    "host_count",
    "host_device",
    "host_index",
    "host_share",
    "in_threads",
    "is_elsewhere",
    "is_met_by_all",
    "is_of_another",
    "join",
    "join_rows",
    "mesh_of",
    "on_host",
    "own_rows",
    "placed_like",
    "prefetch",
    "put",
    "readable",
    "split_rows",
    "start_hosts",
    "sum_over_devices",
    "together",
]
