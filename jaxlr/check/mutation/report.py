"""What became of the mutants: which of them a test let live."""

import enum
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jaxlr.check.mutation.mutant import Mutant


class Status(enum.Enum):
    """What a test made of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    BROKEN = "broken"
    TIMED_OUT = "timed out"
    NO_DIFFERENCE = "no difference seen"


class Trial(NamedTuple):
    """One mutant, what became of it, and why: the error's type, or that it was never called."""

    mutant: "Mutant"
    status: Status
    reason: str


@dataclass(frozen=True)
class MutationReport:
    """What a test caught and what not. True when it killed mutants and let none live.

    ``trials`` are in the order of the mutants. A mutant that crashes or hangs by itself is no
    credit to the test and counts neither way; nor does one without a difference seen.
    """

    trials: Sequence[Trial]

    def __bool__(self) -> bool:
        """Whether no mutant survived, and not for want of mutants."""
        return not self.survivors and bool(self.of(Status.KILLED))

    def of(self, status: Status) -> list["Mutant"]:
        """Mutants of one status."""
        return [trial.mutant for trial in self.trials if trial.status is status]

    @property
    def survivors(self) -> list["Mutant"]:
        """Wrong copies that passed the test."""
        return self.of(Status.SURVIVED)

    @property
    def score(self) -> float:
        """Killed of killed and survived; NaN when there are neither."""
        killed, lived = len(self.of(Status.KILLED)), len(self.survivors)
        return killed / (killed + lived) if killed + lived else float("nan")

    def summary(self) -> str:
        """Return the result in one sentence."""
        counts = Counter(trial.status for trial in self.trials)
        judged = counts[Status.KILLED] + counts[Status.SURVIVED]
        rest = [
            f"; {counts[status]} {status.value}"
            for status in (Status.BROKEN, Status.TIMED_OUT, Status.NO_DIFFERENCE)
            if counts[status]
        ]
        return (
            f"killed {counts[Status.KILLED]} of {judged} wrong copies ({self.score:.0%}), "
            f"{counts[Status.SURVIVED]} survived{''.join(rest)}"
        )

    def __str__(self) -> str:
        """Return the score and the survivors with their diffs."""
        lines = [self.summary()]
        for mutant, status, reason in self.trials:
            if status is Status.SURVIVED:
                head = f"{mutant.place}  in {mutant.where}  {mutant.name}"
                lines += ["", head + (f"  ({reason})" if reason else "")]
                lines += [f"  - {mutant.before}", f"  + {mutant.after}"]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return all trials as JSON, the same text for the same mutants and test."""
        trials = [
            {
                "name": mutant.name,
                "place": mutant.place,
                "function": mutant.where,
                "before": mutant.before,
                "after": mutant.after,
                "status": status.value,
                "reason": reason,
            }
            for mutant, status, reason in self.trials
        ]
        counts = Counter(trial["status"] for trial in trials)
        whole = {
            "passed": bool(self),
            "counts": {status.value: counts[status.value] for status in Status},
            "mutants": trials,
        }
        return json.dumps(whole, indent=1)
