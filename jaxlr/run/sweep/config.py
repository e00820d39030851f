"""Settings of a sweep, and the trainings that they stand for."""

import dataclasses
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from jaxlr.run.config import RunConfig, TrainConfig
from jaxlr.run.sweep.outcome import Metric
from jaxlr.train import check_count

_MOST = 5000
_FRUITLESS = 10_000  # draws in a row that find nothing new, after which there is nothing
_LISTS = ("optimizer", "alpha", "l2", "batch_size", "seed")
_RANGE = ".."

OptimizerName = Literal["plain", "momentum", "nesterov", "adam", "rmsprop", "adagrad", "lion"]
Schedule = Literal["constant", "cosine", "exponential", "linear", "warmup_cosine"]


@dataclass(frozen=True)
class SweepConfig(RunConfig):
    """Train a grid of settings, or a random sample of them, and compare them on validation rows.

    A member is what `jaxlr train` makes of its settings. Its ``seed`` decides, as there, the split
    of the rows and the order of mini-batches, so that losses of other seeds are of other rows:
    settings are compared by their mean over all seeds.

    Examples
    --------
    >>> config = SweepConfig(alpha=(0.1, 1.0), l2=(0.0, 0.01), seed=(0, 1))
    >>> len(config.members()), config.members()[0].alpha
    (8, 0.1)
    >>> drawn = SweepConfig(alpha=("0.001..1",), random=20).members()
    >>> len(drawn), all(0.001 <= member.alpha <= 1 for member in drawn)
    (20, True)
    """

    command: ClassVar[str] = "sweep"

    out: str | None = None
    """Folder to write. Without it: sweeps/DATA-DATE-TIME."""
    overwrite: bool = False
    """Replace the folder if a sweep wrote it."""
    optimizer: tuple[OptimizerName, ...] = ("plain",)
    """The lesson's own step, or some of optax's."""
    alpha: tuple[float | str, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    """Learning rates; with --random also ranges LOW..HIGH, in which one is drawn log-uniformly."""
    l2: tuple[float | str, ...] = (0.0,)
    """Penalties, and with --random ranges."""
    batch_size: tuple[int | Literal["all"], ...] = ("all",)
    """Rows in a mini-batch, or all."""
    seed: tuple[int, ...] = (0,)  # pyright: ignore[reportIncompatibleVariableOverride]
    """Each for a split and an order of the rows; settings are compared by the mean over them."""
    random: int | None = None
    """Draw so many settings, each with all seeds. Without it: all there are."""
    metric: Metric = "loss"
    """By what settings are compared, on the validation rows."""

    schedule: Schedule = "constant"
    """How the learning rates change from step to step, by optax."""
    schedule_steps: int | None = None
    """Steps after which the schedule has arrived at final_alpha and stays there: all without it."""
    final_alpha: float | None = None
    """Learning rate at the end of a schedule. Without it: a hundredth of alpha."""
    warmup_steps: int = 0
    """Steps in which warmup_cosine rises from 0 to alpha."""
    steps: int = 1000
    """Number of updates."""
    test_fraction: float = 0.2
    """Share of the rows kept for the test of the best; no sweep looks at them."""
    validation_fraction: float = 0.2
    """Share of the rows held out to choose by."""
    patience: int | None = None
    """Stop a member when that many validations in a row were no better."""
    validate_every: int = 10
    """Steps between two validations."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the computation."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        for name in _LISTS:
            _check_list(name, getattr(self, name))
        if self.metric not in get_args(Metric):
            known = " or ".join(map(repr, get_args(Metric)))
            raise ValueError(f"metric is {self.metric!r}: it must be {known}")
        self._check_count()
        for name in _LISTS:
            for value in getattr(self, name):
                for end in _ends(name, value):
                    self._member(**{name: end, "out": self.out, "overwrite": self.overwrite})
        if self.validation_fraction == 0:
            raise ValueError("validation_fraction is 0, and there must be rows to choose by")
        if self.random is not None:
            self._drawn()

    def folder(self, now: str) -> Path:
        """Return the folder: the one given, or one named for the data and the time."""
        return Path(self.out) if self.out else Path("sweeps") / f"{Path(self.data).stem}-{now}"

    def members(self) -> list[TrainConfig]:
        """Return the settings of all trainings; those that differ by the seed alone in a row."""
        settings = self._grid() if self.random is None else self._drawn()
        return [self._member(seed=seed, **one) for one in settings for seed in self.seed]

    def _grid(self) -> list[dict[str, Any]]:
        names = ("optimizer", "batch_size", "l2", "alpha")
        grid = itertools.product(*(getattr(self, name) for name in names))
        return [_settings(dict(zip(names, values, strict=True))) for values in grid]

    def _drawn(self) -> list[dict[str, Any]]:
        rng = np.random.default_rng(self.seed[0])
        if not self._has_range():
            grid = self._grid()
            return [grid[i] for i in rng.choice(len(grid), self.random, replace=False)]

        def draw(name: str) -> Any:
            values = getattr(self, name)
            value = values[rng.integers(len(values))]
            if not _is_range(value):
                return value
            low, high = np.log(_ends(name, value))
            return float(np.exp(rng.uniform(low, high)))

        names, found, fruitless = ("optimizer", "batch_size", "l2", "alpha"), {}, 0
        while len(found) < (self.random or 0):
            one = _settings({name: draw(name) for name in names})
            fruitless = fruitless + 1 if tuple(one.values()) in found else 0
            found[tuple(one.values())] = one
            if fruitless == _FRUITLESS:
                raise ValueError(
                    f"random is {self.random}, and {len(found)} different settings are all that "
                    "were found: ask for fewer, or widen a range"
                )
        return [*found.values()]

    def _member(self, **settings: Any) -> TrainConfig:
        shared = {field.name for field in dataclasses.fields(TrainConfig)}
        shared &= {field.name for field in dataclasses.fields(self)} - {*_LISTS, "out", "overwrite"}
        fields = {name: getattr(self, name) for name in shared}
        first = {"seed": self.seed[0], "alpha": _ends("alpha", self.alpha[0])[0]}
        return TrainConfig(**{**fields, **first, **settings})

    def _check_count(self) -> None:
        grid = math.prod(len(getattr(self, name)) for name in _LISTS if name != "seed")
        count = grid
        if self.random is not None:
            check_count("random", self.random)
            count = self.random
            if not self._has_range() and self.random > grid:
                raise ValueError(f"random is {self.random}, and there are only {grid} settings")
        elif self._has_range():
            raise ValueError("a range LOW..HIGH needs random, the number of settings to draw")
        count *= len(self.seed)
        if count > _MOST:
            raise ValueError(
                f"{count} members are more than the {_MOST} that a sweep may have: name fewer "
                "values, or draw some settings (random)"
            )

    def _has_range(self) -> bool:
        return any(_is_range(value) for value in (*self.alpha, *self.l2))


def _check_list(name: str, values: Any) -> None:
    if not isinstance(values, tuple) or not values:
        raise ValueError(f"{name} is {values!r}: it must be a list of one value or more")
    for value in values:
        if not isinstance(value, str | int | float):
            raise ValueError(f"{name} has {value!r}: it must be a list of single values")
    if len({_ends(name, value) for value in values}) < len(values):
        raise ValueError(f"{name} has a value twice: {', '.join(map(str, values))}")


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    return {
        **values,
        "alpha": _number("alpha", values["alpha"]),
        "l2": _number("l2", values["l2"]),
        "batch_size": _size(values["batch_size"]),
    }


def _number(name: str, value: Any) -> float:
    """Read a number, which may come as text where others of the list are ranges."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name} has {value!r}: it must be a number, or LOW..HIGH") from None


def _size(value: Any) -> Any:
    return None if value == "all" else value


def _is_range(value: Any) -> bool:
    return isinstance(value, str) and _RANGE in value


def _ends(name: str, value: Any) -> tuple[Any, ...]:
    """Return the ends of a range, or the one value that is none, as `TrainConfig` has it."""
    if name not in ("alpha", "l2"):
        return (_size(value),)
    if not _is_range(value):
        return (_number(name, value),)
    low, high = (_number(name, end) for end in value.split(_RANGE, 1))
    if not 0 < low < high < math.inf:
        raise ValueError(
            f"{name} has {value!r}: a range goes from a number above 0 to a larger one"
        )
    return low, high
