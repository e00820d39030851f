"""A function without the custom rules that someone wrote: what autodiff is to differentiate."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxprs_in_params

from jaxlr.check.graph.evaluate import CALLS, LOOPS, RULES, inner, loop, run

_JAX = Path(jax.__file__).parent
# Functions of jax.custom_gradient have their source here, whoever wrote what they compute.
_MACHINERY = inspect.getsourcefile(jax.custom_vjp)


def body(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function without its own derivative rule, for autodiff to differentiate.

    Parameters
    ----------
    f : callable
        A `jax.custom_vjp` or `jax.custom_jvp`, under `jax.jit` and `functools.partial` or not; or
        a function that calls such.

    Returns
    -------
    callable
        The same function of the same arguments, ``nondiff_argnums`` and keywords included. Rules
        inside it are gone too, for one of them could be the wrong one. Rules that JAX brings
        (`jax.nn.relu`, `jax.nn.logsumexp`) stay.

    Raises
    ------
    ValueError
        If nothing in it is hand-written: at the call, when ``f`` only calls others.

    Notes
    -----
    A decorated function that needs concrete values (``if x > 0``) cannot be searched for rules
    inside; it is called as it stands.

    Examples
    --------
    >>> import jax
    >>> @jax.custom_jvp
    ... def square(x):
    ...     return x * x
    >>> square.defjvps(lambda t, out, x: 3 * x * t)
    >>> float(jax.grad(square)(2.0)), float(jax.grad(body(square))(2.0))
    (6.0, 4.0)
    """
    if isinstance(f, functools.partial):
        return functools.partial(body(f.func), *f.args, **f.keywords)
    if isinstance(f, jax.custom_vjp | jax.custom_jvp):
        return _plain(f.__wrapped__)
    if isinstance(f, jax.stages.Wrapped):
        jitted: Any = f
        return body(jitted.__wrapped__)
    return without_rules(f)


def without_rules(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``f`` with every custom rule inside taken off, except JAX's own.

    Its call raises ValueError if there was none. See `body`.
    """

    @functools.wraps(f)
    def g(*args: Any, **kwargs: Any) -> Any:
        closed, leaves, unflatten = trace(f, args, kwargs)
        if not has_rules(closed.jaxpr):
            raise ValueError(
                f"nothing is hand-written in {name_of(f)}: no custom_vjp or custom_jvp but JAX's "
                "own is called there"
            )
        return unflatten(run(closed, leaves, _take_off))

    return g


def _plain(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that was decorated, without the rules of those it calls."""

    @functools.wraps(f)
    def g(*args: Any, **kwargs: Any) -> Any:
        try:
            closed, leaves, unflatten = trace(f, args, kwargs)
        except jax.errors.ConcretizationTypeError:
            return f(*args, **kwargs)
        if not has_rules(closed.jaxpr):
            return f(*args, **kwargs)
        return unflatten(run(closed, leaves, _take_off))

    return g


def trace(
    f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[ClosedJaxpr, list[Any], Callable[[list[Any]], Any]]:
    """Jaxpr of f, the arrays it takes, and how to put its results in the form that f returns.

    What is no array (functions, text, Python numbers) is seen by f as it is.
    """
    leaves, tree = jax.tree.flatten((tuple(args), kwargs))
    arrays = {i: v for i, v in enumerate(leaves) if is_array(v)}
    form: list[Any] = []

    def of_arrays(*given: Any) -> list[Any]:
        merged = dict(zip(arrays, given, strict=True))
        args, kwargs = tree.unflatten([merged.get(i, v) for i, v in enumerate(leaves)])
        found, out_tree = jax.tree.flatten(f(*args, **kwargs))
        form.append(out_tree)
        return found

    closed = jax.make_jaxpr(of_arrays)(*arrays.values())
    return closed, list(arrays.values()), lambda found: form[-1].unflatten(found)


def is_array(v: Any) -> bool:
    """Whether JAX is to trace it: arrays of JAX and NumPy, and NumPy's scalars."""
    return isinstance(v, jax.Array | np.ndarray | np.generic)


def is_rule(eqn: JaxprEqn) -> bool:
    """Whether an equation calls a custom rule that is not JAX's own.

    A rule is JAX's if the function it belongs to is; where that cannot be told, it is not.
    """
    if eqn.primitive not in RULES:
        return False
    source = getattr(getattr(inner(eqn).jaxpr, "debug_info", None), "func_filename", None)
    return source is None or source == _MACHINERY or not Path(source).is_relative_to(_JAX)


def has_rules(jaxpr: Jaxpr) -> bool:
    """Whether someone's rule is called in a jaxpr, at any depth."""
    return any(is_rule(eqn) or rules_within(eqn) for eqn in jaxpr.eqns)


def rules_within(eqn: JaxprEqn) -> bool:
    """Whether someone's rule is called in the jaxprs of an equation."""
    return any(has_rules(inside) for inside in jaxprs_in_params(eqn.params))


def name_of(f: Callable[..., Any]) -> str:
    """Return what a report calls a function."""
    if isinstance(f, functools.partial):
        return name_of(f.func)
    return getattr(f, "__name__", type(f).__name__)


def _take_off(eqn: JaxprEqn, values: list[Any]) -> Sequence[Any] | None:
    if not (is_rule(eqn) or rules_within(eqn)) or eqn.primitive.name == "pallas_call":
        return None  # autodiff never enters a kernel
    if eqn.primitive in CALLS:
        return inlined(inner(eqn), values)
    if eqn.primitive in LOOPS:
        return loop(eqn, values, inlined)
    raise ValueError(
        f"a custom rule is called inside {eqn.primitive.name}, where it cannot be taken off: give "
        "a reference function instead"
    )


def inlined(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    """Evaluate a jaxpr without the rules in it."""
    return run(closed, args, _take_off)
