"""How JAX starts for the command line: all cores, and compiled code kept between runs."""

import os
import warnings
from pathlib import Path

import jax

from jaxlr.cli.devices import Start, choose_device, join_hosts
from jaxlr.shard import cores


def start_jax(start: Start | None = None) -> None:
    """Start JAX where ``start`` says, one CPU device for each core, and a cache on disk.

    What the user has set stays as it is (``JAX_NUM_CPU_DEVICES``, ``JAX_COMPILATION_CACHE_DIR``).
    Where JAX has started already, as in a process that calls `main` itself, nothing changes.
    """
    own = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]
    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    try:
        jax.config.update("jax_num_cpu_devices", own if forced or own > 0 else cores())
        _cache_compiled_code()
    except RuntimeError:  # it has started
        pass
    if start is not None:
        join_hosts(start)
        choose_device(start)


def _cache_compiled_code() -> None:
    if jax.config.jax_compilation_cache_dir is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return
    try:
        parent = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(parent) / "jaxlr"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Ours compile in tenths of a second, below what JAX keeps unasked.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
