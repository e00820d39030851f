"""Laws that a derivative keeps whatever the truth is, seen in what was computed anyway."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxlr.check.derivative.compare import Comparison
from jaxlr.check.derivative.plan import Leg
from jaxlr.check.derivative.points import DOUBLE, ONES, ORDINARY, ZERO
from jaxlr.check.derivative.quantities import gradient, tangent
from jaxlr.check.derivative.report import Oracle

_LINEAR, _BOTH_WAYS = "linear in the cotangent (0, c, 2c)", "forward against reverse"


class Laws:
    """The algebra of the function's own derivatives, and their bits in every mode.

    Where a law is broken, one of its numbers is further from the truth than rounding explains, and
    is found there; here is counted that nobody's truth was needed to see it.
    """

    def __init__(self) -> None:
        self._pulled: dict[tuple[str, str], list[Comparison]] = {}
        self._counts = {_LINEAR: Counter[bool](), _BOTH_WAYS: Counter[bool]()}
        self._apart: dict[str, float] = {}

    def add(self, leg: Leg, made: Sequence[Comparison]) -> None:
        """Look at what was compared at one point of a leg."""
        if leg.rows is not None or not made:
            return
        key = leg.dtype, made[0].place.probe.name
        leaves = [c for c in made if c.kind == "gradient"]
        if leg.quantity is tangent and key in self._pulled:
            self._meet(self._pulled[key], made)
        elif leg.quantity is gradient and leg.mode != "jit":
            self._note_bits(leg.mode, self._pulled.get(key, []), leaves)
        elif leg.quantity is gradient:
            if key[1] in (*ORDINARY, ZERO, DOUBLE):
                self._pulled[key] = leaves
            if key[1] == DOUBLE:
                self._scale(leg.dtype)

    def oracles(self) -> tuple[Oracle, ...]:
        """Rows of the report, of the laws that were looked at."""
        return tuple(
            Oracle(name, counts.total(), counts[True], 0)
            for name, counts in self._counts.items()
            if counts
        )

    def modes(self) -> str:
        """Words for how far the numbers of other modes are from those of jit."""
        same = ", ".join(mode for mode, ulp in self._apart.items() if ulp == 0)
        words = [
            f"{mode}: up to {ulp:.2g} ULP from jit" for mode, ulp in self._apart.items() if ulp
        ]
        return "; ".join([*words, f"{same}: the bits of jit"] if same else words)

    def _scale(self, dtype: str) -> None:
        none, once, twice = (self._pulled[dtype, name] for name in (ZERO, ONES, DOUBLE))
        for zero, one, two in zip(none, once, twice, strict=True):
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

    def _note_bits(self, mode: str, jit: Sequence[Comparison], made: Sequence[Comparison]) -> None:
        for a, b in zip(jit, made, strict=False):
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.nan_to_num(abs(a.hand - b.hand) / a.unit, nan=0.0)
            self._apart[mode] = max(self._apart.get(mode, 0.0), float(np.max(apart, initial=0.0)))

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
