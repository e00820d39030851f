"""``jaxlr sweep``: many trainings that differ in their settings, and the best of them."""

from dataclasses import dataclass
from shlex import quote
from typing import Annotated, cast

from tyro.conf import Positional, arg

from jaxlr.cli.progress import TrainingProgress
from jaxlr.cli.show import print_error, print_line, print_table
from jaxlr.data import BUILT_IN
from jaxlr.run.sweep import BEST, TABLE, Outcome, Sweep, SweepConfig, run_sweep
from jaxlr.run.sweep.groups import groups_of
from jaxlr.train import Progress

_SHOWN = 40
_SETTINGS = ("optimizer", "batch_size", "seed", "alpha", "l2")


@dataclass(frozen=True)
class SweepCommand(SweepConfig):
    """Train a grid of settings, or a random sample, and choose the best on validation rows.

    Members that can share a read of the data are one program. CONFIG.toml in the place of DATA is
    a file of settings, such as a sweep's folder has; options given too come before it.
    """

    data: Annotated[Positional[str], arg(metavar="DATA|CONFIG.toml")] = BUILT_IN
    """A CSV file with a header, or the name of the built-in data set."""

    def run(self) -> int:
        """Sweep; 1 if all members failed, 130 or 143 if it was interrupted."""
        programs = len(groups_of(self.members(), d=1))
        with TrainingProgress(self.steps * programs) as progress:
            sweep = run_sweep(
                self, tell=progress.tell, callback=lambda seen: progress(cast("Progress", seen))
            )
        _print_table(sweep, self)
        _print_reasons(sweep)
        return _end(sweep, progress)


def _print_table(sweep: Sweep, config: SweepConfig) -> None:
    """Print the members, best first: in what they differ, and how they did."""
    columns = [name for name in _SETTINGS if name == "alpha" or len(getattr(config, name)) > 1]
    metrics = list(dict.fromkeys(("loss", "accuracy", config.metric)))
    mean = ["mean"] if len(config.seed) > 1 else []
    rows = [
        [
            *(_setting(getattr(outcome.config, name)) for name in columns),
            *(_number((outcome.validation or {}).get(name)) for name in metrics),
            *(_number(ranked.mean) for _ in mean),
            _result(outcome),
        ]
        for ranked in sweep.ranked
        for outcome in ranked.members
    ]
    header = [*columns, *metrics, *mean, "result"]
    left = [len(header) - 1, *([0] if columns[0] == "optimizer" else [])]
    print_line("")
    print_table(header, rows[:_SHOWN], left=left)
    if len(rows) > _SHOWN:
        print_line(f"and {len(rows) - _SHOWN} more, in {sweep.folder / TABLE}\n")


def _setting(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "all" if value is None else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _result(outcome: Outcome) -> str:
    if outcome.finished():
        return f"best at step {outcome.params_step} of {outcome.steps}"
    at = "" if outcome.status == "failed" else f" at step {outcome.steps}"
    return f"{outcome.status}{at}"


def _print_reasons(sweep: Sweep) -> None:
    """Print why members failed, in full words, once for each kind of failure."""
    members = [outcome for ranked in sweep.ranked for outcome in ranked.members]
    for status in ("diverged", "failed"):
        whys = [outcome.why for outcome in members if outcome.status == status]
        if whys:
            print_line(f"{len(whys)} of {len(members)} {status}, the first of them: {whys[0]}\n")


def _end(sweep: Sweep, progress: TrainingProgress) -> int:
    print_line(f"metrics are of the validation rows; written to {sweep.folder}")
    if sweep.best is not None:
        print_line(f"to train the best: jaxlr train {quote(str(sweep.folder / BEST))}")
    if sweep.interrupted:
        return progress.exit_code
    if sweep.best is None:
        print_error("no settings came through; the reasons are above")
        return 1
    return 0
