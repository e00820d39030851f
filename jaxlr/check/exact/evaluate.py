"""Values of a function to as many digits as asked for."""

from typing import Any

import jax
import numpy as np

from jaxlr.check.exact.arithmetic import MOST_BITS, Raw, load, magnitude
from jaxlr.check.exact.arrays import elementwise, is_exact, to_mpf
from jaxlr.check.exact.trace import GUARD, PyTree, Traced, Unresolved, bits_of

_STEP = 37  # bits more in the second run, so that both round at other places
_TOSSES = 8  # runs more where a term was lost
_BELOW_ALL = -1100  # 2^-1100 is less than any positive float64


def evaluate(
    f: Any, *args: PyTree, digits: int = 60, record: dict[str, list[np.ndarray]] | None = None
) -> PyTree:
    """Values of a JAX function in arbitrary precision.

    The jaxpr of ``f`` at the types of ``args`` is run on exact numbers: a float32 0.1 is the
    number that float32 holds, no step rounds to its type, and a function with a custom rule is
    its own body. Two runs with different roundings must agree in ``digits`` digits; where they
    do not, both are done again with more.

    Parameters
    ----------
    f : callable
        Function that JAX can trace.
    args
        Arguments; arrays and Python's floats are traced, all else is a constant.
    digits : int
        Decimal digits that must be right.
    record : dict, optional
        Receives the values named by ``checkpoint_name``, a list for each name, in the order in
        which they were computed.

    Returns
    -------
    PyTree
        NumPy arrays of ``mpmath.mpf`` for floating-point outputs, NumPy arrays for others.

    Raises
    ------
    Unsupported
        If the jaxpr has a primitive without a rule: names it and the line it comes from.
    Unresolved
        If the digits are not reached, at a comparison of equal numbers that are both rounded, for
        instance. A value less than 2^-1100 need not reach them and may be any such number.
    ImportError
        If mpmath is missing.

    Notes
    -----
    Zero has no sign: 1 / -0.0 is inf. Nothing overflows, but exp of an argument of 2^2000 and
    more is inf (or 0), and sin of one is nan. Of two terms 2^4096 apart the smaller may be lost.
    Constants in ``f`` have the type that tracing gave them. Conversion between floating-point
    types, ``reduce_precision`` included, rounds nothing.

    References
    ----------
    .. [1] J. Vignes, "A stochastic arithmetic for reliable scientific computation", 1993.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> (y,) = evaluate(lambda x: jnp.log(1 + jnp.exp(-x)), np.array([800.0]), digits=20)
    >>> print(y)
    3.66787458417769e-348
    """
    traced = Traced(f, args)
    goal, bits = bits_of(digits) - GUARD, bits_of(digits)
    before = traced.run(traced.leaves, bits, seed=0)
    for turn in range(1, 100):
        names: dict[str, list[Any]] = {}
        bits = bits + _STEP if turn == 1 else 2 * bits
        after = traced.run(traced.leaves, bits, seed=turn, record=names)
        last = bits > MOST_BITS
        if _agree(before, after, goal, last) and _is_safe(traced, after, bits, goal, last):
            if record is not None:
                record.update({name: [_public(v) for v in found] for name, found in names.items()})
            return jax.tree.unflatten(jax.tree.structure(traced.out), map(_public, after))
        if last:
            break
        before = after
    raise Unresolved(
        f"rounding decides the value still with {int(bits / 3.32)} digits: the function compares "
        "or subtracts numbers that are equal but for rounding"
    )


def _is_safe(traced: Traced, after: list[Any], bits: int, goal: int, last: bool) -> bool:
    """Whether the toss of a coin for a lost term changes nothing: two runs may agree by chance."""
    seeds = range(_TOSSES, 2 * _TOSSES) if traced.lost else ()
    runs = (traced.run(traced.leaves, bits, seed=1000 + seed) for seed in seeds)
    return all(_agree(run, after, goal, last) for run in runs)


def _agree(before: list[Any], after: list[Any], bits: int, last: bool) -> bool:
    return all(_agree_in(a, b, bits, last) for a, b in zip(before, after, strict=True))


def _agree_in(before: Any, after: Any, bits: int, last: bool) -> bool:
    if not is_exact(after):
        return not isinstance(after, np.ndarray) or bool(np.array_equal(before, after))
    lib = load().libmp

    def close(a: Raw, b: Raw) -> bool:
        if a == b:
            return True
        if not (a[1] or a == lib.fzero) or not (b[1] or b == lib.fzero):
            return False
        off = magnitude(lib.mpf_sub(a, b, 53))
        return (bool(b[1]) and off <= magnitude(b) - bits) or (last and off <= _BELOW_ALL)

    return bool(np.all(elementwise(close, before, after)))


def _public(v: Any) -> Any:
    return to_mpf(v) if is_exact(v) else v
