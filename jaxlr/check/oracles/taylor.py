"""Taylor's test of a slope: what it leaves of the function must vanish as the step squared."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxlr.check.oracles.differences import ladder_of, size_of, steps_along, unit
from jaxlr.check.oracles.ladder import EPS
from jaxlr.check.oracles.trace import Function, traced, vector, vectors

LEAST = 1.9  # order that passes
_ULPS = 8
_TAIL = 7  # rungs at the fine end, where what is left is rounding
_CLEAR = 100  # a remainder is read where it is so many times its rounding
_EXACT = 1e-8  # a slope that is as near as this needs no order
_ROUGH = 2.0**-20
_BLIND = 1e-2  # a test that would not see so much of a slope says nothing
_RUNGS = 6  # as many of the finest of these say the order


class Taylor(NamedTuple):
    """Order of the remainder ``|f(x + h u) - f(x) - h slope|`` in h.

    Attributes
    ----------
    order : float
        2 or more for the right slope, 1 for a wrong one; inf where nothing is left, or all that is
        left goes at once.
    passes : bool
        Whether it is 1.9 at least, or the remainder too small for an order to matter.
    refused : str
        Why there is no order: "not finite", "not resolved"; empty where there is one.
    """

    order: float
    passes: bool
    refused: str = ""


def order(f: Function, x: ArrayLike, direction: ArrayLike, slope: float) -> Taylor:
    """Order of Taylor's remainder for a slope that is to be tested, in float64.

    Parameters
    ----------
    f : callable
        From float64 (d,) to float64 (), traced by JAX once for as long as it lives.
    x : (d,) array
        Point.
    direction : (d,) array
        u, of any length.
    slope : float
        What is said to be ``d/dt f(x + t u)``.

    Returns
    -------
    Taylor
        The least of both sides, so that a kink does not pass.

    Raises
    ------
    ValueError
        If 64-bit mode is off, or if shapes or types do not fit.

    Notes
    -----
    The order is that of the finest steps at which rounding does not show: there a wrong slope
    counts most. A slope that is wrong by less than some 1e-6 passes, and one right to 1e-8 does
    whatever the order.

    References
    ----------
    .. [1] P. E. Farrell, D. A. Ham, S. W. Funke, M. E. Rognes, "Automated derivation of the
       adjoint of high-level transient finite element programs", 2013, section 5.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> with jax.enable_x64(True):
    ...     right = order(lambda x: jnp.exp(x[0]), np.zeros(1), np.ones(1), 1.0)
    ...     wrong = order(lambda x: jnp.exp(x[0]), np.zeros(1), np.ones(1), 1.001)
    >>> round(right.order, 1), right.passes, round(wrong.order, 1), wrong.passes
    (2.0, True, 1.0, False)
    """
    x = vector(x)
    u, power = unit(vectors(np.asarray(direction)[None], x, order=1))
    if not u.any():
        raise ValueError("the direction is 0: it has no Taylor series")
    slope = float(np.ldexp(slope, -int(power[0, 0])))
    h = 2.0 ** ladder_of(x, u[0, 0]).astype(np.float64)
    values, moved, off = traced(f, x).values(x, u, steps_along(h[None]))
    at, around = values[0, 0], values[0, 1:].reshape(-1, 2)
    made, off = moved[0, 1:].reshape(-1, 2), off[0, 1:].reshape(-1, 2)
    if not (np.isfinite(at) and np.isfinite(slope)):
        return Taylor(np.nan, False, "not finite")
    sides = [
        _side(at, *rows, slope, size_of(x, u[0, 0]))
        for rows in zip(around.T, made.T, off.T, strict=True)
    ]
    refused = [side for side in sides if side.refused]
    return refused[0] if refused else min(sides)


def _side(
    at: float, y: np.ndarray, h: np.ndarray, off: np.ndarray, slope: float, scale: float
) -> Taylor:
    usable = np.isfinite(y) & (off < 1 / 16) & (h != 0)
    y, h, off = y[usable], h[usable], off[usable]
    if len(y) < _TAIL + 2:
        return Taylor(np.nan, False, "not finite")
    left = abs(y - at - h * slope)
    noise = _ULPS * EPS * np.maximum(abs(y), abs(at)) + 4 * abs(np.diff(left[-_TAIL:])).max()
    noise += (2 * off + EPS) * abs(h * slope)
    still = (y == at) & (abs(h) < _ROUGH * scale)  # on the stairs of rounding, or flat
    noise += 4 * abs(h * slope)[still].max(initial=0)
    found = _order(abs(h), left, noise)
    least = ((left + noise) / abs(h)).min()  # change of the slope that would be seen
    passes = found >= LEAST or (least <= _EXACT * abs(slope) and slope != 0)
    blind = least > _BLIND * abs(slope) if passes else abs(slope) * scale <= _hidden(at, scale, y)
    if np.isnan(found) or (slope and blind):
        return Taylor(np.nan, False, "not resolved")
    return Taylor(found, bool(passes))


def _hidden(at: float, scale: float, y: np.ndarray) -> float:
    """Return what rounding inside of a function may hide where its value stands still."""
    return _ULPS * EPS * max(1.0, scale, abs(at)) if y[-1] == at else 0.0


def _order(h: np.ndarray, left: np.ndarray, noise: np.ndarray) -> float:
    """Slope of log left against log h on the finest rungs that rounding leaves clear."""
    if (left <= noise).all():
        return np.inf
    clear = np.flatnonzero(left > _CLEAR * noise)[-_RUNGS:]
    if not len(clear):
        return np.nan
    last = clear[-1]
    finer = slice(last + 1, None)  # what vanishes there does so with this order at least
    with np.errstate(divide="ignore"):
        drop = np.log2(left[last] / (left + noise)[finer]) / np.log2(h[last] / h[finer])
    least = float(drop.max(initial=0))
    if len(clear) < _RUNGS:
        return least if least >= LEAST else np.nan
    fit = float(np.polyfit(np.log2(h[clear]), np.log2(left[clear]), 1)[0])
    return max(fit, least)
