"""How far the numbers of eager, vmap and scan are from those of jit."""

from collections.abc import Sequence

import numpy as np

from jaxlr.check.derivative.comparison import Comparison
from jaxlr.check.derivative.plan import Leg
from jaxlr.check.derivative.quantities import gradient


class Modes:
    """Bits of the gradient in every mode: a note of the report, for no backend promises them."""

    def __init__(self) -> None:
        self._by_jit: dict[tuple[str, str], list[Comparison]] = {}
        self._apart: dict[str, float] = {}

    def add(self, leg: Leg, made: Sequence[Comparison]) -> None:
        """Look at what was compared at one point of a leg."""
        if leg.rows is not None or leg.quantity is not gradient or not made:
            return
        key = leg.dtype, made[0].place.probe.name
        leaves = [c for c in made if c.kind == "gradient"]
        if leg.mode == "jit":
            self._by_jit[key] = leaves
            return
        for a, b in zip(self._by_jit.get(key, []), leaves, strict=False):
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.nan_to_num(abs(a.hand - b.hand) / a.unit, nan=0.0)
            most = float(np.max(apart, initial=0.0))
            self._apart[leg.mode] = max(self._apart.get(leg.mode, 0.0), most)

    def __str__(self) -> str:
        """Words for the report; none where no other mode was looked at."""
        same = ", ".join(mode for mode, ulp in self._apart.items() if ulp == 0)
        words = [
            f"{mode}: up to {ulp:.2g} ULP from jit" for mode, ulp in self._apart.items() if ulp
        ]
        return "; ".join([*words, f"{same}: the bits of jit"] if same else words)
