"""Central differences: first and mixed second derivatives from values of the function alone.

Steps are powers of two, from some hundred times as long as the point is far from 0 down to where
a step is lost in it. They are relative to the point's size along the direction, and absolute.
"""

import numpy as np
from numpy.typing import ArrayLike

from jaxlr.check.oracles.ladder import Rungs, judge
from jaxlr.check.oracles.reading import Reading, refuse
from jaxlr.check.oracles.trace import Function, traced, vector, vectors

NAME = "central differences"
_RUNGS = 64
_UP, _DOWN = 10, 49  # longest and shortest step, in powers of two of the point's size
_DOWN_FROM_0 = 200  # the same at 0, where no step is lost
_LEAST = -1021  # below, steps are 0
_LOST = 1 / 16  # relative rounding of a move from which on a rung is not used
_SIDES = np.array([1.0, -1.0])
# Points of mixed differences: corners, axes; the point itself comes first.
_NINE = np.array(
    [[0, 0], [1, 1], [-1, -1], [1, -1], [-1, 1], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float64
)


def slopes(f: Function, x: ArrayLike, directions: ArrayLike) -> list[Reading]:
    """Directional derivatives ``d/dt f(x + t u)`` by central differences.

    Parameters
    ----------
    f : callable
        From float64 (d,) to float64 (), traced by JAX once for as long as it lives.
    x : (d,) array
        Point.
    directions : (m, d) array
        u, each of any length.

    Returns
    -------
    list of Reading
        One for each direction. Refused with "kink", "jump", "not finite" (at the point, or on
        one side of it at every step) or "not resolved" (rounding hides the value).

    Raises
    ------
    ValueError
        If 64-bit mode is off, or if shapes or types do not fit.

    Notes
    -----
    The error is estimated, not proven: see ``ladder``. What a function does on steps that
    rounding hides, or between all steps, is not seen. It is the function as float64 computes it
    whose slope is read: of log(1 - a) with a next to 1, that of the stairs that rounding makes.

    References
    ----------
    .. [1] C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> with jax.enable_x64(True):
    ...     exp, edge = slopes(lambda x: jnp.exp(x[0]) + abs(x[1]), np.zeros(2), np.eye(2))
    >>> abs(exp.value - 1) <= exp.error < 1e-10, edge.refused
    (True, 'kink')
    """
    x = vector(x)
    units, powers = unit(vectors(directions, x, order=1))
    exponents = np.array([ladder_of(x, u[0]) for u in units], int).reshape(-1, _RUNGS)
    h = 2.0**exponents  # (m, rungs)
    values, moved, off = traced(f, x).values(x, units, steps_along(h))
    found = [
        judge(NAME, _sides(size_of(x, u[0]), *rows)) if u.any() else _still(rows[1])
        for u, *rows in zip(units, h, values, moved, off, strict=True)
    ]
    return [_scaled(r, int(k[0])) for r, k in zip(found, powers, strict=True)]


def bends(f: Function, x: ArrayLike, pairs: ArrayLike) -> list[Reading]:
    """Mixed second derivatives ``d2/dsdt f(x + s u + t v)`` by differences; see ``slopes``.

    Parameters
    ----------
    f : callable
        From float64 (d,) to float64 ().
    x : (d,) array
        Point.
    pairs : (m, 2, d) array
        u and v.

    Returns
    -------
    list of Reading
        One for each pair. "kink" is also one of the first derivative.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> pairs = np.ones((1, 2, 1))
    >>> with jax.enable_x64(True):
    ...     (square,) = bends(lambda x: x[0] ** 2, np.zeros(1), pairs)
    ...     (edge,) = bends(lambda x: x[0] * abs(x[0]), np.zeros(1), pairs)
    >>> square.value, edge.refused
    (2.0, 'kink')
    """
    x = vector(x)
    units, powers = unit(vectors(pairs, x, order=2))
    ladders = np.array([_two_ladders(x, *pair) for pair in units]).reshape(-1, 2, _RUNGS, 2)
    steps = (ladders[..., None, :] * _NINE[1:]).reshape(-1, 16 * _RUNGS, 2)
    steps = np.append(np.zeros((len(units), 1, 2)), steps, axis=1)
    values, _, off = traced(f, x).values(x, units, steps)
    found = []
    for pair, steps_of, y, o in zip(units, ladders, values, off, strict=True):
        around = y[1:].reshape(2, _RUNGS, 8), o[1:].reshape(2, _RUNGS, 8)
        scale = size_of(x, *pair)
        near, far = (
            judge(NAME, _corners(scale, h, float(y[0]), *rows))
            for h, *rows in zip(steps_of, *around, strict=True)
        )
        found.append(_nearer(near, far) if pair.any(axis=1).all() else _still(y))
    return [_scaled(r, int(k.sum())) for r, k in zip(found, powers, strict=True)]


def steps_along(h: np.ndarray) -> np.ndarray:
    """Return 0 and ``h`` (m, rungs) with both signs, of shape (m, 1 + 2 rungs, 1)."""
    both = (h[..., None] * _SIDES).reshape(len(h), 2 * _RUNGS)
    return np.append(np.zeros((len(h), 1)), both, axis=1)[..., None]


def ladder_of(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Exponents of the steps along one direction of length 1, coarse to fine."""
    size = _exponent(x, u)
    if size is None:
        top, bottom = _UP, -_DOWN_FROM_0
    else:
        top, bottom = max(size, 0) + _UP, max(size - _DOWN, _LEAST)
    near = np.arange(top, bottom - 1, -1)
    if len(near) > _RUNGS:  # every second one close to the point's size, the rest spread
        far = np.linspace(top, bottom, _RUNGS)
        if size is not None:
            close = np.arange(min(size + 4, top), bottom, -2)
            far = np.append(np.linspace(top, close[0] + 1, _RUNGS - len(close)), close)
        near = np.unique(far.astype(int))[::-1]
    longer = near[0] + np.arange(_RUNGS - len(near), 0, -1)
    return np.append(longer, near)


def _two_ladders(x: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return steps along both, (2, rungs, 2): of the size of the point along each, and absolute.

    Where the point is 0 along both there is no such size, and the first reach far down.
    """
    sizes = [_exponent(x, w) for w in (u, v)]
    down = absolute = _UP - np.arange(_RUNGS)
    if sizes == [None, None]:
        down = np.linspace(_UP, -_DOWN_FROM_0, _RUNGS).astype(int)
    relative = np.stack([down + (size or 0) for size in sizes], axis=1)
    steps = np.stack([relative, np.stack([absolute, absolute], axis=1)])
    return 2.0 ** np.maximum(steps, _LEAST)


def _exponent(x: np.ndarray, *directions: np.ndarray) -> int | None:
    """Power of two of the point's size along directions, in units of them; None at 0."""
    size = max(abs(x[u != 0] / u[u != 0]).max(initial=0) for u in directions)
    return int(np.clip(np.floor(np.log2(size)), -960, 960)) if size > 0 else None


def size_of(x: np.ndarray, *directions: np.ndarray) -> float:
    """Length of a long step: the point's size along directions, or 1."""
    return 2.0 ** max(0, *(_exponent(x, u) or 0 for u in directions), 0)


def unit(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring directions (m, q, d) to length 1, by powers of two; return these powers too."""
    largest = abs(directions).max(axis=2)
    powers = np.where(largest > 0, np.frexp(largest)[1], 0)
    return np.ldexp(directions, -powers[..., None]), powers


def _sides(
    scale: float, h: np.ndarray, values: np.ndarray, moved: np.ndarray, off: np.ndarray
) -> Rungs:
    """Differences to both sides of a point, whose value comes first."""
    around, made = values[1:].reshape(-1, 2), abs(moved[1:].reshape(-1, 2))
    off = off[1:].reshape(-1, 2).max(axis=1)
    with np.errstate(all="ignore"):
        sides = (around - values[0]) * _SIDES / made
        middle = (around[:, 0] - around[:, 1]) / made.sum(axis=1)
    return _usable(Rungs(h, h, middle, sides, around, float(values[0]), off, scale))


def _corners(scale: float, h: np.ndarray, at: float, values: np.ndarray, off: np.ndarray) -> Rungs:
    """Mixed differences in the four quadrants; ``values`` (rungs, 8) as in ``_NINE``."""
    size = h.prod(axis=1)
    a, b, c, d, s, s_, t, t_ = values.T
    with np.errstate(all="ignore"):
        quadrants = a - s - t + at, b - s_ - t_ + at, s + t_ - c - at, s_ + t - d - at
        sides = np.stack(quadrants, axis=1) / size[:, None]
        middle = (a + b - c - d) / (4 * size)
    return _usable(Rungs(h[:, 0], size, middle, sides, values, at, off.max(axis=1), scale))


def _usable(rungs: Rungs) -> Rungs:
    finite = np.isfinite(rungs.values).all(axis=1) & np.isfinite(rungs.sides).all(axis=1)
    keep = finite & np.isfinite(rungs.middle) & (rungs.off <= _LOST) & (rungs.size > 0)
    arrays = {k: v[keep] for k, v in rungs._asdict().items() if isinstance(v, np.ndarray)}
    return rungs._replace(**arrays)


def _still(values: np.ndarray) -> Reading:
    """Derive along a direction of length 0."""
    return Reading(NAME, 0.0, 0.0) if np.isfinite(values[0]) else refuse(NAME, "not finite")


def _nearer(near: Reading, far: Reading) -> Reading:
    """Of two ladders the one that knows better; where they contradict, the nearer."""
    if near.refused or far.refused:
        for why in ("not finite", "kink", "jump"):
            if near.refused == why:
                return near
        return far if near.refused else near
    apart = abs(near.value - far.value) > near.error + far.error
    return near if apart or near.error <= far.error else far


def _scaled(reading: Reading, power: int) -> Reading:
    """Back from directions of length 1 to those that were given."""
    value, error = np.ldexp([reading.value, reading.error], power)
    return reading._replace(value=float(value), error=float(error))
