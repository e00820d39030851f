"""Which node of the graph is to blame: gradients by hand of named values against the truth."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr.check.derivative.compare import Place, Tolerance, flushed, rounding
from jaxlr.check.derivative.conditioning import condition
from jaxlr.check.derivative.layout import is_traceable
from jaxlr.check.derivative.programs import Programs, is_wide, wide
from jaxlr.check.derivative.quantities import Arrays, Function, Point, gradient
from jaxlr.check.graph import NodeVerdict, locate, true_nodes

Nodes = Callable[..., dict[str, Any]]


def culprits(
    programs: Programs, nodes: Nodes, place: Place, tolerance: Tolerance
) -> tuple[NodeVerdict, ...]:
    """Judge ``nodes(*args, cotangent)``, the node gradients by hand, where something was compared.

    The values are those that the reference names with `jax.ad_checkpoint.checkpoint_name`.
    """
    point, layout = place.probe.point, programs.layout
    with jax.enable_x64(is_wide(point)):
        at = jax.tree.map(jnp.asarray, point)
        args = layout.arguments(at.floats, place.others)
        run = nodes if place.mode == "eager" else _compiled(nodes, args)
        hand = run(*args, _cotangent(programs, at, place.others))
    with jax.enable_x64(True):
        exact = jax.tree.map(jnp.asarray, wide(point))
        args = layout.arguments(exact.floats, place.others)
        terms = _terms(programs, exact, place.others)
        largest = max([1.0, *(float(jnp.max(abs(v))) for v in exact.cotangent if v.size)])

        def allowed(node: str, truth: np.ndarray) -> np.ndarray:
            size = np.maximum(np.asarray(terms.get(node, 0.0)), abs(truth))
            return rounding(tolerance, place.dtype, size) + flushed(place.dtype) * largest

        cotangent = _cotangent(programs, exact, place.others)
        return tuple(locate(programs.reference.function, args, cotangent, hand, allowed))


def _compiled(nodes: Nodes, args: tuple[Any, ...]) -> Nodes:
    """Compile, with the arguments that are no arrays as constants."""
    static = tuple(i for i, v in enumerate(args) if not is_traceable(v))
    return jax.jit(nodes, static_argnums=static)


def _cotangent(programs: Programs, at: Point, others: list[Any]) -> Any:
    """Cotangent in the tree of what the function returns; None for its integers."""
    args = programs.layout.arguments(at.floats, others)
    outputs, tree = jax.tree.flatten(jax.eval_shape(programs.reference.function, *args))
    given = iter(at.cotangent)
    return tree.unflatten(
        [next(given) if jnp.issubdtype(v.dtype, jnp.floating) else None for v in outputs]
    )


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
    named = condition(by_name, of_floats, moving, at)
    found = {node: v for node, (v,) in named.items()}
    by_argument = condition(gradient, of_floats, moving, at)["gradient"]
    names = [f"d{layout.names[i]}" for i in moving]
    return found | dict(zip(names, by_argument, strict=True))
