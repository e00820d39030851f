"""Which named values enter the same loop: one backward loop makes all their gradients."""

from collections.abc import Sequence
from typing import Any

from jax.extend.core import Jaxpr, Literal
from jax.extend.core.primitives import name_p

from jaxlr.check.graph.evaluate import CALLS, LOOPS, inner

Names = frozenset[str]


def loop_mates(jaxpr: Jaxpr, given: Sequence[Names]) -> list[Names]:
    """For each loop, the nodes that enter it with no other node on the way.

    ``given`` has the node of each input, if it is one.
    """
    mates: list[Names] = []
    _follow(jaxpr, given, mates)
    return mates


def _follow(jaxpr: Jaxpr, given: Sequence[Names], mates: list[Names]) -> list[Names]:
    known: dict[Any, Names] = dict(zip(jaxpr.invars, given, strict=True))

    def read(v: Any) -> Names:
        return frozenset() if isinstance(v, Literal) else known.get(v, frozenset())

    for eqn in jaxpr.eqns:
        values = [read(v) for v in eqn.invars]
        together = frozenset[str]().union(*values)
        found = [together] * len(eqn.outvars)
        if eqn.primitive is name_p:
            found = [frozenset({f"d{eqn.params['name']}"})]
        elif eqn.primitive in LOOPS:
            mates.append(together)
        elif eqn.primitive in CALLS:
            found = _follow(inner(eqn).jaxpr, values, mates)
        known.update(zip(eqn.outvars, found, strict=True))
    return [read(v) for v in jaxpr.outvars]
