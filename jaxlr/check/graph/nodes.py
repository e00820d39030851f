"""Gradients at the named values of a function, and where a backward pass by hand leaves them.

A value is named with `jax.ad_checkpoint.checkpoint_name`; the gradient by value ``"z"`` is node
``"dz"``. Zeros added at a name do not change the function, and its gradient by those is the node.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params
from jax.extend.core.primitives import name_p

from jaxlr.check.graph.body import is_array, name_of, trace
from jaxlr.check.graph.evaluate import CALLS, inner, run
from jaxlr.check.graph.loops import Names, loop_mates

PyTree = Any


def true_nodes(f: Callable[..., Any], args: Sequence[Any], cotangent: PyTree) -> dict[str, Array]:
    """Gradient of ``<cotangent, f(*args)>`` by every named value, by autodiff.

    Parameters
    ----------
    f : callable
        Reference function, its values named with `jax.ad_checkpoint.checkpoint_name`.
    args : sequence
        Its arguments, in the types in which to compute.
    cotangent : PyTree
        Of the form of ``f(*args)``; what belongs to integers is not looked at and may be None.

    Returns
    -------
    dict of Array
        ``"d" + name``, in the order in which the values are computed. What `left_out` tells is
        not among them.

    Raises
    ------
    ValueError
        If one name is given to several values.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from jax.ad_checkpoint import checkpoint_name
    >>> def f(w, x):
    ...     return checkpoint_name(w * x, "z") ** 2
    >>> {node: float(v) for node, v in true_nodes(f, (3.0, 2.0), jnp.array(1.0)).items()}
    {'dz': 12.0}
    """
    graph = Graph(f, args)
    found = graph.gradients(graph.leaves, graph.flat_cotangent(cotangent), {})
    return {f"d{name}": found[f"d{name}"] for name in graph.names}


def expected_nodes(
    f: Callable[..., Any], args: Sequence[Any], cotangent: PyTree, hand: Mapping[str, Any]
) -> dict[str, Array]:
    """Gradients that the chain rule makes of those by hand, one step further.

    Parameters
    ----------
    f, args, cotangent
        As for `true_nodes`.
    hand : mapping of str to array
        Gradients by hand, ``"d" + name``. The graph is cut at each of these names.

    Returns
    -------
    dict of Array
        At each cut the gradient that follows from ``hand`` at the next ones, and from the
        cotangent; and that of each argument, ``"d" + name of the argument`` and its place in a
        PyTree. Where ``hand`` differs from these its own step is wrong.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from jax.ad_checkpoint import checkpoint_name
    >>> def f(w, x):
    ...     return checkpoint_name(w * x, "z") ** 2
    >>> found = expected_nodes(f, (3.0, 2.0), jnp.array(1.0), {"dz": jnp.array(-12.0)})
    >>> {node: float(v) for node, v in found.items()}
    {'dz': 12.0, 'dw': -24.0, 'dx': -36.0}
    """
    graph = Graph(f, args)
    cut = graph.cuts(hand)
    found = graph.gradients(graph.leaves, graph.flat_cotangent(cotangent), cut)
    return {node: v for node, v in found.items() if node[1:] in cut or node in graph.arguments}


def left_out(f: Callable[..., Any], args: Sequence[Any]) -> dict[str, str]:
    """Names of ``f`` that have no node, each with the reason.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from jax.ad_checkpoint import checkpoint_name
    >>> def f(x):
    ...     return jax.lax.fori_loop(0, 3, lambda i, v: checkpoint_name(2 * v, "z"), x)
    >>> left_out(f, (1.0,))
    {'z': 'inside scan: one name, many values'}
    """
    return Graph(f, args).left_out


class Graph:
    """The jaxpr of a function, its named values, and its arguments that are floating point."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any]) -> None:
        args = tuple(args)
        args = jax.tree.map(lambda v: jnp.asarray(v) if isinstance(v, float) else v, args)
        self.closed, self.leaves, unflatten = trace(f, args, {})
        self.form = jax.tree.structure(unflatten([0] * len(self.closed.jaxpr.outvars)))
        found: list[tuple[str, Any]] = []
        self.left_out: dict[str, str] = {}
        _collect(self.closed.jaxpr, found, self.left_out)
        self.names = dict(found)
        again = sorted({name for name in self.names if [n for n, _ in found].count(name) > 1})
        if again:
            raise ValueError(
                f"{', '.join(map(repr, again))} in {name_of(f)} is the name of several values: "
                "a node has one"
            )
        paths = _paths(f, args)
        self.arguments = {path: i for i, path in enumerate(paths) if _is_inexact(self.leaves[i])}

    def flat_cotangent(self, cotangent: PyTree) -> list[Array]:
        """Cotangents of the results that are floating point, in their types."""
        avals: list[Any] = [v.aval for v in self.closed.jaxpr.outvars]
        pairs = zip(self.form.flatten_up_to(cotangent), avals, strict=True)
        return [jnp.asarray(c, aval.dtype) for c, aval in pairs if _is_inexact(aval)]

    def cuts(self, hand: Mapping[str, Any]) -> dict[str, Array]:
        """Gradients by hand that belong to names, in the types of their values."""
        return {
            name: jnp.asarray(hand[f"d{name}"], aval.dtype)
            for name, aval in self.names.items()
            if f"d{name}" in hand
        }

    def gradients(
        self, leaves: Sequence[Any], cotangent: list[Array], cut: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Gradient at every name and argument, the graph cut where ``cut`` has one already."""
        zeros = {name: jnp.zeros(aval.shape, aval.dtype) for name, aval in self.names.items()}
        given = {path: leaves[i] for path, i in self.arguments.items()}

        def pieces(given: dict[str, Array], added: dict[str, Array]) -> Any:
            merged = list(leaves)
            for path, i in self.arguments.items():
                merged[i] = given[path]
            into: dict[str, Array] = {}
            out = run(self.closed, merged, _Cutter(added, cut, into))
            return [v for v in out if _is_inexact(v)], into

        pull = jax.vjp(pieces, given, zeros)[1]
        by_argument, by_name = pull((cotangent, dict(cut)))
        nodes = {f"d{name}": by_name[name] for name in self.names}
        return nodes | {p: by_argument[p] for p in self.arguments if p not in nodes}

    def loop_mates(self) -> list[Names]:
        """Nodes that enter the same loop."""
        at = {i: frozenset({path}) for path, i in self.arguments.items()}
        return loop_mates(
            self.closed.jaxpr, [at.get(i, frozenset()) for i in range(len(self.leaves))]
        )


class _Cutter:
    """Adds to each value that has a name, and lets no gradient through where it is cut."""

    def __init__(
        self, added: Mapping[str, Array], cut: Mapping[str, Any], into: dict[str, Array]
    ) -> None:
        self.added, self.cut, self.into = added, cut, into

    def __call__(self, eqn: JaxprEqn, values: list[Any]) -> Sequence[Any] | None:
        if eqn.primitive in CALLS and _has_names(inner(eqn).jaxpr):
            return run(inner(eqn), values, self)
        if eqn.primitive is not name_p or eqn.params["name"] not in self.added:
            return None
        name, (v,) = eqn.params["name"], values
        if name in self.cut:
            self.into[name] = v
            v = lax.stop_gradient(v)
        return [v + self.added[name]]


def _collect(jaxpr: Jaxpr, found: list[tuple[str, Any]], left_out: dict[str, str]) -> None:
    for eqn in jaxpr.eqns:
        if eqn.primitive is name_p:
            name, aval = eqn.params["name"], eqn.outvars[0].aval
            if _is_inexact(aval):
                found.append((name, aval))
            else:
                left_out[name] = "no floating-point number: it has no gradient"
        elif eqn.primitive in CALLS:
            _collect(inner(eqn).jaxpr, found, left_out)
        else:
            inside = {n for part in jaxprs_in_params(eqn.params) for n in _names_in(part)}
            reason = f"inside {eqn.primitive.name}: one name, many values"
            left_out.update(dict.fromkeys(sorted(inside), reason))


def _names_in(jaxpr: Jaxpr) -> set[str]:
    found = {eqn.params["name"] for eqn in jaxpr.eqns if eqn.primitive is name_p}
    inside = (part for eqn in jaxpr.eqns for part in jaxprs_in_params(eqn.params))
    return found.union(*map(_names_in, inside))


def _has_names(jaxpr: Jaxpr) -> bool:
    return bool(_names_in(jaxpr))


def _is_inexact(v: Any) -> bool:
    return jnp.issubdtype(v.dtype, jnp.inexact)


def _paths(f: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """Node of each array among the arguments: "d", name of the argument, place in a PyTree."""
    names = argument_names(f, len(args))
    return [
        f"d{names[path[0].idx]}{jax.tree_util.keystr(path[1:])}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tuple(args))
        if is_array(leaf)
    ]


def argument_names(f: Callable[..., Any], n: int) -> list[str]:
    """Names of the first ``n`` arguments; where there is none, its position."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    single = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in single][:n]
    return names + [str(i) for i in range(len(names), n)]
