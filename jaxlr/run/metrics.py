"""``metrics.jsonl`` as it grows."""

import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxlr.run.events import Events
from jaxlr.run.folder import RunFolderError
from jaxlr.run.summary import to_json
from jaxlr.train import Progress

_STEPS, _SECONDS = 100, 10.0  # between two writes, each of which waits for the device


class Metrics:
    """One JSON object for the parameters after each number of steps, 0 included.

    Parameters
    ----------
    path : Path
        The file. What a run wrote after the checkpoint from which it goes on, and writes once
        more, must not stand there twice: it is cut back to ``size`` bytes.
    step : int
        Number of the next line.
    validation_loss : float, optional
        Taken already of the parameters of the next line.
    events : Events, optional
        Where the same goes.
    """

    def __init__(
        self,
        path: Path,
        *,
        step: int = 0,
        size: int = 0,
        validation_loss: float | None = None,
        events: Events | None = None,
    ) -> None:
        self.path, self.events = path, events
        self.step, self.validation_loss = step, validation_loss
        self.seen: list[tuple[Array, Array]] = []
        self.lines: list[dict[str, Any]] = []  # of `seen`, to be completed
        self.written, self.has_diverged = time.monotonic(), False
        try:
            os.truncate(path, size)
        except OSError as error:
            raise RunFolderError(f"{path} cannot be written: {error.strerror}") from error

    def add(self, progress: Progress) -> None:
        """Note one step; now and then, write what was noted."""
        self.lines.append({"step": progress.step, **self._validation()})
        self.seen.append((progress.loss, progress.grad_norm))
        self.step, self.validation_loss = progress.step + 1, progress.validation_loss
        if len(self.seen) >= _STEPS or time.monotonic() - self.written > _SECONDS:
            self.flush()

    def flush(self, *, durably: bool = False) -> int:
        """Write what was noted, up to the first step that is not finite; return the file's size."""
        complete = []
        for line, (loss, norm) in zip(self.lines, jax.device_get(self.seen), strict=True):
            if self.has_diverged:
                break
            step, *validation = line.items()
            numbers = {"loss": float(loss), "grad_norm": float(norm)}
            complete.append(dict([step, *numbers.items(), *validation]))
            self.has_diverged = not np.isfinite([loss, norm]).all()
        self.lines, self.seen, self.written = [], [], time.monotonic()
        return self._append(complete, durably=durably)

    def close(self) -> None:
        """Write the rest: after the last step, whose own loss nobody asked for, the validation."""
        self.flush(durably=True)
        last = self._validation()
        if last and not self.has_diverged:
            self._append([{"step": self.step, **last}], durably=True)

    def _validation(self) -> dict[str, float]:
        loss = self.validation_loss
        return {} if loss is None else {"validation_loss": loss}

    def _append(self, lines: list[dict[str, Any]], *, durably: bool) -> int:
        try:
            with self.path.open("ab") as file:
                file.write("".join(to_json(line) + "\n" for line in lines).encode())
                file.flush()
                if durably:
                    os.fsync(file.fileno())
                size = file.tell()
            if self.events:
                self.events.add(lines)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written: {error.strerror}") from error
        return size
