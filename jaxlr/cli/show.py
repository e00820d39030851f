"""What the command line prints: lines, tables and the progress of long work."""

import signal
import sys
import time
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from jaxlr.train import Progress

_PLAIN_WIDTH = 160  # where no terminal says how wide it is, do not fold tables


def console(*, stderr: bool = False) -> Console:
    """Console that prints text as it is: no markup, no colouring of numbers."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, soft_wrap=True)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)
) -> None:
    """Print a table, columns ``left`` to the left and the others to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(Text(name), justify="left" if i in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def print_error(message: str) -> None:
    """Print one message on the standard error stream."""
    console(stderr=True).print(f"jaxlr: {message}")


class TrainingProgress:
    """Callback for `jaxlr.train`: a bar on a terminal, a line at every tenth elsewhere.

    The first Ctrl-C asks the training to stop and keep what it has; the second kills it. Use as
    a context, which ends the bar and gives Ctrl-C back its meaning.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.out = console(stderr=True)
        self.interrupted = False
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
        self.handler = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        signal.signal(signal.SIGINT, self.handler)

    def __call__(self, progress: Progress) -> bool:
        """Show how far the training is; return whether it should stop."""
        done = progress.step + 1
        if done == 1:
            self.start = time.monotonic()
            self.bar.start()
        if self.out.is_terminal:
            if done == self.steps or time.monotonic() - self.shown > 0.1:
                self.bar.update(self.task, completed=done, description=self._line(progress))
                self.shown = time.monotonic()
        elif done % max(1, self.steps // 10) == 0:
            self.out.print(f"step {done} of {self.steps}  {self._line(progress)}")
        return self.interrupted

    def _line(self, progress: Progress) -> str:
        loss = float(progress.loss)  # waits for the device, so it is not read at every step
        seconds = time.monotonic() - self.start
        return f"loss {loss:.4f}" + (f"  {progress.step / seconds:,.0f} steps/s" if seconds else "")

    def _on_interrupt(self, signum: int, frame: object) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.out.print("stopping after this step, keeping what there is; once more to kill")
