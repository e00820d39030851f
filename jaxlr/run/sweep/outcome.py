"""What became of the members of a sweep, and which settings are best."""

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxlr.run.config import TrainConfig

Metric = Literal["loss", "accuracy", "roc_auc", "brier"]
METRICS: tuple[Metric, ...] = ("loss", "accuracy", "roc_auc", "brier")
_LARGER_IS_BETTER = ("accuracy", "roc_auc")
FINISHED = ("steps_done", "stopped_early")


class Outcome(NamedTuple):
    """What became of one member.

    ``status`` is "steps_done", "stopped_early", "interrupted", "diverged" or "failed", and ``why``
    the same in words. ``validation`` has the metrics on the validation rows, of the parameters
    after ``params_step`` of ``steps`` steps, and is None where there are none to trust. ``group``
    counts the programs, and ``seconds`` is what that of this member took.
    """

    member: int
    config: TrainConfig
    status: str
    why: str
    steps: int
    params_step: int
    validation: dict[str, float | None] | None
    group: int
    seconds: float = 0.0

    def finished(self) -> bool:
        """Whether the member trained as long as it should."""
        return self.status in FINISHED

    def line(self) -> dict[str, Any]:
        """Return it as one object of JSON."""
        fields = self._asdict()
        config = dataclasses.asdict(self.config)
        del config["overwrite"], config["out"]
        return {**fields, "config": config}


class Ranked(NamedTuple):
    """Settings: their members, of one seed each, and their mean metric if all have finished."""

    members: list[Outcome]
    mean: float | None


class Sweep(NamedTuple):
    """A finished sweep: its folder, its settings, the best first, and whether it was cut short."""

    folder: Path
    ranked: list[Ranked]
    interrupted: bool

    @property
    def best(self) -> TrainConfig | None:
        """The best settings, with the first seed; None where no settings have finished."""
        first = self.ranked[0] if self.ranked else None
        return first.members[0].config if first and first.mean is not None else None


def rank(outcomes: list[Outcome], metric: Metric, seeds: int) -> list[Ranked]:
    """Sort settings by the mean of ``metric`` over their seeds; last those with a failed member."""
    settings: dict[TrainConfig, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.member):
        settings.setdefault(dataclasses.replace(outcome.config, seed=0), []).append(outcome)
    found = [Ranked(members, _mean(members, metric, seeds)) for members in settings.values()]
    return sorted(found, key=lambda ranked: _key(ranked, metric))


def _mean(members: list[Outcome], metric: Metric, seeds: int) -> float | None:
    values = [(m.validation or {}).get(metric) if m.finished() else None for m in members]
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(numbers) / seeds if len(numbers) == seeds else None


def _key(ranked: Ranked, metric: Metric) -> tuple[bool, float]:
    if ranked.mean is None:
        return True, 0.0
    return False, -ranked.mean if metric in _LARGER_IS_BETTER else ranked.mean
