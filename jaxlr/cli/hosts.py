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

_MOMENT_SECONDS = 1.0


def on_hosts(
    run: Callable[[], int],
    code_of: Callable[[BaseException], int | None],
    start: Start,
    *,
    goes_on: bool,
) -> int:
    """Start JAX, and run a command; of several processes the first prints.

    An error that `shard.together` has handed round ends all of them alike, and the first that met
    it says so. Where another ends one of them, that one says so, ends at once, and brings the
    others down.

    Parameters
    ----------
    run : callable
        The command; returns its exit code.
    code_of : callable
        Returns the exit code of an error that needs no traceback; None for others.
    start : Start
        As the command was started.
    goes_on : bool
        Whether `jaxlr resume` takes up what the command has left.
    """
    try:
        start_jax(start)
        if shard.host_index() == 0:
            return run()
        drop_output()
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
            return run()
    except BaseException as error:
        code, is_joined = code_of(error), jax.distributed.is_initialized()
        if code is not None and not isinstance(error, shard.ElsewhereError):
            first = not is_joined or shard.host_index() == 0
            print_error(str(error) if first else f"{_me()}: {error}")
        if is_joined and not shard.is_met_by_all(error):
            _leave(_told(error, start, goes_on=goes_on) if code is None else code)
        if code is None:
            raise
        return code


def _me() -> str:
    return f"process {shard.host_index()} of {shard.host_count()}"


def _told(error: BaseException, start: Start, *, goes_on: bool) -> int:
    """Say what ended this process, and return its exit code."""
    if isinstance(error, KeyboardInterrupt):
        print_error(f"{_me()}: interrupted")
        return 130
    if not shard.is_of_another(error):
        traceback.print_exception(error)
        print_error(f"{_me()}: ended by the error above, and brings the others down")
        return 1
    reason = str(error).strip().partition("\n")[0]
    go_on = ". Then go on by: jaxlr resume RUN, with as many processes or others" if goes_on else ""
    print_error(
        f"{_me()}: another process has ended or cannot be reached ({reason}). Waiting up to "
        f"{start.heartbeat} s for the coordinator, process 0, to say which{go_on}"
    )
    time.sleep(start.heartbeat + 1)  # JAX aborts this process meanwhile, with the others' names
    return 1


def _leave(code: int) -> NoReturn:
    """End without waiting for the others, as JAX would: they may be waiting for this process.

    Those that meet the same error get a moment to end likewise, before JAX aborts them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_MOMENT_SECONDS)
    os._exit(code)
