"""Rows by blocks of fixed numbers: what is known of each is brought together in their order."""

from collections.abc import Callable
from typing import Any

from jaxlr import shard
from jaxlr.data.errors import DataError

_MOST_BLOCKS = 256  # as many processes at most have rows to look at
_LEAST_ROWS = 64
_ALL_BLOCKS = 1 << 18  # numbers of columns that all blocks may have together ...
_FEW_BLOCKS = 16  # ... unless so few blocks have more


def block_rows(n: int, k: int = 1) -> int:
    """Rows of a block of n rows and k columns, however many processes there are.

    Examples
    --------
    >>> block_rows(101), block_rows(1_000_000), block_rows(1_000_000, 10_000)
    (64, 3907, 38462)
    """
    most = max(_FEW_BLOCKS, min(_MOST_BLOCKS, _ALL_BLOCKS // max(1, k)))
    return max(_LEAST_ROWS, -(-n // most))


def own_share(n: int, size: int) -> tuple[int, int]:
    """Tell the first and the end of the rows, of n in blocks of ``size``, that are this process's.

    Examples
    --------
    >>> own_share(101, 64)
    (0, 101)
    """
    own = shard.host_share(-(-n // size))
    return min(n, own.start * size), min(n, own.stop * size)


def in_all(work: Callable[[], Any]) -> None:
    """Do this process's share of some work, and wait for the others to do theirs.

    Raises
    ------
    DataError
        In every process, if the work of any raises it: that of the first of them.
    """
    said = b""
    try:
        work()
    except DataError as error:
        said = str(error).encode()
    first = next(filter(None, shard.gather_bytes(said)), None)
    if first is not None:
        raise DataError(first.decode())
