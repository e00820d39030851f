"""Loss, slope and curvature of rows whose linear predictors are known: `core` from z on.

Nothing here depends on the number of features, and little on that of rows: they are taken
in pieces of one size, so that one compiled function serves every data set.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxlr import core
from jaxlr.batch.models.gradients import sides_at
from jaxlr.batch.models.rows import Moment, Rows, Terms, View, terms_at

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
    return PredictorTerms(*_by_pieces(_terms, piece, z, y))


def weighted_terms_on_host(
    z: np.ndarray, y: np.ndarray, s: np.ndarray, *, of: Moment | None = "loss", piece: int = PIECE
) -> Terms:
    """Find what n rows of weights s (n,) add to the sums of one model, in the type of z.

    Everything else is as in `terms_on_host`; with ``of="slope"``, ``bend`` is of dz^2, and
    None without ``of``.

    Examples
    --------
    >>> one, two = np.ones(1, np.float32), np.full(1, 2, np.float32)
    >>> print(weighted_terms_on_host(0 * one, one, two).dz)
    [-1.]
    """
    return _by_pieces(partial(_weighted_terms, of=of), piece, z, y, s)


def sides_on_host(
    z: np.ndarray, y: np.ndarray, s: np.ndarray, *, piece: int = PIECE
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n,) of rows that z takes to their label's side and away: `batch.side_sums`."""
    return _by_pieces(_sides, piece, z, y, s)


def _by_pieces(f: Callable[..., Any], piece: int, *arrays: np.ndarray) -> Any:
    """``f`` of n rows, so many at a time: arrays (n, ...), as ``f`` puts them together."""
    n = len(arrays[0])
    found = [
        f(*(_fill(v[i : i + piece], piece) for v in arrays)) for i in range(0, max(1, n), piece)
    ]
    if len(found) == 1:
        return jax.tree.map(lambda v: np.asarray(v)[:n], found[0])
    return jax.tree.map(lambda *v: np.concatenate(v)[:n], *found)


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


@partial(jax.jit, static_argnames="of")
def _weighted_terms(z: Array, y: Array, s: Array, of: Moment | None) -> Terms:
    return jax.vmap(lambda z, row: terms_at(View(), row, z, of))(z, _rows(y, s))


@jax.jit
def _sides(z: Array, y: Array, s: Array) -> tuple[Array, Array]:
    return jax.vmap(lambda z, row: sides_at(View(), row, z))(z, _rows(y, s))


def _rows(y: Array, s: Array) -> Rows:
    no_features: Any = None
    return Rows(no_features, y, s)
