"""The callback that keeps a training: its metrics as they come, checkpoints when they are due."""

import time
from collections.abc import Callable

from jaxlr.run.checkpoint import Checkpoint, Checkpoints
from jaxlr.run.config import TrainConfig
from jaxlr.run.hosts import agree
from jaxlr.run.metrics import Metrics
from jaxlr.train import Progress, TrainState

Callback = Callable[[Progress], bool | None]


class Keeper:
    """Write what a training does, and ask ``callback`` whether it should stop.

    A training that is stopped leaves a checkpoint; so does one that ends and has left some, so
    that it can be made longer.
    """

    def __init__(
        self,
        config: TrainConfig,
        metrics: Metrics,
        checkpoints: Checkpoints,
        begin: Checkpoint,
        callback: Callback | None,
    ) -> None:
        self.config, self.metrics, self.checkpoints = config, metrics, checkpoints
        self.key, self.callback = begin.key, callback
        self.saved = begin.state.step if checkpoints.steps() else None
        self.start = self.looked = time.monotonic()
        self.before = begin.seconds

    def __call__(self, progress: Progress) -> bool:
        """Note a step; return whether to stop."""
        self.metrics.add(progress)
        stops = agree(bool(self.callback and self.callback(progress)))
        if stops or self._is_due(progress.step + 1):
            self.save(progress.state)
        return stops

    def seconds(self) -> float:
        """Time that the steps took, those before a break included."""
        return self.before + time.monotonic() - self.start

    def finish(self, state: TrainState) -> None:
        """Note the end."""
        if self.saved is not None:
            self.save(state)

    def save(self, state: TrainState) -> None:
        """Write a checkpoint, unless there is one or the training has diverged."""
        size = self.metrics.flush(durably=True)
        if self.saved != state.step and not self.metrics.has_diverged:
            validation_loss = self.metrics.validation_loss
            self.checkpoints.save(
                Checkpoint(state, self.key, size, validation_loss, self.seconds())
            )
            self.saved = state.step
        self.looked = time.monotonic()

    def _is_due(self, step: int) -> bool:
        every, minutes = self.config.checkpoint_steps, self.config.checkpoint_minutes
        if step == self.config.steps:  # `finish` follows
            return False
        if every is not None and step % every == 0:
            return True
        return minutes > 0 and time.monotonic() - self.looked >= 60 * minutes
