"""Optimisers and learning-rate schedules by their names; the formulas are optax's."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import optax

from jaxlr.train import Optimizer, check_count, from_optax, plain

_TRANSFORMATIONS: dict[str, Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]] = {
    "plain": optax.sgd,
    "momentum": partial(optax.sgd, momentum=0.9),
    "nesterov": partial(optax.sgd, momentum=0.9, nesterov=True),
    "adam": optax.adam,
    "rmsprop": optax.rmsprop,
    "adagrad": optax.adagrad,
    "lion": partial(optax.lion, weight_decay=0.0),  # a penalty is said once, as l2
}


class Schedule(NamedTuple):
    """Learning rate ``alpha``, and how it changes over ``steps`` to ``final_alpha``.

    ``is_bare`` says that nobody named an end.
    """

    name: str
    alpha: float
    final_alpha: float
    steps: int
    warmup_steps: int
    is_bare: bool

    def check(self) -> None:
        """Raise ValueError if the settings do not go together, by the names a config has."""
        check_count("schedule_steps", self.steps)
        check_count("warmup_steps", self.warmup_steps, least=0)
        if self.name == "constant" and not self.is_bare:
            raise ValueError("schedule_steps and final_alpha need a schedule that is not constant")
        if (self.warmup_steps > 0) != (self.name == "warmup_cosine"):
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}, and the schedule {self.name}: a warm-up "
                "goes with warmup_cosine, which needs one"
            )
        if self.name == "warmup_cosine" and self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}: it must be below the {self.steps} steps of "
                "the schedule"
            )
        if not 0 <= self.final_alpha <= self.alpha:
            raise ValueError(f"final_alpha is {self.final_alpha}: it must be from 0 to alpha")
        if self.name == "exponential" and self.final_alpha == 0:
            raise ValueError("final_alpha is 0, and an exponential schedule never arrives there")

    def rate(self) -> optax.ScalarOrSchedule:
        """Return what optax takes as learning rate."""
        share = self.final_alpha / self.alpha
        if self.name == "cosine":
            return optax.cosine_decay_schedule(self.alpha, self.steps, alpha=share)
        if self.name == "linear":
            return optax.linear_schedule(self.alpha, self.final_alpha, self.steps)
        if self.name == "exponential":
            return optax.exponential_decay(
                self.alpha, self.steps, share, end_value=self.final_alpha
            )
        if self.name == "warmup_cosine":
            return optax.warmup_cosine_decay_schedule(
                0.0, self.alpha, self.warmup_steps, self.steps, end_value=self.final_alpha
            )
        return self.alpha


def make_optimizer(name: str, schedule: Schedule) -> Optimizer:
    """Return the optimiser of that name, with the learning rate as the schedule has it."""
    if name == "plain" and schedule.name == "constant":
        return plain(schedule.alpha)
    return from_optax(_TRANSFORMATIONS[name](schedule.rate()))
