"""Whether the rows of a run are still those that it began with."""

import hashlib
from typing import Any

import numpy as np

from jaxlr.data import Dataset
from jaxlr.run.hosts import OwnRows

_BLOCK_BYTES = 1 << 24
_COUNTS = ("rows", "columns")


def fingerprint(rows: Dataset | OwnRows) -> dict[str, Any]:
    """Return how many rows and columns there are, and SHA-256 of their names and values.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Dataset(np.eye(2), np.array([0.0, 1.0]), ("a", "b"), ("no", "yes"), "made up")
    >>> found = fingerprint(rows)
    >>> found["rows"], found["sha256"] == fingerprint(rows._replace(y=1 - rows.y))["sha256"]
    (2, False)
    """
    if isinstance(rows, OwnRows):
        return rows.fingerprint()
    digest = hashlib.sha256(repr((rows.features, rows.labels)).encode())
    size = max(1, _BLOCK_BYTES // max(1, rows.X[:1].nbytes))
    for start in range(0, len(rows.X), size):
        digest.update(np.ascontiguousarray(rows.X[start : start + size]).data)
    digest.update(np.ascontiguousarray(rows.y).data)
    n, d = rows.X.shape
    return {"rows": n, "columns": d, "sha256": digest.hexdigest()}


def difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Say what is different between two fingerprints, if anything is."""
    for what in _COUNTS:
        if before.get(what) != now[what]:
            return f"there were {before.get(what)} {what}, and now there are {now[what]}"
    if before.get("sha256") != now["sha256"]:
        return "as many rows and columns as before, but other values or names"
    return None
