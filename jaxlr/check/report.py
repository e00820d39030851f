"""What the judge says: one verdict for each coordinate, and one for all of them."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Verdict(enum.Enum):
    """PASS, WRONG, UNDECIDED (oracles do not agree), VACUOUS (it could not have failed)."""

    PASS = "pass"
    WRONG = "wrong"
    UNDECIDED = "undecided"
    VACUOUS = "vacuous"


class Coordinate(NamedTuple):
    """One coordinate of the gradient, as the hand and the two oracles have it.

    ``allowed`` is the difference that rounding explains, ``numeric_error`` what the central
    difference says of its own error, ``unit`` one unit in the last place of the type of the
    hand-written gradient; all in units of the gradient.
    """

    path: str
    hand: float
    autodiff: float
    numeric: float
    numeric_error: float
    allowed: float
    unit: float
    verdict: Verdict

    @property
    def difference(self) -> float:
        """Hand-written minus autodiff."""
        return self.hand - self.autodiff

    @property
    def ulp(self) -> float:
        """Distance from autodiff in units in the last place."""
        return abs(self.difference) / self.unit

    @property
    def allowed_ulp(self) -> float:
        """Distance that rounding explains, in units in the last place."""
        return self.allowed / self.unit

    @property
    def excess(self) -> float:
        """Difference in units of what rounding explains; more than 1 fails."""
        if self.difference == 0:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = float(np.float64(abs(self.difference)) / self.allowed)
        return ratio if np.isfinite(ratio) else float("inf")


@dataclass(frozen=True)
class Report:
    """Verdict on a hand-written gradient. True exactly when every coordinate passed.

    ``coordinates`` are in the order of the flattened parameters. ``print(report)`` shows the
    worst of them.
    """

    coordinates: Sequence[Coordinate]

    def __bool__(self) -> bool:
        """Whether every coordinate passed."""
        return self.verdict is Verdict.PASS

    @property
    def verdict(self) -> Verdict:
        """WRONG if any coordinate is, else UNDECIDED if any is, else PASS."""
        found = {c.verdict for c in self.coordinates}
        return next(v for v in (Verdict.WRONG, Verdict.UNDECIDED, Verdict.PASS) if v in found)

    @property
    def worst(self) -> Coordinate:
        """Coordinate that is worst: first by verdict, then by `Coordinate.excess`."""
        return self.ranked()[0]

    def ranked(self) -> list[Coordinate]:
        """Coordinates, worst first."""
        order = [Verdict.WRONG, Verdict.UNDECIDED, Verdict.PASS]
        return sorted(self.coordinates, key=lambda c: (order.index(c.verdict), -c.excess))

    def summary(self) -> str:
        """Return the verdict in one sentence."""
        worst, total = self.worst, len(self.coordinates)
        if self:
            return (
                f"pass: {total} of {total} coordinates agree with autodiff and with central "
                f"differences; the worst is {worst.path}, {worst.ulp:.3g} ULP off, "
                f"{worst.excess:.2g} of what rounding explains"
            )
        failed = sum(c.verdict is not Verdict.PASS for c in self.coordinates)
        if self.verdict is Verdict.WRONG:
            return (
                f"wrong: {failed} of {total} coordinates fail; the worst is {worst.path}: by hand "
                f"{worst.hand:.9g}, by autodiff {worst.autodiff:.9g}, by central differences "
                f"{worst.numeric:.9g}"
            )
        return (
            f"undecided: in {failed} of {total} coordinates the oracles cannot decide; the first "
            f"is {worst.path}: by autodiff {worst.autodiff:.9g}, by central differences "
            f"{worst.numeric:.9g} +- {worst.numeric_error:.1g}, by hand {worst.hand:.9g}. "
            "Is the loss differentiable there, and accurate?"
        )

    def __str__(self) -> str:
        """Return the verdict and a table of the worst ten coordinates."""
        head = ("coordinate", "hand", "autodiff", "difference", "ULP", "verdict")
        rows = [
            (
                c.path,
                f"{c.hand:.9g}",
                f"{c.autodiff:.9g}",
                f"{c.difference:.1e}",
                f"{c.ulp:.3g}",
                c.verdict.value,
            )
            for c in self.ranked()[:10]
        ]
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(width) if i in (0, 5) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [head, *rows]
        ]
        more = len(self.coordinates) - len(rows)
        return "\n".join([self.summary(), "", *lines, *([f"... {more} more"] if more > 0 else [])])
