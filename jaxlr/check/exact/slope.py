"""Derivatives by differences in arbitrary precision, which either hold or are refused.

With hundreds of digits a step can be so small that neither curvature nor rounding counts: the
central difference at h and at h / 2^16, with other roundings, must agree. Where the slopes to the
left and to the right do not close up as h shrinks, the function has a kink or a jump there.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from jaxlr.check.exact.arrays import elementwise, to_mpf
from jaxlr.check.exact.differences import Move, first_order, mixed_order
from jaxlr.check.exact.settle import settle
from jaxlr.check.exact.trace import PyTree, Traced


class Slope(NamedTuple):
    """Derivative of every output, and whether there is one.

    Attributes
    ----------
    value : PyTree
        Arrays of ``mpmath.mpf``; nan where the function is not smooth.
    smooth : PyTree
        Boolean arrays: the sides agree, and the differences converge.
    left, right : PyTree
        The same from one side only: against the direction, and along it.
    error : PyTree
        By how much the differences of two steps are apart: at most a digits/4-th digit of the
        value, or, of a slope that is 0, some 2^-300.
    """

    value: PyTree
    smooth: PyTree
    left: PyTree
    right: PyTree
    error: PyTree


def slope(f: Any, args: Sequence[PyTree], direction: Sequence[PyTree], digits: int = 80) -> Slope:
    """Directional derivative, by central differences that are refused at a kink.

    ``(f(x + h v) - f(x - h v)) / 2h``, where h is 10^(-digits/4) of the size of the smallest
    argument that moves, and smaller where that does not do.

    Parameters
    ----------
    f : callable
        Function that JAX can trace; see ``evaluate``.
    args : sequence of PyTree
        Point to differentiate at.
    direction : sequence of PyTree
        v, of the structure of ``args``; None, float0 or zeros for leaves that do not move.
    digits : int
        Decimal digits of the first try. A value is right to a quarter of them and more.

    Returns
    -------
    Slope
        Of the structure of the output, integers included: one that jumps is not smooth.

    Raises
    ------
    ValueError
        If ``direction`` does not fit ``args``, or moves nothing.
    TypeError
        If it moves an argument that is not floating point.
    Unsupported
        If the jaxpr has a primitive without a rule.
    Unresolved
        If the function compares numbers that are equal but for rounding.

    Notes
    -----
    Where f itself is not finite, the value is nan. The derivative is the function's, not that of
    its rules: a custom rule and ``stop_gradient`` change nothing.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> found = slope(jnp.abs, (np.array([-2.0, 0.0]),), (np.ones(2),))
    >>> found.smooth.tolist(), [float(v) for v in found.right]
    ([True, False], [-1.0, 1.0])
    """
    traced = Traced(f, args, order=1)
    return _public(traced, settle(traced, [Move(traced, direction)], digits, first_order))


def second(
    f: Any, args: Sequence[PyTree], u: Sequence[PyTree], v: Sequence[PyTree], digits: int = 80
) -> Slope:
    """Mixed second derivative, along ``u`` and ``v``; see ``slope``.

    ``left`` and ``right`` are those of the quadrants against and along both directions. The
    function is smooth where all four agree, and where it has a slope along ``u`` and ``v``.

    Parameters
    ----------
    f : callable
        Function that JAX can trace.
    args : sequence of PyTree
        Point to differentiate at.
    u, v : sequence of PyTree
        Directions, of the structure of ``args``.
    digits : int
        Decimal digits of the first try.

    Returns
    -------
    Slope
        Of the structure of the output.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> found = second(jnp.tanh, (np.float64(0.5),), (1.0,), (1.0,))
    >>> bool(abs(float(found.value[()]) + 2 * np.tanh(0.5) / np.cosh(0.5) ** 2) < 1e-15)
    True
    """
    traced = Traced(f, args, order=2)
    moves = [Move(traced, u), Move(traced, v)]
    return _public(traced, settle(traced, moves, digits, mixed_order))


def _public(traced: Traced, derivatives: list[Any]) -> Slope:
    structure = jax.tree.structure(traced.out)

    def field(name: str) -> PyTree:
        arrays = [elementwise(lambda d: getattr(d, name), v) for v in derivatives]
        public = [v.astype(bool) if name == "smooth" else to_mpf(v) for v in arrays]
        return jax.tree.unflatten(structure, public)

    return Slope(*(field(name) for name in Slope._fields))
