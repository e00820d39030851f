"""A function compiled once for each quantity, and kept for the next check."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from jaxlr.check.compiling import compiled, in_a_hurry
from jaxlr.check.derivative import conditioning
from jaxlr.check.derivative.elementwise import is_elementwise
from jaxlr.check.derivative.layout import Layout
from jaxlr.check.derivative.quantities import Arrays, Point, Quantity, dot, gradient
from jaxlr.check.derivative.steps import DRAWN, condition_of_steps
from jaxlr.check.graph.wider import follows

Found = dict[str, list[np.ndarray]]


class Program:
    """Quantities of one function, in the types of the points or in float64.

    Parameters
    ----------
    function : callable
        Function of arguments.
    layout : Layout
        Of the arguments.
    judged : bool
        Whether it must be compiled as its user would, also in float64.
    """

    def __init__(self, function: Callable[..., Any], layout: Layout, *, judged: bool) -> None:
        self.function, self.layout, self._judged = function, layout, judged
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._elementwise: dict[Any, bool] = {}
        self._scalars: dict[Any, Callable[[Array], Array]] = {}

    def ask(self, quantity: Quantity, at: Point, others: list[Any]) -> dict[str, Arrays]:
        """Quantity at a point, of traced values too."""
        return quantity(partial(self._of_floats, others), tuple(self.layout.moving), at)

    def run(
        self, quantity: Quantity, points: Sequence[Point], others: list[Any], mode: str = "jit"
    ) -> list[Found]:
        """Quantity at each point, in its types; in modes vmap and scan, at all of them at once."""
        one = partial(self.ask, quantity)
        with jax.enable_x64(is_wide(points[0])):
            if mode == "eager":
                return [_host(one(_device(p), others)) for p in points]
            asked = not self._judged and _is_exact(points[0])
            run = self._once((quantity, mode), _in_mode(one, mode), points[0], only_asked=asked)
            if mode == "jit":
                return [_host(run(_device(p), others)) for p in points]
            stacked = jax.tree.map(lambda *v: jnp.stack(v), *map(_device, points))
            together = _host(run(stacked, others))
            return [jax.tree.map(lambda v, i=i: v[i], together) for i in range(len(points))]

    def condition(self, quantity: Quantity, point: Point, others: list[Any]) -> Found:
        """Sum of the absolute values of the terms of each number; see `conditioning`."""
        plain = self.elementwise(point, others)
        of = partial(conditioning.condition, varied=self.layout.varied, cotangent=not plain)
        moves = conditioning.moves(point, elementwise=plain)
        found = self._size("condition", of, quantity, point, others, moves)
        return conditioning.size_of_terms(found, point)

    def elementwise(self, point: Point, others: list[Any]) -> bool:
        """Whether nothing is added up; see `is_elementwise`."""
        shapes = tuple(np.shape(v) for v in point.floats)
        if shapes not in self._elementwise:
            floats = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
            self._elementwise[shapes] = is_elementwise(
                lambda floats, others: self._of_floats(list(others), floats), floats, others
            )
        return self._elementwise[shapes]

    def steps(self, quantity: Quantity, point: Point, others: list[Any]) -> Found:
        """Return what rounding in each step of the program does, per unit of it; see `steps`."""
        return self._size("steps", condition_of_steps, quantity, point, others, DRAWN)

    def scalar(self, point: Point, others: list[Any]) -> tuple[Callable[[Array], Array], Array]:
        """``<cotangent, function(floats)>`` as a function of one vector of both, and the vector.

        The same function for all points of the same shapes, so that it is compiled once.
        """
        at = wide(point)
        with jax.enable_x64(True):
            x, unravel = ravel_pytree((at.floats, at.cotangent))
        key = (
            tuple(np.shape(v) for v in (*at.floats, *at.cotangent)),
            tuple((np.shape(v), str(v.dtype), _bytes(v)) for v in others),
        )

        def scalar(x: Array) -> Array:
            floats, cotangent = unravel(x)
            return dot(cotangent, self._of_floats(others, floats))

        return self._scalars.setdefault(key, scalar), x

    def _of_floats(self, others: list[Any], floats: Sequence[Array]) -> Arrays:
        return self.layout.call(self.function, floats, others)

    def _size(
        self,
        name: str,
        of: Callable[..., Any],
        quantity: Quantity,
        point: Point,
        others: list[Any],
        moves: Any,
    ) -> Found:
        def size(at: Point, others: list[Any], moves: Any) -> dict[str, Arrays]:
            f, moving = partial(self._of_floats, others), tuple(self.layout.moving)
            return of(quantity, f, moving, at, moves)

        with jax.enable_x64(True):
            run = self._once((quantity, name), size, point, only_asked=True)
            # A callback inside runs in this thread, where 64 bits are on, if nothing is waited for.
            given = jax.block_until_ready((_device(wide(point)), others, _device(moves)))
            return _host(run(*given))

    def _once(
        self, key: Any, f: Callable[..., Any], at: Point, *, only_asked: bool
    ) -> Callable[..., Any]:
        hurried = only_asked and in_a_hurry(sum(np.size(v) for v in jax.tree.leaves(at)))
        key = (*key, hurried)
        if key not in self._compiled:
            self._compiled[key] = compiled(f, hurried=hurried)
        return self._compiled[key]


class Programs(NamedTuple):
    """A function with its derivative by hand, and its reference."""

    hand: Program
    reference: Program

    @property
    def layout(self) -> Layout:
        """Return the layout of their arguments."""
        return self.hand.layout

    def truth(self, quantity: Quantity, point: Point, others: list[Any]) -> Found:
        """Quantity of the reference by autodiff in float64."""
        return self.reference.run(quantity, [wide(point)], others)[0]


def programs(f: Callable[..., Any], reference: Callable[..., Any], layout: Layout) -> Programs:
    """Programs of a pair, with nothing compiled yet."""
    return Programs(
        Program(f, layout, judged=True), Program(follows(reference), layout, judged=False)
    )


def remembered(made: Programs, at: Point, others: list[Any]) -> Programs:
    """Take the reference's programs from an earlier check, if it was the same there.

    What is judged is traced anew each time: a rule may have been replaced in between, by its
    author, or by a mutant. The reference is the same if its gradient is, equation by equation and
    constant by constant: a number that it reads from somewhere else may have changed.
    """
    program, layout = made.reference, made.layout
    with jax.enable_x64(True):
        closed = jax.make_jaxpr(partial(program.ask, gradient))(_device(wide(at)), others)
    consts = tuple(_bytes(v) for v in closed.consts)
    key = (str(closed.jaxpr), consts, str(layout.tree), layout.varied, tuple(layout.moving))
    if key not in _kept and len(_kept) >= _MOST_KEPT:
        del _kept[next(iter(_kept))]
    kept = _kept.setdefault(key, program)
    kept.function, kept.layout = program.function, layout  # what is not compiled yet is the new one
    return made._replace(reference=kept)


_kept: dict[Any, Program] = {}
_MOST_KEPT = 32


def wide(point: Point) -> Point:
    """Return the point in float64, on the host."""
    return jax.tree.map(lambda v: np.asarray(v).astype(np.float64), point)


def _is_exact(point: Point) -> bool:
    return all(v.dtype == np.float64 for v in jax.tree.leaves(point))


def is_wide(tree: Any) -> bool:
    """Whether anything needs float64; else the user's own setting stays as it is."""
    return jax.config.jax_enable_x64 or any(  # pyright: ignore
        v.dtype == np.float64 for v in jax.tree.leaves(tree)
    )


def _in_mode(one: Callable[..., Any], mode: str) -> Callable[..., Any]:
    if mode == "jit":
        return one
    if mode == "vmap":
        return jax.vmap(one, in_axes=(0, None))
    return lambda points, others: jax.lax.map(lambda p: one(p, others), points)


def _device(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)


def _host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


def _bytes(v: Any) -> bytes:
    return np.asarray(jax.random.key_data(v) if _is_key(v) else v).tobytes()


def _is_key(v: Any) -> bool:
    return isinstance(v, jax.Array) and jnp.issubdtype(v.dtype, jax.dtypes.extended)
