"""From the layout of a sparse X back to SciPy's columns, on the host."""

from typing import Any

import numpy as np

from jaxlr.batch.sparse.layout import Lines, SparseX


def to_scipy(X: SparseX) -> Any:
    """Return X as SciPy's CSC, its explicit zeros left out."""
    from scipy import sparse

    line = _line_of_chunks(X.columns)
    order = np.flatnonzero(line >= 0)
    order = order[np.argsort(line[order], kind="stable")]
    value, place = (np.asarray(v)[:, order].T for v in (X.columns.value, X.columns.place))
    kept = value != 0
    count = np.bincount(line[order], weights=kept.sum(axis=1), minlength=X.d)
    pointer = np.append(0, np.cumsum(count)).astype(np.int64)
    return sparse.csc_array((value[kept], place[kept], pointer), shape=X.shape)


def _line_of_chunks(lines: Lines) -> np.ndarray:
    """Find the line that each chunk is of, -1 where it is empty: from the last sums down."""
    ends = [lines.end, *(level.end for level in lines.levels)]
    sizes = [lines.value.shape[1], *(level.place.shape[1] for level in lines.levels)]
    found = np.full(sizes[-1], -1)
    for i in reversed(range(len(sizes))):
        end = np.asarray(ends[i])
        found[end] = np.arange(len(end))
        found[-1] = -1  # the sum of nothing
        if i:
            place = np.asarray(lines.levels[i - 1].place)
            known = found >= 0
            below = np.full(sizes[i - 1], -1)
            below[place[:, known]] = found[known]
            found = below
    return found
