"""Is autodiff right where nothing is off? Second oracles are asked along a random direction."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import jax
import numpy as np

from jaxlr.check.derivative.comparison import Comparison
from jaxlr.check.derivative.opinions import Question, towards
from jaxlr.check.derivative.programs import Programs
from jaxlr.check.derivative.quantities import Quantity
from jaxlr.check.derivative.tally import AGREED, DISAGREED, REFUSED, Tally, stance
from jaxlr.check.derivative.tolerance import Tolerance
from jaxlr.check.oracles import taylor

_SECOND = 6  # points at which second derivatives are confirmed
_RELATIVE = 1e-9  # of the sum of absolute terms, between autodiff and a second oracle


class Doubt(NamedTuple):
    """A second oracle contradicts autodiff and the hand, which agree on ``truth``."""

    leaves: list[Comparison]
    truth: float
    says: str


class Confirmation:
    """Asks the cheapest oracle at so many points, and at the first of them the whole ladder.

    Parameters
    ----------
    programs : Programs
        The function and its reference.
    tolerance : Tolerance
        What rounding may do.
    tally : Tally
        Where the answers are counted.
    points : int
        At which autodiff is to be confirmed.
    """

    def __init__(self, programs: Programs, tolerance: Tolerance, tally: Tally, points: int) -> None:
        self._programs, self._tolerance, self._tally = programs, tolerance, tally
        self._wanted = {"gradient": points, "second": min(points, _SECOND)}
        self._done: Counter[str] = Counter()

    def ask(self, quantity: Quantity, made: Sequence[Comparison]) -> Doubt | None:
        """Ask at one point, if it is one of so many and nothing is off there."""
        kind = quantity.__name__
        if self._done[kind] >= self._wanted.get(kind, 0):
            return None
        leaves = [c for c in made if c.kind == kind]
        if any(c.bad.any() for c in made) or not all(np.isfinite(c.truth).all() for c in leaves):
            return None
        self._done[kind] += 1
        rng = np.random.default_rng(self._done[kind])
        along = [rng.choice([-1.0, 1.0], c.truth.shape) for c in leaves]
        with np.errstate(over="ignore"):  # far out, what is allowed may be anything
            truth = float(sum(np.sum(c.truth * v) for c, v in zip(leaves, along, strict=True)))
            slack = _RELATIVE * float(sum(np.sum(self._terms(c)) for c in leaves))
        asked = towards(self._programs, leaves[0].place, kind, along)
        first = self._done[kind] == 1
        for reading in islice(asked.ask(), None if first else 1):
            says = stance(reading, truth, slack)
            self._tally.add(reading.oracle, says, reading.refused)
            if says == DISAGREED:
                return Doubt(
                    leaves, truth, f"{reading.oracle} {reading.value:.9g} +- {reading.error:.1g}"
                )
        # Of a slope that is nothing but autodiff's rounding there is no order.
        has_order = first and kind == "gradient" and abs(truth) > slack
        return self._order(leaves, asked, truth) if has_order else None

    def _terms(self, made: Comparison) -> np.ndarray:
        """Sum of absolute terms of each number: the truth may be 0, and autodiff's noise not."""
        unit = self._tolerance.rounding(made.place.dtype, np.ones(()))
        return np.maximum(abs(made.truth), made.allowed / unit)

    def _order(self, leaves: list[Comparison], asked: Question, slope: float) -> Doubt | None:
        """Ask Taylor's test whether autodiff's slope leaves a remainder of second order."""
        with jax.enable_x64(True):
            found = taylor.order(asked.scalar, asked.x, asked.directions[0], slope)
        says = REFUSED if found.refused else AGREED if found.passes else DISAGREED
        self._tally.add("Taylor's order", says, found.refused)
        if says != DISAGREED:
            return None
        return Doubt(leaves, slope, f"Taylor's remainder has order {found.order:.2g}")
