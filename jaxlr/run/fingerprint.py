"""Whether the rows of a run are still those that it began with."""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxlr import shard
from jaxlr.data import Dataset, block_rows

_BLOCK_BYTES = 1 << 24
_COUNTS = ("rows", "columns")


def fingerprint(rows: Dataset) -> dict[str, Any]:
    """Return how many rows and columns there are, and SHA-256 of their names and values.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Dataset(np.eye(2), np.array([0.0, 1.0]), ("a", "b"), ("no", "yes"), "made up")
    >>> found = fingerprint(rows)
    >>> found["rows"], found["sha256"] == fingerprint(rows._replace(y=1 - rows.y))["sha256"]
    (2, False)
    """
    digests, size = Digests(len(rows.X)), max(1, _BLOCK_BYTES // max(1, rows.X[:1].nbytes))
    for start in range(0, len(rows.X), size):
        part = slice(start, start + size)
        weight = None if rows.weight is None else rows.weight[part]
        digests.add(rows.X[part], rows.y[part], weight)
    return digests.fingerprint(rows.features, rows.labels)


class Digests:
    """The fingerprint of n rows that come in pieces, of whatever size.

    Rows are hashed by blocks, so that each of several processes can do its share of them, from the
    first row of a block on.
    """

    def __init__(self, n: int) -> None:
        self._size, self._left = block_rows(n), 0
        self._hashes: list[tuple[Any, ...]] = []  # of each block: X, y and weights
        self.rows = 0

    def add(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Add rows: in float64, or they give another fingerprint."""
        start = 0
        while start < len(X):
            if not self._left:
                self._hashes.append(tuple(hashlib.sha256() for _ in range(3)))
                self._left = self._size
            part = slice(start, start + min(self._left, len(X) - start))
            for one, v in zip(self._hashes[-1], (X, y, weight), strict=True):
                if v is not None:
                    one.update(np.ascontiguousarray(v[part]).data)
            self._left -= part.stop - start
            start = part.stop
        self.rows += len(X)

    def fingerprint(
        self, features: Sequence[str], labels: Sequence[str], *, shared: bool = False
    ) -> dict[str, Any]:
        """Return that of all rows that were added, by this process or, where shared, by all."""
        found, rows = b"".join(one.digest() for block in self._hashes for one in block), self.rows
        if shared:
            found, rows = b"".join(shard.gather_bytes(found)), int(shard.add_up(rows))
        total = hashlib.sha256(repr((tuple(features), tuple(labels))).encode() + found)
        return {"rows": rows, "columns": len(features), "sha256": total.hexdigest()}


def origin_of(data: dict[str, Any], devices: Sequence[Any]) -> dict[str, Any]:
    """Return what a run must have in common with itself to give the same bits after a break.

    ``data`` is the `fingerprint` of its rows.
    """
    return {
        "data": data,
        "devices": len(devices),
        "processes": shard.host_count(),
        "device": devices[0].device_kind,
        "jax": jax.__version__,
    }


def difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Say what is different between two fingerprints, if anything is."""
    for what in _COUNTS:
        if before.get(what) != now[what]:
            return f"there were {before.get(what)} {what}, and now there are {now[what]}"
    if before.get("sha256") != now["sha256"]:
        return "as many rows and columns as before, but other values or names"
    return None
