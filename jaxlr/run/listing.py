"""The runs in a folder, to be compared."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from jaxlr.run import folder
from jaxlr.run.config import RunConfig
from jaxlr.run.folder import CONFIG, METRICS, SUMMARY, RunFolderError, read_json

_TAIL_BYTES = 4096
_LONGEST = 20  # characters of a status, which anyone may have written
PARTS = ("validation", "test", "train")
SORTS = ("loss", *PARTS, "accuracy", "name")


class Listed(NamedTuple):
    """One run: its folder, how it stands, what it was told, and how good its model is.

    ``losses``, in nats, and ``accuracies`` are of each part of the rows that there is: "train",
    "validation" and "test". ``steps`` are those taken, as far as the metrics on disk tell.
    """

    name: str
    status: str
    command: str
    settings: dict[str, Any]
    steps: int | None
    losses: dict[str, float]
    accuracies: dict[str, float]

    def part(self, sort: str = "loss") -> str | None:
        """Name the rows by which runs are compared: validation, or else test, or else train."""
        parts = (sort,) if sort in PARTS else PARTS
        return next((part for part in parts if part in self.losses), None)


def list_runs(parent: str | Path, *, sort: str = "loss") -> list[Listed]:
    """Return the runs in a folder, the best first; those without a model are the last.

    Parameters
    ----------
    parent : str or Path
    sort : {"loss", "validation", "test", "train", "accuracy", "name"}
        A loss, smallest first (``"loss"``: of each run the one on the validation rows, or else
        the test rows, or else, after all others, the training rows), the accuracy on these rows,
        largest first, or the name.

    Raises
    ------
    RunFolderError
        If there is no such folder.
    """
    parent = Path(parent)
    if not parent.is_dir():
        raise RunFolderError(f"{parent}: no such folder")
    if sort not in SORTS:
        raise ValueError(f"sort is {sort!r}: it must be {' or '.join(map(repr, SORTS))}")
    try:
        found = [_listed(run) for run in sorted(parent.iterdir()) if (run / CONFIG).is_file()]
    except OSError as error:
        raise RunFolderError(f"{parent}: {error.strerror}") from error
    return sorted(found, key=lambda run: _key(run, sort))


def _key(run: Listed, sort: str) -> tuple[int, float, str]:
    part = run.part(sort)
    value = (run.accuracies if sort == "accuracy" else run.losses).get(part or "")
    if sort == "name" or value is None:
        return 2, 0.0, run.name
    return int(part == "train"), -value if sort == "accuracy" else value, run.name


def _listed(run: Path) -> Listed:
    try:
        config = RunConfig.load(run)
        if folder.is_finished(run):
            summary = read_json(run / SUMMARY)
            status, steps = _status(run, summary), _whole(summary.get("steps"))
        else:
            summary, status, steps = {}, _standing(run), _steps_in(run / METRICS)
    except OSError as error:
        return Listed(run.name, f"damaged: {error}", "", {}, None, {}, {})
    losses, accuracies = (_scores(summary, name) for name in ("loss", "accuracy"))
    settings = {name: getattr(config, name, None) for name in ("alpha", "l2", "optimizer")}
    return Listed(run.name, status, config.command, settings, steps, losses, accuracies)


def _status(run: Path, summary: dict[str, Any]) -> str:
    status = summary.get("status")
    if not isinstance(status, str):
        raise RunFolderError(f"{run / SUMMARY} is damaged: it has no status")
    return status[:_LONGEST]


def _standing(run: Path) -> str:
    who = folder.holder(run)
    return f"running: {who}" if who else "unfinished"


def _scores(summary: dict[str, Any], name: str) -> dict[str, float]:
    found = {part: summary[part] for part in PARTS if isinstance(summary.get(part), dict)}
    return {
        part: scores[name]
        for part, scores in found.items()
        if isinstance(scores.get(name), float) and math.isfinite(scores[name])
    }


def _steps_in(metrics: Path) -> int:
    """Count the steps whose metrics are on disk: the last whole line says how many."""
    with metrics.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().split(b"\n")
    if len(lines) < 2:
        return 0
    try:
        last = json.loads(lines[-2])
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{metrics} is damaged: {error}") from error
    return (_whole(last.get("step")) or 0) + ("loss" in last) if isinstance(last, dict) else 0


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
