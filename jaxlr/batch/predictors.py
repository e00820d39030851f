"""Loss, slope and curvature of rows whose linear predictors are known: `core` from z on.

Nothing here depends on the number of features, and little on that of rows: they are taken
in pieces of one size, so that one compiled function serves every data set.
"""

from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from jaxlr import core

PIECE = 1024  # rows; more cost a small data set more than its calls do


class PredictorTerms(NamedTuple):
    """Of n rows: losses ``L`` (n,), slopes ``dz`` (n,) and curvatures ``d2z`` (n,).

    Of K classes ``dz`` is (n, K) and ``d2z`` (n, K, K).
    """

    L: np.ndarray
    dz: np.ndarray
    d2z: np.ndarray


def terms_on_host(z: np.ndarray, y: np.ndarray, *, piece: int = PIECE) -> PredictorTerms:
    """Find the terms of n rows, in the type of z; all lies in the memory of the host.

    Parameters
    ----------
    z : ndarray, shape (n,) or (n, K)
        Linear predictors.
    y : ndarray, shape (n,)
        Labels in [0, 1], or class numbers.
    piece : int
        Rows that are taken at a time; compiled once for each such number.

    Examples
    --------
    >>> print(terms_on_host(np.zeros(1, np.float32), np.ones(1, np.float32)).dz)
    [-0.5]
    """
    n = len(z)
    starts = range(0, n, piece)
    found = [_terms(_fill(z[i : i + piece], piece), _fill(y[i : i + piece], piece)) for i in starts]
    if len(found) == 1:
        return PredictorTerms(*(np.asarray(v)[:n] for v in found[0]))
    return PredictorTerms(*(np.concatenate(v)[:n] for v in zip(*found, strict=True)))


def _fill(v: np.ndarray, size: int) -> np.ndarray:
    """Rows of a whole piece, where there are fewer."""
    if len(v) == size:
        return v
    whole = np.zeros((size, *v.shape[1:]), v.dtype)
    whole[: len(v)] = v
    return whole


@jax.jit
def _terms(z: Array, y: Array) -> tuple[Array, Array, Array]:
    def of_row(z: Array, y: Array) -> tuple[Array, Array, Array]:
        L, cache = core.loss_at(z, y)
        return L, core.slope(cache), core.curvature(cache)

    return jax.vmap(of_row)(z, y)
