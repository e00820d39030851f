"""What the devices are: names, memory, and the bandwidth that a copy and a gradient reach."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benches.measure import interleaved, spread

_SHARE = 8  # of a device's memory that the array may take


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``device``."""
    command = commands.add_parser("device", help="name, memory and measured bandwidth of devices")
    command.add_argument("--megabytes", type=int, default=256, help="size of the array")
    command.add_argument("--columns", type=int, default=100)
    command.add_argument("--rounds", type=int, default=7)
    return {"device": lambda asked: device(asked.megabytes, asked.columns, asked.rounds)}


def device(megabytes: int, columns: int, rounds: int) -> None:
    """Print a line for each device, and the bandwidth of one of them and of all together.

    A copy reads and writes each byte once, and counts both; the gradient reads X once.
    """
    import jax

    for found in jax.devices():
        limit = (found.memory_stats() or {}).get("bytes_limit")
        memory = "memory not told" if limit is None else f"{limit / 1e9:.1f} GB of memory"
        print(f"{found}: {found.device_kind}, {memory}")
        if limit is not None:
            megabytes = min(megabytes, limit // _SHARE // 1_000_000)
    rows = max(1, megabytes * 1_000_000 // (4 * columns))
    size = 4 * rows * columns
    print(f"an array of {rows:,} x {columns} float32, {size / 1e6:.0f} MB:")
    for some in {1: jax.devices()[:1], len(jax.devices()): jax.devices()}.values():
        seconds = interleaved(_runs(rows, columns, some), rounds)
        for (name, times), moved in zip(seconds.items(), (2 * size, size), strict=True):
            rate = moved / np.median(times) / 1e9
            place = "1 device" if len(some) == 1 else f"{len(some)} devices"
            print(
                f"{name}, {place}: {rate:.2f} GB/s +- {rate * spread(times) / np.median(times):.2f}"
            )


def _runs(rows: int, columns: int, devices: list[Any]) -> dict[str, Callable[[], object]]:
    import jax
    import jax.numpy as jnp

    import jaxlr
    from jaxlr import batch, shard

    X, y, s = jaxlr.split_rows(
        np.ones((rows, columns), np.float32), np.zeros(rows, np.float32), devices=devices
    )
    params = jaxlr.Params(jnp.zeros(columns), jnp.zeros(()))
    gradient = jax.jit(batch.objective, static_argnames="mesh")
    copy = jax.jit(jnp.copy)
    mesh = shard.mesh_of(X)

    def run_gradient() -> object:
        return jax.block_until_ready(gradient(params, X, y, s, 0.0, mesh=mesh))

    return {
        "copy": lambda: jax.block_until_ready(copy(X)),
        "gradient": run_gradient,
    }
