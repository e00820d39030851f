"""What is kept of all comparisons: counts, the worst, the sharpest for canaries, the bad ones."""

import numpy as np

from jaxlr.check.derivative.canaries import canaries, floor, visibility
from jaxlr.check.derivative.comparison import Comparison
from jaxlr.check.derivative.report import Node
from jaxlr.check.report import Verdict

_KEPT = 8  # comparisons of a leaf in which canaries are planted
_LARGE = 100_000  # numbers of a leaf, of which fewer are kept
_BAD = 16  # of a leaf, type and mode, that are looked into

Key = tuple[str, str, str]  # kind, name, dtype


class Record:
    """Comparisons of one leaf in one type."""

    def __init__(self, kind: str, name: str, dtype: str) -> None:
        self.key = self.kind, self.name, self.dtype = kind, name, dtype
        self.compared, self.off = 0, 0
        self.worst = self.ulp = 0.0
        self.bad: dict[str, list[Comparison]] = {}
        self._sharpest: list[Comparison] = []

    def add(self, made: Comparison) -> None:
        """Count one comparison, and keep it if it is bad, or sharper than those that are kept."""
        bad, known = made.bad, np.isfinite(made.truth)
        self.compared += int(known.sum())
        self.off += int(bad.sum())
        if bad.any():
            seen = self.bad.setdefault(f"{made.place.mode}, {made.place.rows}", [])
            if len(seen) < _BAD:
                seen.append(made)
        elif known.any():
            self.blame(made)
            kept = _KEPT if made.truth.size < _LARGE else 2
            self._sharpest = sorted([*self._sharpest, made], key=visibility)[-kept:]

    def blame(self, made: Comparison) -> None:
        """Let a comparison count for the worst that was seen."""
        if made.excess.size and (worst := float(np.max(made.excess))) >= self.worst:
            self.worst, self.ulp = worst, float(made.distance.ravel()[np.argmax(made.excess)])

    @property
    def passed(self) -> list[Comparison]:
        """The sharpest comparisons that found nothing wrong."""
        return self._sharpest

    @property
    def zero(self) -> bool:
        """Whether the truth was 0 wherever it was looked at."""
        return not self.bad and not any(np.any(c.truth != 0) for c in self._sharpest)

    def node(self, verdict: Verdict) -> Node:
        """Row of the report."""
        return Node(
            self.name, self.kind, self.dtype, self.compared, self.worst, self.ulp,
            floor(self._sharpest), canaries(self._sharpest), verdict,
        )  # fmt: skip


class Records:
    """All leaves of all quantities."""

    def __init__(self) -> None:
        self.all: dict[Key, Record] = {}

    def add(self, made: Comparison) -> None:
        """Count a comparison where it belongs."""
        key = (made.kind, made.name, made.place.dtype)
        self.all.setdefault(key, Record(*key)).add(made)

    @property
    def comparisons(self) -> int:
        """How many numbers were compared."""
        return sum(r.compared for r in self.all.values())
