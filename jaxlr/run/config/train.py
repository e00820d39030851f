"""Settings of a training run."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxlr.batch import check_penalty
from jaxlr.run.config.base import RunConfig, check_share
from jaxlr.run.optimizer import Schedule, make_optimizer
from jaxlr.train import Optimizer, check_alpha, check_count


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Train a model on a data set by gradient descent, and write it to a run folder.

    Examples
    --------
    >>> config = TrainConfig(steps=100, alpha=0.5)
    >>> TrainConfig.from_toml(config.to_toml()) == config
    True
    """

    command: ClassVar[str] = "train"

    optimizer: Literal["plain", "momentum", "nesterov", "adam", "rmsprop", "adagrad", "lion"] = (
        "plain"
    )
    """The lesson's own step, or one of optax's. Momentum is 0.9; a penalty is l2, for all."""
    alpha: float = 0.1
    """Learning rate; with a schedule, the highest one."""
    schedule: Literal["constant", "cosine", "exponential", "linear", "warmup_cosine"] = "constant"
    """How the learning rate changes from step to step, by optax."""
    schedule_steps: int | None = None
    """Steps after which the schedule has arrived at final_alpha and stays there: all without it."""
    final_alpha: float | None = None
    """Learning rate at the end of a schedule. Without it: a hundredth of alpha."""
    warmup_steps: int = 0
    """Steps in which warmup_cosine rises from 0 to alpha."""
    steps: int = 1000
    """Number of updates."""
    batch_size: int | None = None
    """Rows in a mini-batch. Without it: all rows in every step."""
    l2: float = 0.0
    """Penalty: l2/2 ||w||^2, on the weights of the standardized features."""
    test_fraction: float = 0.2
    """Share of the rows held out for the test, with labels in the same proportions; of streamed
    rows about so many, each by its number alone (see memory)."""
    validation_fraction: float = 0.0
    """Share of the rows held out to choose the best parameters by, as those for the test are."""
    patience: int | None = None
    """Stop when that many validations in a row were no better. Needs a validation share."""
    validate_every: int = 10
    """Steps between two validations. Where rows are streamed, each reads the file."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints, from which `jaxlr resume` goes on; 0 for none."""
    checkpoint_steps: int | None = None
    """Steps between two checkpoints, besides those by the clock."""
    tensorboard: bool = False
    """Write the metrics as TensorBoard events too."""
    dtype: Literal["float32", "float64", "bfloat16-data"] = "float32"
    """Type of the computation; bfloat16-data: features in bfloat16, half the memory, and all else
    in float32."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        super().__post_init__()
        check_share("validation_fraction", self.validation_fraction)
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction and validation_fraction leave no rows to train on")
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError("patience needs a validation_fraction above 0 to watch")
        for name in ("steps", "batch_size", "patience", "validate_every", "checkpoint_steps"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if not 0 <= self.checkpoint_minutes < float("inf"):
            raise ValueError(
                f"checkpoint_minutes is {self.checkpoint_minutes}: it must be at least 0"
            )
        check_alpha(self.alpha)
        check_penalty(self.l2)
        self._schedule().check()

    def resolved(self) -> "TrainConfig":
        """Say what was left open: a run made longer later keeps the schedule that it began with."""
        config = self.with_memory()  # the order of a streamed run hangs on it
        if self.schedule == "constant":
            return config
        schedule = self._schedule()
        return dataclasses.replace(
            config, schedule_steps=schedule.steps, final_alpha=schedule.final_alpha
        )

    def make_optimizer(self) -> Optimizer:
        """Return the optimiser that the config names."""
        return make_optimizer(self.optimizer, self._schedule())

    def _schedule(self) -> Schedule:
        return Schedule(
            name=self.schedule,
            alpha=self.alpha,
            final_alpha=self.alpha / 100 if self.final_alpha is None else self.final_alpha,
            steps=self.steps if self.schedule_steps is None else self.schedule_steps,
            warmup_steps=self.warmup_steps,
            is_bare=self.schedule_steps is None and self.final_alpha is None,
        )
