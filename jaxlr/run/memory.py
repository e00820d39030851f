"""How much memory rows may take: said as text with a unit, or a share of what is free."""

import os
import re
from pathlib import Path

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_UNITS |= {"B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
VALUE_BYTES = 16  # in memory: as float64, and what it is made from or the run's own type
STREAM_MEMORY = 1 << 26  # bytes, of blocks of rows, where nothing says how many
_MOST = 10**18  # bytes, a million TB
_SHARE = 2  # what is free, divided by that: the rest is for everybody else
_CGROUP = Path("/sys/fs/cgroup")


def to_bytes(memory: str | int) -> int:
    """Read an amount of memory.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> to_bytes("2GB"), to_bytes("1.5 MiB"), to_bytes(4096), to_bytes("0")
    (2000000000, 1572864, 4096, 0)
    """
    match = _AMOUNT.fullmatch(str(memory).strip())
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(
            f"memory is {memory!r}: it must be a number of bytes, as in 500MB, 2GB or 1.5GiB"
        )
    size = float(match[1]) * _UNITS[match[2].upper()]
    if size >= _MOST:
        raise ValueError(f"memory is {memory!r}: it must be less than {_MOST:.0e} bytes")
    return int(size)


def row_bytes(rows: int, columns: int) -> int:
    """Return what rows take in memory, with their labels and weights.

    Examples
    --------
    >>> row_bytes(10, 3)
    800
    """
    return rows * (columns + 2) * VALUE_BYTES


def in_words(size: int) -> str:
    """Write a number of bytes with a unit.

    Examples
    --------
    >>> in_words(1_234_567), in_words(12)
    ('1.23 MB', '12 bytes')
    """
    unit = next((u for u in ("TB", "GB", "MB", "kB") if size >= _UNITS[u.upper()]), None)
    return f"{size} bytes" if unit is None else f"{size / _UNITS[unit.upper()]:.3g} {unit}"


def default() -> int:
    """Half of the memory that this machine, or this container, has free."""
    return min(_of_machine(), _of_container()) // _SHARE


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(v.split()[1]) << 10 for v in lines if v.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # no Linux: what there is in all
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _of_container() -> int:
    try:
        limit, used = (
            int((_CGROUP / name).read_text("ascii")) for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # there is no limit
        return 1 << 62
    return max(1 << 26, limit - used)
