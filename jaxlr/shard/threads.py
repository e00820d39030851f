"""Threads: calls of compiled functions that keep all cores of a CPU busy.

A loop over blocks of rows keeps one core busy. Several calls of it, each on a part of the rows,
run at once where each comes from a thread of its own.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import jax

Result = TypeVar("Result")


@functools.cache
def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run all calls at once, the last in this thread, and return their results in order.

    They see the context variables of the caller, and its choices of device and of x64, which JAX
    keeps for each thread; other settings of JAX only as far as they are global. While Python shuts
    down, when no thread can be started, the calls are run one by one. The first error is raised.

    Examples
    --------
    >>> in_threads([lambda: 1, lambda: 2])
    [1, 2]
    """
    *others, own = calls
    config: Any = jax.config  # its values are those of the caller's thread
    wide, device = config.jax_enable_x64, config.jax_default_device

    def run(call: Callable[[], Result]) -> Result:
        with jax.enable_x64(wide), jax.default_device(device):
            return call()

    try:
        under_way = [_pool().submit(copy_context().run, run, call) for call in others]
    except RuntimeError:
        return [call() for call in calls]
    result = own()
    return [*(future.result() for future in under_way), result]


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="jaxlr")


if hasattr(os, "register_at_fork"):  # the threads of a pool are not there in a forked process
    os.register_at_fork(after_in_child=_pool.cache_clear)
