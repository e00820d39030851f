"""Which step of a backward pass by hand is wrong, and which ones only inherit that."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from jaxlr.check.graph.loops import Names
from jaxlr.check.graph.nodes import Graph, PyTree, argument_names

Allowed = Callable[[str, np.ndarray], Any]
_NEARBY = 2.0**-26  # relative; float64 resolves its effect to 8 digits
_MOVES = 8
_ROUNDINGS = 64  # of every number that one step reads
_ULPS = 8
_FLUSHED = (
    1000  # smallest normal numbers; XLA takes 0 for less than one, and what follows scales it
)


@dataclass(frozen=True)
class NodeVerdict:
    """One gradient by hand against the truth, and against what its consumers handed down.

    ``off`` is the largest difference from the truth in units of what is allowed; ``index`` is the
    element, ``hand`` and ``truth`` are its values.
    """

    node: str
    status: Literal["right", "wrong here", "inherited", "not checked"]
    off: float = float("nan")
    index: tuple[int, ...] = ()
    hand: float = float("nan")
    truth: float = float("nan")
    reason: str = ""


def locate(
    f: Callable[..., Any],
    args: Sequence[Any],
    cotangent: PyTree,
    hand: Mapping[str, PyTree],
    allowed: Allowed,
) -> list[NodeVerdict]:
    """Judge the gradients by hand at the nodes of a graph, the output's first.

    Parameters
    ----------
    f, args, cotangent
        Reference function with named values, its arguments, and the cotangent of its result:
        in float64, inside ``jax.enable_x64(True)``, for a truth that is one.
    hand : mapping of str to array
        Gradients by hand, ``"d" + name`` of a value or of an argument (a PyTree, if that is one).
        ``"dout"`` is the cotangent as the backward pass takes it.
    allowed : callable
        ``allowed(node, truth)``: the difference that rounding explains, for each element.

    Returns
    -------
    list of NodeVerdict
        In backward order. A node that differs from the truth is "wrong here" where it differs
        from what the chain rule makes of its consumers' gradients by hand too, else "inherited".
        Named values without a gradient by hand, and names inside a loop, are "not checked".

    Raises
    ------
    ValueError
        If ``hand`` has a node of no value and no argument, or no node at all.

    Notes
    -----
    How much rounding one step explains is measured: every number that it reads is moved by
    ``2^-26``, up or down, and the largest of eight such changes scaled to the type of the hand.
    A sum of cancelling terms so gets what its terms lose, however wrong they are.

    Values that enter one loop have gradients from one sweep back, and by hand one of them is often
    made from another. Of several such that are wrong, the one computed last is named.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from jax.ad_checkpoint import checkpoint_name
    >>> def f(w, x):
    ...     return checkpoint_name(w * x, "z") ** 2
    >>> hand = {"dz": jnp.array(-12.0), "dw": jnp.array(-24.0)}
    >>> found = locate(f, (3.0, 2.0), jnp.array(1.0), hand, lambda node, truth: 1e-5 * abs(truth))
    >>> [(v.node, v.status, v.hand, v.truth) for v in found]
    [('dz', 'wrong here', -12.0, 12.0), ('dw', 'inherited', -24.0, 24.0)]
    """
    f = _output_named(f, args, hand)
    graph = Graph(f, args)
    by_hand = _leaves_of(hand)
    out = graph.flat_cotangent(cotangent)
    truth = _numpy(graph.gradients(graph.leaves, out, {}))
    _check_known(by_hand, truth, graph)
    shaped = {k: v for k, v in by_hand.items() if k in truth and v.shape == truth[k].shape}
    off = {k: _off(v, truth[k], allowed(k, truth[k])) for k, v in shaped.items()}
    wrong = [k for k, v in off.items() if not np.all(v <= 1)]
    step = _Step(graph, out, shaped) if wrong else None
    mates = graph.loop_mates() if wrong else []
    found: list[NodeVerdict] = []
    for node in _backward(graph, truth):
        if node not in by_hand:
            if node[1:] in graph.names:
                found.append(NodeVerdict(node, "not checked", reason="no gradient by hand"))
        elif node not in shaped:
            shapes = f"shape {by_hand[node].shape}, and its value has {truth[node].shape}"
            found.append(NodeVerdict(node, "wrong here", np.inf, reason=shapes))
        else:
            so_far = any(v.status in ("wrong here", "inherited") for v in found)
            verdict = _verdict(node, shaped[node], truth[node], off[node])
            if verdict.status != "wrong here" or step is None or not so_far:
                found.append(verdict)
            elif step.explains(node, shaped[node], truth[node], allowed):
                found.append(replace(verdict, status="inherited"))
            elif first := _first_of_loop(node, mates, found):
                found.append(
                    replace(
                        verdict,
                        status="inherited",
                        reason=f"enters the loop that {first} does: one sweep back makes both",
                    )
                )
            else:
                found.append(verdict)
    rest = [NodeVerdict(f"d{k}", "not checked", reason=v) for k, v in graph.left_out.items()]
    return found + rest


class _Step:
    """What the chain rule makes of the gradients by hand one step on, and rounding of that."""

    def __init__(self, graph: Graph, out: list[Any], hand: dict[str, np.ndarray]) -> None:
        cut = graph.cuts(hand)
        self.expected = _numpy(graph.gradients(graph.leaves, out, cut))
        given = graph.leaves, out, cut
        tiny = jax.tree.map(_signs(np.random.default_rng(5)), given)

        def nearby(tiny: Any) -> dict[str, Array]:
            near = jax.tree.map(lambda v, u: v if u is None else v + v * u, given, tiny)
            return graph.gradients(*near)

        self.change = {}
        with np.errstate(invalid="ignore"):
            for node, v in _numpy(jax.vmap(nearby)(tiny)).items():
                change = abs(v - self.expected[node]) / _NEARBY
                self.change[node] = np.fmax.reduce(change, initial=0.0)

    def explains(self, node: str, hand: np.ndarray, truth: np.ndarray, allowed: Allowed) -> bool:
        """Whether a gradient by hand is what its consumers make it, but for rounding."""
        expected, info = self.expected[node], ml_dtypes.finfo(hand.dtype)
        with np.errstate(invalid="ignore"):
            bound = float(info.eps) * (_ROUNDINGS * self.change[node] + _ULPS * abs(expected))
            at_both = np.fmax(allowed(node, truth), allowed(node, expected))
        bound = np.fmax(bound, at_both) + _FLUSHED * float(info.smallest_normal)
        nothing = np.isnan(expected) & np.isnan(hand)
        return bool(np.all(nothing | (_off(hand, expected, bound) <= 1)))


def _signs(rng: np.random.Generator) -> Callable[[Any], Array | None]:
    """Make relative changes of the elements of an array, one of each for every move."""

    def signs(v: Any) -> Array | None:
        if not jnp.issubdtype(v.dtype, jnp.inexact):
            return None
        return jnp.asarray(_NEARBY * rng.choice([-1.0, 1.0], (_MOVES, *v.shape)), v.dtype)

    return signs


def _verdict(node: str, hand: np.ndarray, truth: np.ndarray, off: np.ndarray) -> NodeVerdict:
    """Compare with the truth: "wrong here" where that fails, which is to be looked into."""
    if not off.size:
        return NodeVerdict(node, "not checked", reason="it has no elements")
    unknown = np.isnan(truth)
    if np.any(unknown) and np.all(unknown | (off <= 1)):
        return NodeVerdict(node, "not checked", reason="the truth is not a number")
    worst = np.where(np.isnan(off), -1, off)
    index = tuple(int(i) for i in np.unravel_index(np.argmax(worst), worst.shape))
    status = "right" if np.all(off <= 1) else "wrong here"
    return NodeVerdict(
        node, status, float(off[index]), index, float(hand[index]), float(truth[index])
    )


def _off(hand: np.ndarray, truth: np.ndarray, allowed: Any) -> np.ndarray:
    """Difference in units of what is allowed; NaN where the truth is, infinite where only hand."""
    wide, largest = hand.astype(np.float64), float(ml_dtypes.finfo(hand.dtype).max)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        overflowed = np.isinf(wide) & (abs(truth) > largest) & (wide * truth > 0)
        gap = np.where(overflowed | (wide == truth), 0.0, abs(wide - truth))
        off = np.where(gap == 0, 0.0, gap / np.asarray(allowed, np.float64))
    return np.where(np.isnan(off) & ~np.isnan(truth), np.inf, off)


def _first_of_loop(node: str, mates: list[Names], found: list[NodeVerdict]) -> str | None:
    """Return a node that is wrong and enters the same loop: what it does to others is not known."""
    together = frozenset[str]().union(*(loop for loop in mates if node in loop))
    return next((v.node for v in found if v.status == "wrong here" and v.node in together), None)


def _backward(graph: Graph, truth: Mapping[str, Any]) -> list[str]:
    """Nodes in the order of a backward pass, arguments last."""
    named = [f"d{name}" for name in reversed(graph.names)]
    return named + [node for node in truth if node not in set(named)]


def _numpy(tree: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {k: np.asarray(v).astype(np.float64) for k, v in tree.items()}


def _leaves_of(hand: Mapping[str, PyTree]) -> dict[str, np.ndarray]:
    """Gradients by hand, one an array, named as `expected_nodes` names those of a PyTree."""
    return {
        f"{node}{jax.tree_util.keystr(path)}": np.asarray(leaf)
        for node, tree in hand.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _output_named(
    f: Callable[..., Any], args: Sequence[Any], hand: Mapping[str, Any]
) -> Callable[..., Any]:
    """Name the result "out", if ``hand`` has "dout" and nothing else is named so."""
    graph = Graph(f, args)
    if "dout" not in hand or "out" in {*graph.names, *argument_names(f, len(args))}:
        return f
    if graph.form.num_leaves != 1:
        raise ValueError('"dout" is the cotangent of one array, and f returns several')

    @functools.wraps(f)
    def g(*args: Any) -> Any:
        return jax.tree.map(lambda v: checkpoint_name(v, "out"), f(*args))

    return g


def _check_known(hand: Mapping[str, Any], truth: Mapping[str, Any], graph: Graph) -> None:
    unknown = [k for k in hand if k not in truth and k[1:] not in graph.left_out]
    if unknown:
        raise ValueError(
            f"nothing in the function is named {', '.join(repr(k[1:]) for k in unknown)}; it has "
            f"{', '.join(k[1:] for k in truth) or 'no names'}"
        )
    if not any(k in truth for k in hand):
        raise ValueError("there is no gradient by hand at any node: nothing to compare")
