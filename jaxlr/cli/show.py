"""What the command line prints: lines and tables."""

import sys
from collections.abc import Sequence
from textwrap import TextWrapper
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_METRICS = {"loss": "loss", "accuracy": "accuracy", "roc_auc": "ROC AUC", "brier": "Brier score"}


def console(*, stderr: bool = False) -> Console:
    """Console that prints text as it is: no markup, no pictures for :zero:, no coloured numbers."""
    file = sys.stderr if stderr else sys.stdout
    return Console(file=file, markup=False, emoji=False, highlight=False)


def print_line(text: str, *, stderr: bool = False) -> None:
    """Print text: one line in a file or a pipe, folded at spaces on a terminal."""
    out = console(stderr=stderr)
    if out.is_terminal:  # rich would break a long path in two
        fold = TextWrapper(out.width, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(fold.fill(line) for line in text.split("\n"))
    out.print(text, soft_wrap=True)


def print_code(text: str) -> None:
    """Print code, in the lines that it has, to be copied."""
    console().print(text, soft_wrap=True)


def print_error(message: str) -> None:
    """Print one message on the standard error stream."""
    print_line(f"jaxlr: {message}", stderr=True)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)
) -> None:
    """Print a table, columns ``left`` to the left and the others, numbers, to the right.

    What is too wide for the screen folds in the first columns; a number is never cut.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, name in enumerate(header):
        width = max(len(name), *(len(row[i]) for row in rows))
        if i in left and i < 2:
            table.add_column(Text(name), overflow="fold")
        else:
            justify = "left" if i in left else "right"
            table.add_column(Text(name), justify=justify, no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)
    console().print()


def number(value: Any) -> str:
    """Write a number in seven digits."""
    return f"{float(value):.7g}"


def ulp_number(value: float) -> str:
    """Write a number of units in the last place in three digits."""
    return f"{value:.3g}"


def print_metrics(summary: dict[str, Any]) -> None:
    """Print how good a run's model is, on each part of the rows."""
    parts = [part for part in ("train", "test") if summary[part]]
    rows = [
        [name, *(_four_digits(summary[part][key]) for part in parts)]
        for key, name in _METRICS.items()
    ]
    print_table(["", *parts], rows)
    for part in parts:
        if why := summary[part].get("roc_auc_why"):
            print_line(f"no ROC AUC of the {part} rows: {why}\n")


def _four_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
