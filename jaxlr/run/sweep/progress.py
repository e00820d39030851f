"""What a callback sees of a sweep."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxlr.train import ManyProgress


@dataclass(frozen=True)
class SweepProgress:
    """What a callback sees after each step of a program, of ``step`` of all programs' steps.

    ``rows`` is how many rows its members read together.
    """

    step: int
    rows: int
    many: ManyProgress

    @property
    def loss(self) -> float:
        """Smallest loss of the members that still train; it waits for the device."""
        losses, live = np.asarray(self.many.loss, float), np.asarray(self.many.live)
        return float(np.min(losses, where=live, initial=np.inf))


Callback = Callable[[SweepProgress], bool | None]
