"""The progress of a training, and the signals that end it."""

import signal
import time
from types import FrameType

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from jaxlr.cli.show import console, print_line
from jaxlr.train import Progress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingProgress:
    """Callback for `jaxlr.train`: a bar on a terminal, a line at every tenth elsewhere.

    The first Ctrl-C, or SIGTERM, asks the training to stop and keep what it has; a second Ctrl-C
    kills it. Use as a context, which ends the bar and gives the signals back their meaning.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.out = console(stderr=True)
        self.stopped_by: int | None = None
        self.first: int | None = None  # step that was shown first: 0 but after a break
        self.start = self.shown = 0.0
        self.bar = Bar(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self.out,
            disable=not self.out.is_terminal,
        )
        self.task = self.bar.add_task("", total=steps)

    def __enter__(self) -> "TrainingProgress":
        self.handlers = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """As a shell has it of a process that a signal ended; Ctrl-C, if it was none."""
        return 128 + (self.stopped_by or signal.SIGINT)

    def tell(self, text: str) -> None:
        """Print text where the progress goes."""
        print_line(text, stderr=True)

    def __call__(self, progress: Progress) -> bool:
        """Show how far the training is; return whether it should stop."""
        done = progress.step + 1
        if self.first is None:
            self.first, self.start = progress.step, time.monotonic()
            self.bar.start()
        if self.out.is_terminal:
            if done == self.steps or time.monotonic() - self.shown > 0.1:
                self.bar.update(self.task, completed=done, description=self._line(progress))
                self.shown = time.monotonic()
        elif done % max(1, self.steps // 10) == 0:
            self.out.print(f"step {done} of {self.steps}  {self._line(progress)}")
        return self.stopped_by is not None

    def _line(self, progress: Progress) -> str:
        loss = float(progress.loss)  # waits for the device, so it is not read at every step
        seconds = time.monotonic() - self.start
        rows = (progress.step - (self.first or 0)) * progress.rows
        return f"loss {loss:.4f}" + (f"  {rows / seconds:,.0f} rows/s" if seconds else "")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.first is None:  # nothing was trained that could be kept
            signal.signal(number, self.handlers[number])
            signal.raise_signal(number)
            return
        self.stopped_by = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.out.print("stopping after this step, keeping what there is; once more to kill")
