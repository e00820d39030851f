"""Complex step: ``Im f(x + i h u) / h`` with h some 1e-200, where nothing cancels.

The function is continued from real to complex numbers; where it is analytic, and XLA's complex
arithmetic is right, that gives the derivative to nearly all digits of float64.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxlr.check.compiling import compiled
from jaxlr.check.oracles import analytic
from jaxlr.check.oracles.reading import Reading, refuse
from jaxlr.check.oracles.trace import Function, Traced, traced, vector, vectors

NAME = "complex step"
_EPS = float(np.finfo(np.float64).eps)
_ULPS = 32
_SPREAD = 8
_LOST = 1e-96  # a slope of less may underflow on its way
_SAME = 1e-9  # how far the real part may be from the function, relative
# Steps of other lengths are rounded in other ways. The square of the longest does not underflow,
# so that sqrt(x^2) is not 0 + 0i at 0.
_STEPS = 2.0**-664 * np.array([1, 1.1, 1.3, 1.7, 2.0**120 * 1.1, 2.0**364 * 1.9])
_AROUND = np.arange(-4, 5)
_SPACINGS = 2.0**-40, 2.0**-26, 2.0**-13  # of points around, relative
_DIFFERENCES = 4, 5, 6, 7
_ALL_STEPS = np.append(_STEPS, np.full(len(_SPACINGS) * len(_AROUND), _STEPS[0]))
_SHIFTS = np.append(0 * _STEPS, np.outer(_SPACINGS, _AROUND))


def slopes(f: Function, x: ArrayLike, directions: ArrayLike) -> list[Reading]:
    """Directional derivatives by complex step.

    Parameters
    ----------
    f : callable
        From float64 (d,) to float64 (), traced by JAX once for as long as it lives. A custom
        rule is not used, ``stop_gradient`` stops nothing.
    x : (d,) array
        Point.
    directions : (m, d) array
        u, each of any length.

    Returns
    -------
    list of Reading
        Refused with "no rule for max", or whatever primitive is not analytic, or not right, for
        complex numbers and reads what depends on x; with "not finite"; or with "not resolved",
        where results depend on h: next to 0 for log, for instance.

    Raises
    ------
    ValueError
        If 64-bit mode is off, or if shapes or types do not fit.

    Notes
    -----
    The error is estimated by repeating with other h, and by how much slopes at points around x
    scatter about a polynomial.

    References
    ----------
    .. [1] J. R. R. A. Martins, P. Sturdza, J. J. Alonso, "The complex-step derivative
       approximation", 2003.
    .. [2] J. J. More, S. M. Wild, "Estimating computational noise", 2011.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> with jax.enable_x64(True):
    ...     (found,) = slopes(lambda x: jnp.exp(x).sum(), np.ones(2), np.ones((1, 2)))
    ...     (edge,) = slopes(lambda x: abs(x).sum(), np.ones(2), np.ones((1, 2)))
    >>> abs(found.value - 2 * np.e) <= found.error < 1e-12, edge.refused
    (True, 'no rule for abs')
    """
    x = vector(x)
    u = vectors(directions, x, order=1)[:, 0]
    at = traced(f, x)
    try:
        evaluate = _compiled(at)
        powers = np.frexp(abs(u).max(axis=1))[1]
        points, tiny = x * (1 + _SHIFTS[:, None]), np.ldexp(u, -powers[:, None])
        values = np.asarray(evaluate(at.jaxpr.consts, points, tiny), np.complex128)
    except analytic.NoRule as missing:
        return [refuse(NAME, f"no rule for {missing}") for _ in u]
    real = at.at(x)
    return [_reading(real, *row) for row in zip(values, powers.tolist(), strict=True)]


def _compiled(at: Traced) -> Callable[..., Any]:
    """Values (m, steps) of the function continued; raises NoRule when called."""
    if NAME not in at.kept:
        jaxpr = at.jaxpr.jaxpr

        def evaluate(consts: Any, points: jax.Array, directions: jax.Array) -> jax.Array:
            def one(x: jax.Array, h: jax.Array, u: jax.Array) -> jax.Array:
                (y,) = analytic.run(jaxpr, consts, [jax.lax.complex(x, h * u)])
                return jax.lax.convert_element_type(analytic.usable(y), np.complex128)

            def along(u: jax.Array) -> jax.Array:
                return jax.lax.map(lambda item: one(item[0], item[1], u), (points, _ALL_STEPS))

            return jax.lax.map(along, directions)

        at.kept[NAME] = compiled(evaluate, hurried=at.hurried)
    return at.kept[NAME]


def _reading(real: float, values: NDArray[np.complex128], power: int) -> Reading:
    """Judge one direction: the values of all steps, then those around the point."""
    here, around = np.split(values, [len(_STEPS)])
    if not (np.isfinite(real) and np.isfinite(here).all()):
        return refuse(NAME, "not finite")
    slopes = here.imag / _STEPS
    noise = _noise((around.imag / _STEPS[0]).reshape(len(_SPACINGS), -1))
    error = _ULPS * _EPS * abs(slopes[0]) + _SPREAD * max(noise, abs(slopes - slopes[0]).max())
    same = abs(here[0].real - real) <= _SAME * abs(real) + _SAME**2
    if not (same and error <= 1e-3 * abs(slopes[0]) + _LOST):
        return refuse(NAME, "not resolved")
    slope, error = np.ldexp([slopes[0], error + _LOST], power)
    return Reading(NAME, float(slope), float(error))


def _noise(around: np.ndarray) -> float:
    """Measure the rounding of slopes close by: what high differences leave of a smooth function.

    Of numbers with independent errors the k-th difference has sqrt((2k)! / k!^2) as much; of the
    orders, the one that leaves least. Where the others leave much more, the points are too far
    apart to show rounding.
    """
    found = 0.0
    for row in around:
        if np.isfinite(row).all():
            sizes = [abs(np.diff(row, k)).max() / math.comb(2 * k, k) ** 0.5 for k in _DIFFERENCES]
            least, next_to_it, *_ = sorted(sizes)
            if next_to_it <= 8 * least:
                found = max(found, least)
    return found
