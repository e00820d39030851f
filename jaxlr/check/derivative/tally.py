"""How often each oracle was asked, agreed with autodiff, and refused to answer."""

from collections import Counter

from jaxlr.check.derivative.report import Oracle
from jaxlr.check.oracles import Reading


class Tally:
    """Counts of what the second oracles said beside autodiff."""

    def __init__(self) -> None:
        self._said: dict[str, Counter[str]] = {}
        self._why: dict[str, Counter[str]] = {}

    def count(self, reading: Reading, truth: float, slack: float) -> bool:
        """Note a reading; return whether it contradicts autodiff."""
        agrees = not reading.refused and abs(reading.value - truth) <= reading.error + slack
        return self.add(reading.oracle, agrees, reading.refused)

    def add(self, oracle: str, agrees: bool, refused: str) -> bool:
        """Note an answer, or why there is none; return whether it contradicts autodiff."""
        said = "refused" if refused else "agreed" if agrees else "disagreed"
        self._said.setdefault(oracle, Counter())[said] += 1
        if refused:
            self._why.setdefault(oracle, Counter())[refused] += 1
        return said == "disagreed"

    def oracles(self) -> tuple[Oracle, ...]:
        """Rows of the report."""
        return tuple(
            Oracle(
                name, said.total(), said["agreed"], said["refused"],
                dict(sorted(self._why.get(name, {}).items())),
            )
            for name, said in self._said.items()
        )  # fmt: skip
