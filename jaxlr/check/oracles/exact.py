"""Readings of ``jaxlr.check.exact``: differences in arbitrary precision."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxlr.check import exact as arbitrary
from jaxlr.check.oracles.reading import Reading, refuse
from jaxlr.check.oracles.trace import Function, traced, vector, vectors

NAME = "exact"
LIMIT = 20_000
_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)


def slopes(f: Function, x: ArrayLike, directions: ArrayLike, limit: int = LIMIT) -> list[Reading]:
    """Directional derivatives in arbitrary precision, rounded once to float64.

    Parameters
    ----------
    f : callable
        From float64 (d,) to float64 ().
    x : (d,) array
        Point.
    directions : (m, d) array
        u, each of any length.
    limit : int
        Numbers that one evaluation of ``f`` may compute; some 10,000 take a second for each
        direction. See ``trace.work``.

    Returns
    -------
    list of Reading
        Refused with the reason: "kink" (or a jump), "not finite", "too much work: ...", "no rule
        ...", "mpmath is missing: ...", or that rounding decides.

    Raises
    ------
    ValueError
        If 64-bit mode is off, or if shapes or types do not fit.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> with jax.enable_x64(True):
    ...     (found,) = slopes(lambda x: jnp.exp(x[0]), np.ones(1), np.ones((1, 1)))
    >>> found.value == np.e, found.error < 1e-15
    (True, True)
    """
    x = vector(x)
    u = vectors(directions, x, order=1)
    return [_read(f, x, v, limit, arbitrary.slope) for v in u]


def bends(f: Function, x: ArrayLike, pairs: ArrayLike, limit: int = LIMIT) -> list[Reading]:
    """Mixed second derivatives in arbitrary precision; see ``slopes``.

    Parameters
    ----------
    f : callable
        From float64 (d,) to float64 ().
    x : (d,) array
        Point.
    pairs : (m, 2, d) array
        u and v.
    limit : int
        Numbers that one evaluation of ``f`` may compute.

    Returns
    -------
    list of Reading
        One for each pair.

    Examples
    --------
    >>> import jax
    >>> with jax.enable_x64(True):
    ...     (found,) = bends(lambda x: x[0] ** 2 * x[1], np.ones(2), np.eye(2)[None])
    >>> found.value
    2.0
    """
    x = vector(x)
    return [_read(f, x, pair, limit, arbitrary.second) for pair in vectors(pairs, x, order=2)]


def _read(
    f: Function, x: np.ndarray, directions: np.ndarray, limit: int, derive: Callable[..., Any]
) -> Reading:
    """One derivative; what ``derive`` raises becomes the reason."""
    size = traced(f, x).work
    if size > limit:
        return refuse(NAME, f"too much work: {size} numbers, and the limit is {limit}")
    if not directions.any(axis=1).all():
        finite = np.isfinite(float(traced(f, x).at(x)))
        return Reading(NAME, 0.0, 0.0) if finite else refuse(NAME, "not finite")
    try:
        found = derive(f, (x,), *((u,) for u in directions))
    except ImportError as missing:
        return refuse(NAME, f"mpmath is missing: {missing}")
    except (arbitrary.Unsupported, arbitrary.Unresolved) as reason:
        return refuse(NAME, str(reason))
    except (ArithmeticError, TypeError, ValueError) as broken:  # complex numbers inside, e.g.
        return refuse(NAME, f"cannot be evaluated: {broken}")
    return _rounded(found)


def _rounded(found: arbitrary.Slope) -> Reading:
    value, error = (float(_only(v)) for v in (found.value, found.error))
    if bool(_only(found.smooth)) and np.isfinite(value):
        return Reading(NAME, value, error + _EPS * abs(value) + _TINY)
    sides = [float(_only(v)) for v in (found.left, found.right)]
    return refuse(NAME, "kink" if np.isfinite(sides).all() else "not finite")


def _only(array: Sequence[Any] | np.ndarray) -> Any:
    return np.asarray(array).reshape(-1)[0]
