"""Some columns of a sparse X, back on the host."""

from typing import Any

import numpy as np

from jaxlr.batch.sparse.layout import Lines, SparseX


def take_sparse_columns(X: SparseX, columns: np.ndarray) -> Any:
    """Columns of X as SciPy's CSR: X[:, columns]; empty where ``columns`` is beyond the last.

    What is done is of the size of what is taken.

    Examples
    --------
    >>> import numpy as np, scipy.sparse
    >>> from jaxlr.batch.sparse import lay_out
    >>> X = lay_out(scipy.sparse.csr_array(np.eye(3)))
    >>> print(take_sparse_columns(X, np.array([2, 3])).toarray())
    [[0. 0.]
     [0. 0.]
     [1. 0.]]
    """
    from scipy.sparse import csc_array  # only where X is sparse anyway

    on_host: Any = [np.asarray(v) for v in X.columns[:3]]
    lines = Lines(*on_host, levels=X.columns.levels)
    found = [_entries(lines, int(j)) for j in columns if j < X.d]
    found += [(np.zeros(0, np.int32), np.zeros(0, X.dtype))] * int(np.sum(columns >= X.d))
    ends = np.cumsum([0, *(len(place) for place, _ in found)])
    place, value = (np.concatenate(v) for v in zip(*found, strict=True))
    return csc_array((value, place, ends), shape=(len(X), len(columns))).tocsr()


def _entries(lines: Any, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and values of the entries of line j of `Lines`, zeros left out."""
    chunks = np.array([lines.end[j]])
    for number, level in enumerate(lines.levels):
        found = np.array([level.end[j]])
        for below in reversed(lines.levels[: number + 1]):
            found = np.asarray(below.place)[:, found].ravel()
        chunks = np.append(chunks, found)
    place, value = lines.place[:, chunks], lines.value[:, chunks]
    return place[value != 0], value[value != 0]
