"""``jaxlr runs``: the runs in a folder, best first."""

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from jaxlr.cli.show import print_code, print_line, print_table
from jaxlr.run import Listed, list_runs


@dataclass(frozen=True)
class Runs:
    """List the runs in a folder, the best first, and those that have not ended last."""

    folder: Annotated[Positional[str], arg(metavar="FOLDER")] = "runs"
    """The folder that holds the run folders."""
    sort: Literal["loss", "validation", "test", "train", "accuracy", "name"] = "loss"
    """By which number; loss: that on validation rows, or else on test rows, or else on training
    rows."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print the table."""
        found = list_runs(self.folder, sort=self.sort)
        if self.json:
            print_code(json.dumps([_as_dict(run) for run in found], indent=2))
            return 0
        if not found:
            print_line(f"{self.folder} holds no runs")
            return 0
        header = ("run", "status", "optimizer", "alpha", "l2", "steps", *_LOSSES, "accuracy")
        print_table(header, [_row(run) for run in found], left=(0, 1))
        return 0


_LOSSES = ("validation", "test", "train")


def _as_dict(run: Listed) -> dict[str, object]:
    return run._asdict()


def _row(run: Listed) -> tuple[str, ...]:
    settings = run.settings
    return (
        run.name,
        run.status,
        settings.get("optimizer") or run.command or "-",
        _number(settings.get("alpha")),
        _number(settings.get("l2")),
        "-" if run.steps is None else str(run.steps),
        *(_number(run.losses.get(part), ".4f") for part in _LOSSES),
        _number(run.accuracy, ".4f"),
    )


def _number(value: object, form: str = "g") -> str:
    return format(value, form) if isinstance(value, int | float) else "-"
