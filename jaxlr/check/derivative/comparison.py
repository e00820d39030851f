"""Numbers of one leaf at one point: by hand, in truth, and how far apart they may be."""

from typing import Any, NamedTuple

import numpy as np

from jaxlr.check.derivative.points import Probe
from jaxlr.check.derivative.quantities import Quantity
from jaxlr.check.derivative.tolerance import exceeds


class Place(NamedTuple):
    """Where something was compared, in words and in numbers."""

    probe: Probe
    others: list[Any]
    dtype: str
    mode: str
    rows: int | None

    def __str__(self) -> str:
        """Words for the report."""
        rows = "" if self.rows is None else f", {self.rows} rows"
        return f"{self.probe.name}{rows}, {self.dtype}, {self.mode}"


class Comparison(NamedTuple):
    """Numbers of one leaf; ``allowed`` is the distance that rounding explains.

    Where ``kind`` is "norm" there is one number, the product of the leaf with ``along``.
    """

    quantity: Quantity
    kind: str
    leaf: int
    name: str
    place: Place
    hand: np.ndarray
    truth: np.ndarray
    allowed: np.ndarray
    unit: np.ndarray
    along: np.ndarray | None = None

    @property
    def bad(self) -> np.ndarray:
        """Where the hand is further from the truth than rounding explains."""
        return exceeds(self.hand, self.truth, self.allowed, self.place.dtype)

    @property
    def distance(self) -> np.ndarray:
        """Distance in units in the last place; inf where only one of the two is a number."""
        with np.errstate(invalid="ignore", over="ignore"):
            found = abs(self.hand - self.truth) / self.unit
        return np.where(self.bad & ~np.isfinite(found), np.inf, np.nan_to_num(found, posinf=0.0))

    @property
    def excess(self) -> np.ndarray:
        """Distance in units of what is allowed; inf where only one of the two is a number."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = abs(self.hand - self.truth) / self.allowed
        found = np.where(np.isnan(found), np.where(self.bad, np.inf, 0.0), found)
        return np.where(self.bad, np.maximum(found, 1.0), np.minimum(found, 1.0))

    @property
    def worst(self) -> int:
        """Index of the number that is furthest off, among those that are."""
        return int(np.argmax(np.where(self.bad, self.excess, -1.0)))

    def path(self, index: int) -> str:
        """Name of one number, as in ``dx[2, 0]``."""
        at = np.unravel_index(index, self.hand.shape)
        return self.name + (f"[{', '.join(str(int(i)) for i in at)}]" if at else "")
