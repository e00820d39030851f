"""Laws that a derivative keeps whatever the truth is, seen in what was computed anyway."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxlr.check.derivative.comparison import Comparison
from jaxlr.check.derivative.plan import Leg
from jaxlr.check.derivative.points import DOUBLE, ONES, ORDINARY, ZERO
from jaxlr.check.derivative.quantities import gradient, tangent
from jaxlr.check.derivative.report import Oracle

_LINEAR, _BOTH_WAYS = "linear in the cotangent (0, c, 2c)", "forward against reverse"
_SCALED = (ZERO, ONES, DOUBLE)


class Laws:
    """The algebra of the function's own derivatives.

    Where a law is broken, one of its numbers is further from the truth than rounding explains, and
    is found there; here is counted that nobody's truth was needed to see it.
    """

    def __init__(self) -> None:
        self._pulled: dict[tuple[str, str], list[Comparison]] = {}
        self._counts = {_LINEAR: Counter[bool](), _BOTH_WAYS: Counter[bool]()}

    def add(self, leg: Leg, made: Sequence[Comparison]) -> None:
        """Look at what was compared at one point of a leg."""
        if leg.rows is not None or leg.mode != "jit" or not made:
            return
        name = made[0].place.probe.name
        if leg.quantity is tangent and (leg.dtype, name) in self._pulled:
            self._meet(self._pulled[leg.dtype, name], made)
        elif leg.quantity is gradient and name in (*ORDINARY, ZERO, DOUBLE):
            self._pulled[leg.dtype, name] = [c for c in made if c.kind == "gradient"]
            keys = [(leg.dtype, size) for size in _SCALED]
            if name in _SCALED and all(key in self._pulled for key in keys):
                self._scale(*(self._pulled[key] for key in keys))

    def oracles(self) -> tuple[Oracle, ...]:
        """Rows of the report, of the laws that were looked at."""
        return tuple(
            Oracle(name, counts.total(), counts[True], 0)
            for name, counts in self._counts.items()
            if counts
        )

    def _scale(self, *scaled: Sequence[Comparison]) -> None:
        """``vjp(0) = 0`` and ``vjp(2 c) = 2 vjp(c)``."""
        for zero, one, two in zip(*scaled, strict=True):
            known = np.isfinite(zero.truth) & np.isfinite(one.truth) & np.isfinite(two.truth)
            with np.errstate(invalid="ignore", over="ignore"):
                kept = (zero.hand == 0) & (abs(two.hand - 2 * one.hand) <= two.allowed)
            self._count(_LINEAR, kept[known])

    def _meet(self, pulled: Sequence[Comparison], pushed: Sequence[Comparison]) -> None:
        """``<c, J v> = <J' c, v>``."""
        if not all(np.isfinite(c.truth).all() for c in (*pulled, *pushed)):
            return
        point = pushed[0].place.probe.point
        one, loose = _product(pushed, point.cotangent)
        other, slack = _product(pulled, point.along)
        self._count(_BOTH_WAYS, np.array(abs(one - other) <= loose + slack))

    def _count(self, law: str, kept: np.ndarray) -> None:
        self._counts[law].update({True: int(kept.sum()), False: int(np.sum(~kept))})


def _product(made: Sequence[Comparison], by: Sequence[np.ndarray]) -> tuple[float, float]:
    """Sum of products of the hand's numbers, and of what is allowed."""
    with np.errstate(invalid="ignore", over="ignore"):
        pairs = list(zip(made, (v.astype(np.float64) for v in by), strict=True))
        return (
            float(sum(np.sum(c.hand * v) for c, v in pairs)),
            float(sum(np.sum(c.allowed * abs(v)) for c, v in pairs)),
        )
