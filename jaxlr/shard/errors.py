"""How several processes end alike: an error that one of them meets is handed round to all."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from jaxlr.shard.hosts import BEFORE_GATHER, HostsError, exchange, host_count, host_index

_MET_BY_ALL = "all others know of this error, and end with it"
_OF_ANOTHER = re.compile(
    r"gloo|nccl|coordination service|heartbeat|barrier|socket closed|broken pipe|by peer|"
    r"connection (closed|reset|refused|timed out)|failed to connect",
    re.IGNORECASE,
)
_NETWORK = re.compile(r"Gloo|NCCL")
_OF_OWN = re.compile(
    r"RESOURCE_EXHAUSTED|out of memory|cuda (error|failure|.?alloc)|invalid (argument|usage)",
    re.IGNORECASE,
)


class ElsewhereError(HostsError):
    """Another process met an error, or met one first.

    Parameters
    ----------
    process : int
        The first that met one.
    kinds : sequence of str
        Names of the class of its error, and of the classes of which that is one.
    message : str
        What it says.
    """

    def __init__(self, process: int, kinds: list[str], message: str) -> None:
        self.process, self.kinds = process, kinds
        super().__init__(f"process {process} of {host_count()}: {message}")


@contextmanager
def together() -> Iterator[None]:
    """Do work that any process alone may fail at: all of them do it, or none.

    Where some fail, the first of them raises its own error at the end of the work, and all others
    `ElsewhereError`, at their next `gather` or at that end. The work may wait for the others by
    `gather` and what is made of it (`join`, `add_up`, `from_first`), and in no other way. Each
    process then sends 64 bytes more at each `gather`. An error that says that another process is
    gone is not handed round.

    Examples
    --------
    Of one process, it does nothing:

    >>> with together():
    ...     print("rows")
    rows
    """
    if host_count() == 1 or BEFORE_GATHER.get() is not None:
        yield
        return
    token = BEFORE_GATHER.set(_listen)
    try:
        yield
    except Exception as error:
        if not isinstance(error, ElsewhereError) and not is_of_another(error):
            _listen(_told(error))
            error.add_note(f"process {host_index()} of {host_count()}: {_MET_BY_ALL}")
        raise
    else:
        _listen()
    finally:
        BEFORE_GATHER.reset(token)


def is_met_by_all(error: BaseException) -> bool:
    """Whether `together` has handed the error round, so that all processes end alike."""
    notes = getattr(error, "__notes__", ())
    return isinstance(error, ElsewhereError) or any(_MET_BY_ALL in note for note in notes)


def is_of_another(error: BaseException) -> bool:
    """Whether the error says that another process is gone, as far as its text tells.

    JAX has no type for that: what runs short here comes as a ``JaxRuntimeError`` too.

    Examples
    --------
    >>> is_of_another(jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Socket closed"))
    True
    >>> is_of_another(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
    False
    """
    text = str(error)
    if _OF_OWN.search(text):
        return False
    if isinstance(error, jax.errors.JaxRuntimeError):
        return bool(_OF_ANOTHER.search(text))
    # Some of JAX's calls make a ValueError of it; one of a class of its own is not JAX's.
    return type(error) is ValueError and bool(_NETWORK.search(text))


def _told(error: Exception) -> bytes:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return json.dumps({"kinds": kinds, "message": str(error)}).encode()


def _listen(own: bytes = b"") -> None:
    """Hear whether a process has failed, and say ``own`` if this one has; raise if not first."""
    sizes = exchange(len(own))
    if not sizes.any():
        return
    room = np.zeros(sizes.max(), np.uint8)
    room[: len(own)] = np.frombuffer(own, np.uint8)
    first = int(np.flatnonzero(sizes)[0])
    said: dict[str, Any] = json.loads(exchange(room)[first, : sizes[first]].tobytes())
    if first != host_index():
        raise ElsewhereError(first, **said)
