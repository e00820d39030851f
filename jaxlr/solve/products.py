"""Products of matrices in the cache, by one core each.

BLAS lets the threads of its products spin, and wait for each other. Beside threads of XLA, or other
work on the same cores, a product of 1,000 x 1,000 numbers with a vector then takes 13 ms instead of
0.5 (two busy cores, OpenBLAS). Pieces of it are too small for BLAS to wake a thread.
"""

import numpy as np

_OF_A_VECTOR, _OF_A_MATRIX = 9_000, 250_000  # multiplications below which OpenBLAS stays alone

_FEW_FOR_A_GRAM = 32  # rows: in pieces of fewer, their sums are no small part of the work
_FEW = 4  # rows: in pieces of fewer, one core takes longer than it would wait
_MOSTLY_0 = 3  # times as many numbers as are not 0: from there on, rows are copied


def gram(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Multiply ``A' B``: A and B (m, k), in the type of both.

    Examples
    --------
    >>> print(gram(np.ones((3, 2)), np.ones((3, 2))))
    [[3. 3.]
     [3. 3.]]
    """
    m, k = A.shape
    rows = _OF_A_MATRIX // max(1, k * k)
    if rows >= m or rows < _FEW_FOR_A_GRAM or not A.flags.c_contiguous or not B.flags.c_contiguous:
        return A.T @ B
    whole = m - m % rows
    a, b = (v[:whole].reshape(-1, rows, k) for v in (A, B))
    return np.matmul(a.swapaxes(1, 2), b).sum(axis=0) + A[whole:].T @ B[whole:]


def times(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Multiply ``A B``: A (m, k), B (k,) or (k, l).

    Examples
    --------
    >>> print(times(np.ones((2, 3)), np.arange(3.0)))
    [3. 3.]
    """
    m, k = A.shape
    most = _OF_A_VECTOR if B.ndim == 1 else _OF_A_MATRIX
    rows = max(1, most // max(1, k * (B.size // max(1, k))))
    if rows >= m or (rows < _FEW and B.ndim > 1) or not A.flags.c_contiguous:
        return A @ B
    product = np.empty((m, *B.shape[1:]), np.result_type(A, B))
    whole = m - m % rows
    pieces = product[:whole].reshape(-1, rows, *B.shape[1:])
    np.matmul(A[:whole].reshape(-1, rows, k), B, out=pieces)
    product[whole:] = A[whole:] @ B
    return product


def times_mostly_0(H: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Multiply ``H x``: H (p, p) symmetric, and x (p,) with few numbers that are not 0.

    Examples
    --------
    >>> print(times_mostly_0(np.array([[1.0, 2.0], [2.0, 3.0]]), np.array([0.0, 1.0])))
    [2. 3.]
    """
    some = np.flatnonzero(x)
    if _MOSTLY_0 * len(some) > len(x):
        return times(H, x)
    return np.einsum("j,jk->k", x[some], H[some])
