"""``jaxlr runs``: the runs in a folder, best first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from jaxlr.cli.show import print_code, print_line, print_table
from jaxlr.run import Listed, list_runs
from jaxlr.run.folder import holder
from jaxlr.run.sweep import cut_short

_PARTS = {"validation": "valid.", "test": "test", "train": "train", None: "-"}


@dataclass(frozen=True)
class Runs:
    """List the runs in a folder, the best first, and those that have not ended last.

    Loss and accuracy stand in the table with the rows that they are of.
    """

    folder: Annotated[Positional[str], arg(metavar="FOLDER")] = "runs"
    """The folder that holds the run folders."""
    sort: Literal["loss", "validation", "test", "train", "accuracy", "name"] = "loss"
    """By which number; loss: that on validation rows, or else on test rows, or else, after all
    others, on training rows; accuracy: on the same rows."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print the table."""
        found = list_runs(self.folder, sort=self.sort)
        if self.json:
            print_code(json.dumps([run._asdict() for run in found], indent=2))
            return 0
        if found:
            header = "run", "status", "optimizer", "alpha", "l2", "steps", "loss", "accuracy", "of"
            print_table(header, [_row(run, self.sort) for run in found], left=(0, 1, 8))
        else:
            print_line(f"{self.folder} holds no runs")
        _print_more(found)
        _print_sweeps(Path(self.folder))
        return 0


def _row(run: Listed, sort: str) -> Sequence[str]:
    settings, part = run.settings, run.part(sort)
    return (
        run.name,
        run.status.partition(":")[0],
        settings.get("optimizer") or run.command or "-",
        _number(settings.get("alpha"), ".4g"),
        _number(settings.get("l2"), ".4g"),
        "-" if run.steps is None else str(run.steps),
        _number(run.losses.get(part or ""), ".4f"),
        _number(run.accuracies.get(part or ""), ".4f"),
        _PARTS[part],
    )


def _print_more(found: Sequence[Listed]) -> None:
    """Print what of a status has no room in a table."""
    for run in found:
        if ":" in run.status:
            print_line(f"{run.name} is {run.status}")


def _print_sweeps(parent: Path) -> None:
    for path in cut_short(parent):
        who = holder(path)
        then = f"running: {who}" if who else f"to go on: jaxlr resume {quote(str(path))}"
        print_line(f"{path.name} is a sweep that has not ended; {then}")


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else "-"
