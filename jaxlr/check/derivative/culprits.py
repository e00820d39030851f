"""Which node of the graph is to blame: gradients by hand of named values against the truth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr.check.derivative.comparison import Place
from jaxlr.check.derivative.conditioning import condition, moves, size_of_terms
from jaxlr.check.derivative.layout import in_tree
from jaxlr.check.derivative.programs import Programs, is_wide, wide
from jaxlr.check.derivative.quantities import Arrays, Function, Point, gradient
from jaxlr.check.derivative.tolerance import Tolerance, flushed
from jaxlr.check.graph import NodeVerdict, locate, true_nodes

Nodes = Callable[..., dict[str, Any]]


def culprits(
    programs: Programs, nodes: Nodes, place: Place, tolerance: Tolerance
) -> tuple[NodeVerdict, ...]:
    """Judge ``nodes(*args, cotangent)``, the node gradients by hand, where something was compared.

    The values are those that the reference names with `jax.ad_checkpoint.checkpoint_name`.
    """
    point, layout = place.probe.point, programs.layout

    def by_hand(at: Point) -> dict[str, Any]:
        args = layout.arguments(at.floats, place.others)
        return nodes(*args, _cotangent(programs, at, place.others))

    with jax.enable_x64(is_wide(point)):
        hand = _in_mode(by_hand, place.mode)(jax.tree.map(jnp.asarray, point))
    with jax.enable_x64(True):
        exact = jax.tree.map(jnp.asarray, wide(point))
        args = layout.arguments(exact.floats, place.others)
        terms = _terms(programs, exact, place.others)
        largest = max([1.0, *(float(jnp.max(abs(v))) for v in exact.cotangent if v.size)])

        def allowed(node: str, truth: np.ndarray) -> np.ndarray:
            size = np.maximum(np.asarray(terms.get(node, 0.0)), abs(truth))
            return tolerance.rounding(place.dtype, size) + flushed(place.dtype) * largest

        cotangent = _cotangent(programs, exact, place.others)
        return tuple(locate(programs.reference.function, args, cotangent, hand, allowed))


def _in_mode(by_hand: Callable[[Point], Any], mode: str) -> Callable[[Point], Any]:
    """Run as the function was run: a fault may show only where it is traced, or under vmap."""
    if mode == "eager":
        return by_hand
    if mode != "vmap":
        return jax.jit(by_hand)

    def of_two(at: Point) -> Any:
        twice = jax.tree.map(lambda v: jnp.stack([v, v]), at)
        return jax.tree.map(lambda v: v[0], jax.jit(jax.vmap(by_hand))(twice))

    return of_two


def _cotangent(programs: Programs, at: Point, others: list[Any]) -> Any:
    """Cotangent in the tree of what the function returns; None for its integers."""
    args = programs.layout.arguments(at.floats, others)
    return in_tree(jax.eval_shape(programs.reference.function, *args), at.cotangent)


def _terms(programs: Programs, at: Point, others: list[Any]) -> dict[str, Any]:
    """Sum of the absolute terms of the gradient by each named value, and by each argument."""
    layout = programs.layout

    def by_name(f: Function, moving: tuple[int, ...], at: Point) -> dict[str, Arrays]:
        del f, moving
        args = layout.arguments(at.floats, others)
        found = true_nodes(programs.reference.function, args, _cotangent(programs, at, others))
        return {node: [v] for node, v in found.items()}

    def of_floats(floats: Any) -> Any:
        return layout.call(programs.reference.function, floats, others)

    moving = tuple(layout.moving)

    turns = jax.tree.map(jnp.asarray, moves(at))

    def terms(at: Point) -> Any:
        of = partial(
            condition, f=of_floats, moving=moving, at=at, moves=turns, varied=layout.varied
        )
        return of(by_name), of(gradient)

    named, by_argument = (size_of_terms(found, at) for found in jax.jit(terms)(at))
    found = {node: v for node, (v,) in named.items()}
    names = [f"d{layout.names[i]}" for i in moving]
    return found | dict(zip(names, by_argument["gradient"], strict=True))
