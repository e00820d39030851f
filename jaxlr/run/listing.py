"""The runs in a folder, to be compared."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from jaxlr.run import folder
from jaxlr.run.config import RunConfig
from jaxlr.run.folder import CONFIG, METRICS, SUMMARY, RunFolderError
from jaxlr.run.resuming import read_json

_TAIL_BYTES = 4096
SORTS = ("loss", "validation", "test", "train", "accuracy", "name")


class Listed(NamedTuple):
    """One run: its folder, how it stands, what it was told, and how good its model is.

    ``losses`` has a loss in nats for each part of the rows that there is, ``accuracy`` is that on
    the test rows, or without them on the training rows. ``steps`` are those taken, as far as the
    metrics on disk tell.
    """

    name: str
    status: str
    command: str
    settings: dict[str, Any]
    steps: int | None
    losses: dict[str, float]
    accuracy: float | None

    def loss(self) -> float | None:
        """Loss by which runs are compared: of the validation, test or training rows."""
        return next(
            (self.losses[part] for part in ("validation", "test", "train") if part in self.losses),
            None,
        )


def list_runs(parent: str | Path, *, sort: str = "loss") -> list[Listed]:
    """Return the runs in a folder, the best first; those without a model are the last.

    Parameters
    ----------
    parent : str or Path
    sort : {"loss", "validation", "test", "train", "accuracy", "name"}
        A loss, smallest first (``"loss"``: of each run the one on the validation rows, or else
        the test rows, or else the training rows), the accuracy, largest first, or the name.

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


def _key(run: Listed, sort: str) -> tuple[bool, float, str]:
    if sort == "name":
        return False, 0.0, run.name
    value = {"loss": run.loss(), "accuracy": run.accuracy}.get(sort, run.losses.get(sort))
    if value is None:
        return True, 0.0, run.name
    return False, -value if sort == "accuracy" else value, run.name


def _listed(run: Path) -> Listed:
    try:
        config = RunConfig.load(run)
        summary = read_json(run / SUMMARY) if folder.is_finished(run) else {}
        losses, accuracy = _scores(summary)
        steps = _whole(summary.get("steps")) if summary else _steps_in(run / METRICS)
    except (RunFolderError, ValueError) as error:
        return Listed(run.name, f"damaged: {error}", "", {}, None, {}, None)
    settings = {name: getattr(config, name, None) for name in ("alpha", "l2", "optimizer")}
    status = str(summary.get("status")) if summary else _standing(run)
    return Listed(run.name, status, config.command, settings, steps, losses, accuracy)


def _standing(run: Path) -> str:
    who = folder.holder(run)
    return f"running: {who}" if who else "unfinished"


def _scores(summary: dict[str, Any]) -> tuple[dict[str, float], float | None]:
    losses, accuracy = {}, None
    for part in ("train", "validation", "test"):
        scores = summary.get(part)
        if isinstance(scores, dict):
            if isinstance(scores.get("loss"), float):
                losses[part] = scores["loss"]
            if part != "validation" and isinstance(scores.get("accuracy"), float):
                accuracy = scores["accuracy"]
    return losses, accuracy


def _steps_in(metrics: Path) -> int:
    """Count the steps whose metrics are on disk: the last whole line says how many."""
    with metrics.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().split(b"\n")
    if len(lines) < 2:
        return 0
    last = json.loads(lines[-2])
    return (_whole(last.get("step")) or 0) + ("loss" in last) if isinstance(last, dict) else 0


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
