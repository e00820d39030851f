"""How often each oracle was asked, agreed with autodiff, and refused to answer."""

from collections import Counter

from jaxlr.check.derivative.report import Oracle
from jaxlr.check.oracles import Reading

AGREED, DISAGREED, REFUSED = "agreed", "disagreed", "refused"


def stance(reading: Reading, truth: float, slack: float) -> str:
    """Return what a reading says of autodiff's ``truth``."""
    if reading.refused:
        return REFUSED
    return AGREED if abs(reading.value - truth) <= reading.error + slack else DISAGREED


class Tally:
    """Counts of what the second oracles said beside autodiff."""

    def __init__(self) -> None:
        self._said: dict[str, Counter[str]] = {}
        self._why: dict[str, Counter[str]] = {}

    def add(self, oracle: str, said: str, why: str = "") -> None:
        """Note what an oracle said of autodiff, and why it refused to."""
        self._said.setdefault(oracle, Counter())[said] += 1
        if said == REFUSED:
            self._why.setdefault(oracle, Counter())[why] += 1

    def oracles(self) -> tuple[Oracle, ...]:
        """Rows of the report."""
        return tuple(
            Oracle(
                name, said.total(), said[AGREED], said[REFUSED],
                dict(sorted(self._why.get(name, {}).items())),
            )
            for name, said in self._said.items()
        )  # fmt: skip
