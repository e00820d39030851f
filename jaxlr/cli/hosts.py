"""How a command ends that is one of several processes: with the others, or before them."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import NoReturn

import jax

from jaxlr import shard
from jaxlr.cli import drop_output
from jaxlr.cli.devices import Start
from jaxlr.cli.show import print_error
from jaxlr.cli.start import start_jax

_NETWORKS = ("Gloo", "NCCL")
_MOMENT_SECONDS = 1.0


def on_hosts(run: Callable[[], int], known: Callable[[Exception], int | None], start: Start) -> int:
    """Start JAX, and run a command; of several processes the first prints.

    Where an error ends it on one of them, that one says so, ends at once, and brings the others
    down.

    Parameters
    ----------
    run : callable
        The command; returns its exit code.
    known : callable
        Prints an error that needs no traceback, and returns its exit code; None for others.
    start : Start
        As the command was started.
    """
    try:
        start_jax(start)
        if shard.host_index() == 0:
            return run()
        drop_output()
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
            return run()
    except BaseException as error:
        code = known(error) if isinstance(error, Exception) else None
        if not jax.distributed.is_initialized():
            if code is None:
                raise
            return code
        _leave(_told(error, start) if code is None else code)


def _told(error: BaseException, start: Start) -> int:
    """Say what ended this process, and return its exit code."""
    me = f"process {shard.host_index()} of {shard.host_count()}"
    if isinstance(error, KeyboardInterrupt):
        print_error(f"{me}: interrupted")
        return 130
    if not _is_of_another(error):
        traceback.print_exception(error)
        print_error(f"{me}: ended by the error above, and brings the others down")
        return 1
    reason = str(error).strip().partition("\n")[0]
    print_error(
        f"{me}: another process has ended or cannot be reached ({reason}). Waiting up to "
        f"{start.heartbeat} s for the coordinator, process 0, to say which. A training goes on by: "
        "jaxlr resume RUN, with as many processes or others"
    )
    time.sleep(start.heartbeat + 1)  # JAX aborts this process meanwhile, with the others' names
    return 1


def _is_of_another(error: BaseException) -> bool:
    """Whether it says that another process is gone: JAX has two types for that."""
    return isinstance(error, jax.errors.JaxRuntimeError) or (
        isinstance(error, ValueError) and any(name in str(error) for name in _NETWORKS)
    )


def _leave(code: int) -> NoReturn:
    """End without waiting for the others, as JAX would: they may be waiting for this process.

    Those that meet the same error get a moment to end likewise, before JAX aborts them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_MOMENT_SECONDS)
    os._exit(code)
