"""What rounding in every step of a program does to its result, not only in its inputs.

Autodiff of a derivative by hand differentiates the program, and a program may take steps that
lose digits (1 - a, near a = 1) which its inputs determine well. In an accurate derivative that is
a fault; in the derivative of a derivative, which nobody wrote, it is what autodiff does. So this
is what second derivatives are held to, and first ones if the user asks for it. It also tells a
formula that is right and loses digits from one that is wrong.

The program runs in float64 with every floating-point result of its jaxpr moved by a relative
2^-30, up or down: so far do the results move for each unit of rounding.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal

from jaxlr.check.derivative.quantities import Arrays, Function, Point, Quantity, gradient
from jaxlr.check.graph.evaluate import CALLS, LOOPS, bind, inner, loop, run

_DRAWS = 12
_EXACT = frozenset(  # no number that they return is rounded
    """
    abs argsort broadcast_in_dim ceil clamp concatenate convert_element_type copy copy_p cummax
    cummin device_put dynamic_slice dynamic_update_slice expand_dims floor gather iota max min name
    neg pad reduce_max reduce_min reduce_precision reshape rev round select_n sign slice sort split
    squeeze stop_gradient transpose
    """.split()  # noqa: SIM905 -- a list of words reads better
)
_MOVE = 2.0**-30  # float64 resolves its effect to 7 digits
_MANY = 2**14  # numbers that a result takes at most, over and over
_rng = np.random.default_rng(1)
# Of either sign, and of mean square 1. Not all of one size: two steps of a loop, whose moves are
# the same in each turn, would cancel to 0 for one number in 4,096.
DRAWN = (
    _MOVE * _rng.choice([-1, 1], (_DRAWS, 2 * _MANY)) * _rng.uniform(0.65, 1.3, (_DRAWS, 2 * _MANY))
)


def condition_of_steps(
    quantity: Quantity, f: Function, moving: tuple[int, ...], at: Point, drawn: Array
) -> dict[str, Arrays]:
    """Most that each number of a quantity moves when each step does, per unit of rounding.

    Of a gradient, also how far the norm of each leaf moves, its product with its own direction: in
    that, rounding evens out, and faults that all numbers share do not. ``drawn`` is `DRAWN`, as an
    argument: as a constant they would be compiled into the program.
    """
    closed, shape = jax.make_jaxpr(lambda p: quantity(f, moving, p), return_shape=True)(at)
    leaves = jax.tree.leaves(at)
    exact = run(closed, leaves, lambda eqn, values: None)

    tree = jax.tree.structure(shape)
    norms = quantity is gradient

    def moved(drawn: Array) -> dict[str, Arrays]:
        found = _Shaken(drawn).run(closed, leaves)
        moves = tree.unflatten([(v - e) / _MOVE for v, e in zip(found, exact, strict=True)])
        if norms:
            pairs = zip(moves["gradient"], tree.unflatten(exact)["gradient"], strict=True)
            moves["norm"] = [jnp.sum(v * e) / jnp.linalg.norm(e.ravel()) for v, e in pairs]
        return jax.tree.map(jnp.abs, moves)

    found = jax.lax.map(moved, drawn)
    return jax.tree.map(lambda v: jnp.nan_to_num(jnp.nanmax(v, 0)), found)


def _is_rounded(var: Any) -> bool:
    """Whether an input is a constant that coarse types do not have: there it is another number."""
    if not isinstance(var, Literal) or not jnp.issubdtype(np.asarray(var.val).dtype, jnp.floating):
        return False
    value = np.asarray(var.val, np.float64)
    return bool(np.any(value.astype(jnp.bfloat16).astype(np.float64) != value))


class _Shaken:
    """A run of a jaxpr in which every floating-point result is moved a little."""

    def __init__(self, drawn: Array) -> None:
        self._drawn = drawn
        self._offsets = np.random.default_rng(2)

    def run(self, closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
        return run(closed, args, self._visit)

    def _visit(self, eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        if eqn.primitive in CALLS:
            return self.run(inner(eqn), values)
        if eqn.primitive in LOOPS:
            return loop(eqn, values, self.run)
        pairs = zip(eqn.invars, values, strict=True)
        found = bind(eqn, [self._moved(v) if _is_rounded(var) else v for var, v in pairs])
        return found if eqn.primitive.name in _EXACT else [self._moved(v) for v in found]

    def _moved(self, v: Any) -> Any:
        if not jnp.issubdtype(v.dtype, jnp.floating):
            return v
        first, size = int(self._offsets.integers(_MANY)), min(max(1, v.size), _MANY)
        drawn = jnp.resize(self._drawn[first : first + size], v.shape)
        return v * (1 + drawn.astype(v.dtype))
