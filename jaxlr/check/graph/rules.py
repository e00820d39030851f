"""Every custom rule that a function calls, with the values that reach it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxprs_in_params
from jax.extend.core.primitives import cond_p, scan_p, while_p

from jaxlr.check.graph.alike import behaviour, differentiable, label
from jaxlr.check.graph.body import (
    body,
    is_rule,
    name_of,
    rules_within,
    trace,
    without_rules,
)
from jaxlr.check.graph.evaluate import (
    CALLS,
    bind,
    inner,
    run,
    split_scan,
    split_while,
)
from jaxlr.check.graph.wider import undecorated, widened

__all__ = ["Rule", "body", "rules", "without_rules"]


@dataclass(frozen=True)
class Rule:
    """A custom rule as it is called inside a function.

    ``call(*arrays)`` has the rule, ``body(*arrays)`` has not; both return a list of arrays.
    ``body`` takes float64 too where ``call`` was float32: as ``f`` has it for float64, or, if
    ``f`` casts to less, with everything in it widened, and then rules of JAX's own are lost.
    ``args`` are the arrays of its calls: of ``reached`` calls the first and the last ones. It is
    empty where no call was seen, in a branch not taken or inside something that is not looked
    into. ``places`` are the paths of all equations that are this rule, ``path`` is the first.
    """

    name: str
    path: str
    call: Callable[..., list[Array]] = field(repr=False)
    body: Callable[..., list[Array]] = field(repr=False)
    args: list[tuple[Any, ...]] = field(repr=False)
    differentiable: tuple[bool, ...]
    reached: int
    places: tuple[str, ...]


@dataclass
class _Seen:
    """One equation, where it is, and what reached it: first calls, last calls, how many."""

    eqn: JaxprEqn
    path: str
    first: list[tuple[Any, ...]] = field(default_factory=list)
    last: list[tuple[Any, ...]] = field(default_factory=list)
    reached: int = 0
    wide: ClosedJaxpr | None = None

    def add(self, values: Sequence[Any], keep: int) -> None:
        """Keep a call: half of ``keep`` from the start, the other half from the end."""
        self.reached += 1
        into = self.first if len(self.first) < (keep + 1) // 2 else self.last
        into.append(tuple(values))
        if len(self.last) > keep // 2:
            self.last.pop(0)


def rules(f: Callable[..., Any], args: Sequence[Any], *, keep: int = 16) -> list[Rule]:
    """Find the custom rules that ``f(*args)`` calls, and the values that reach them.

    Parameters
    ----------
    f : callable
        Any function that JAX can trace.
    args : sequence
        Its arguments. They are run through it, equation by equation.
    keep : int
        Calls to keep of each equation: the first and the last ones.

    Returns
    -------
    list of Rule
        In the order of the jaxpr, rules inside a rule after it. Rules of JAX itself are no
        concern of ours. Equations whose rule does the same to arrays of the same shapes, as its
        jaxpr says, are one rule.

    Notes
    -----
    A loop that calls a rule is run in Python, one iteration after the other.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> @jax.custom_jvp
    ... def cube(x):
    ...     return x * x * x
    >>> cube.defjvps(lambda t, out, x: 3 * x * x * t)
    >>> def f(xs):
    ...     return jax.lax.scan(lambda c, x: (c + cube(x), None), 0.0, xs)[0]
    >>> (rule,) = rules(f, (jnp.array([1.0, 2.0, 3.0]),))
    >>> rule.path, rule.reached, [float(x) for x, in rule.args]
    ('f/scan[body]/cube', 3, [1.0, 2.0, 3.0])
    """
    closed, leaves, _ = trace(f, args, {})
    seen: dict[int, _Seen] = {}
    for eqn, path in _declared(closed.jaxpr, name_of(f)):
        seen.setdefault(id(eqn), _Seen(eqn, f"{path}/{label(eqn)}"))
    run(closed, leaves, _Walk(seen, keep))
    each = list(seen.values())
    for one, wide in zip(each, _wide_bodies(f, args, each), strict=True):
        one.wide = wide
    return [_rule(alike) for alike in _grouped(each)]


class _Walk:
    """Evaluate equations, loops one iteration after the other, and keep what reaches rules."""

    def __init__(self, seen: dict[int, _Seen], keep: int) -> None:
        self.seen, self.keep = seen, keep

    def __call__(self, eqn: JaxprEqn, values: list[Any]) -> Sequence[Any] | None:
        if is_rule(eqn):
            self.seen[id(eqn)].add(values, self.keep)
        if not rules_within(eqn):
            return None
        if eqn.primitive in CALLS:
            return run(inner(eqn), values, self)
        step = {scan_p: self._scan, while_p: self._while, cond_p: self._cond}.get(eqn.primitive)
        return step(eqn, values) if step else None

    def _scan(self, eqn: JaxprEqn, values: list[Any]) -> list[Any] | None:
        consts, carry, xs = split_scan(eqn.params, values)
        order = list(range(eqn.params["length"]))
        if not order:
            return None
        ys = []
        for i in order[::-1] if eqn.params["reverse"] else order:
            now = [x[i] for x in xs]
            found = run(eqn.params["jaxpr"], (*consts, *carry, *now), self)
            carry = found[: len(carry)]
            ys.append(found[len(carry) :])
        ys = ys[::-1] if eqn.params["reverse"] else ys
        return [*carry, *(jnp.stack(column) for column in zip(*ys, strict=True))]

    def _while(self, eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        of_cond, of_body, carry = split_while(eqn.params, values)
        while bool(run(eqn.params["cond_jaxpr"], (*of_cond, *carry), self)[0]):
            carry = run(eqn.params["body_jaxpr"], (*of_body, *carry), self)
        return carry

    def _cond(self, eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        which, *given = values
        branches = eqn.params["branches"]
        return run(branches[min(max(int(which), 0), len(branches) - 1)], given, self)


def _declared(jaxpr: Jaxpr, path: str) -> Iterator[tuple[JaxprEqn, str]]:
    """Each equation that calls a rule, and the path of what it is in."""
    for eqn in jaxpr.eqns:
        if is_rule(eqn):
            yield eqn, path
        if rules_within(eqn):
            for part, inside in _parts(eqn):
                yield from _declared(inside, f"{path}/{label(eqn)}{part}")


def _parts(eqn: JaxprEqn) -> Iterator[tuple[str, Jaxpr]]:
    """Each jaxpr of an equation, and what to call it."""
    if eqn.primitive is scan_p:
        yield "[body]", eqn.params["jaxpr"].jaxpr
    elif eqn.primitive is while_p:
        yield "[cond]", eqn.params["cond_jaxpr"].jaxpr
        yield "[body]", eqn.params["body_jaxpr"].jaxpr
    elif eqn.primitive is cond_p:
        yield from ((f"[branch {i}]", b.jaxpr) for i, b in enumerate(eqn.params["branches"]))
    else:
        yield from (("", inside) for inside in jaxprs_in_params(eqn.params))


def _wide_bodies(f: Callable[..., Any], args: Sequence[Any], seen: list[_Seen]) -> list[Any]:
    """Trace f in float64 and return what is decorated there, where it calls the same rules."""
    try:
        with jax.enable_x64(True):
            closed, *_ = trace(f, widened(args), {})
    except Exception:  # a function may insist on float32
        return [None] * len(seen)
    wide: dict[str, list[JaxprEqn]] = {}
    for eqn, path in _declared(closed.jaxpr, name_of(f)):
        known = wide.setdefault(f"{path}/{label(eqn)}", [])
        if not any(eqn is other for other in known):
            known.append(eqn)
    paths = [one.path for one in seen]
    counted = {path: len(wide.get(path, ())) == paths.count(path) for path in paths}
    return [inner(wide[path].pop(0)) if counted[path] else None for path in paths]


def _rule(alike: list[_Seen]) -> Rule:
    """One rule of equations that call the same."""
    one = alike[0]
    args = [values for seen in alike for values in (*seen.first, *seen.last)]
    return Rule(
        name=label(one.eqn),
        path=one.path,
        call=_calling(one.eqn),
        body=undecorated(inner(one.eqn), one.wide),
        args=args,
        differentiable=differentiable(one.eqn),
        reached=sum(seen.reached for seen in alike),
        places=tuple(seen.path for seen in alike),
    )


def _calling(eqn: JaxprEqn) -> Callable[..., list[Array]]:
    return lambda *values: bind(eqn, values)


def _grouped(seen: list[_Seen]) -> list[list[_Seen]]:
    groups: dict[Any, list[_Seen]] = {}
    for one in seen:
        groups.setdefault(behaviour(one.eqn), []).append(one)
    return list(groups.values())
