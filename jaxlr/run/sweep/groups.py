"""Which members of a sweep can share a read of the data, and their optimiser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import optax

from jaxlr.run.config import TrainConfig
from jaxlr.run.optimizer import Schedule, make_optimizer
from jaxlr.train import Optimizer, plain

# Of parameters, and of what an optimiser and the choice of the best keep beside them, in a program.
_BYTES = 1 << 30
_COPIES = 12
_TRACEABLE = ("constant", "cosine", "linear")


class Group(NamedTuple):
    """Members of one program: those that differ in learning rate and penalty alone."""

    numbers: list[int]
    members: list[TrainConfig]


def groups_of(members: Sequence[TrainConfig], d: int) -> list[Group]:
    """Part the members into groups that share a program; those of one seed follow each other.

    The parameters of a program, of ``d`` features, must fit in memory.
    """
    most = max(1, _BYTES // (8 * _COPIES * (d + 1)))
    alike: dict[Any, list[int]] = {}
    for i, member in enumerate(members):
        key = (member.seed, member.optimizer, member.batch_size, _share(member))
        alike.setdefault(key, []).append(i)
    seeds = list(dict.fromkeys(member.seed for member in members))
    found = sorted(alike.values(), key=lambda numbers: seeds.index(members[numbers[0]].seed))
    pieces = [v[i : i + most] for v in found for i in range(0, len(v), most)]
    return [Group(numbers, [members[i] for i in numbers]) for numbers in pieces]


def optimizer_of(member: TrainConfig) -> Any:
    """Return the optimiser that a config names, as a function of the learning rate."""
    if member.optimizer == "plain" and member.schedule == "constant":
        return plain
    steps = member.steps if member.schedule_steps is None else member.schedule_steps
    return _AtRate(member.optimizer, member.schedule, _share(member), steps, member.warmup_steps)


def _share(member: TrainConfig) -> float:
    """Part of the learning rate that is left at the end of its schedule."""
    return 0.01 if member.final_alpha is None else member.final_alpha / member.alpha


@dataclass(frozen=True)
class _AtRate:
    """Equal for equal settings, so that groups with the same compile once."""

    optimizer: str
    schedule: str
    share: float
    steps: int
    warmup_steps: int

    def __call__(self, alpha: Any) -> Optimizer:
        kind = Schedule if self.schedule in _TRACEABLE else _Scaled
        schedule = kind(
            self.schedule, alpha, self.share * alpha, self.steps, self.warmup_steps, is_bare=True
        )
        if kind is _Scaled:
            schedule = schedule._replace(final_alpha=self.share)
        return make_optimizer(self.optimizer, schedule)


class _Scaled(Schedule):
    """``alpha`` times the schedule of learning rate 1, whose end is ``final_alpha``.

    Some of optax's schedules compare their learning rate with 0, which a traced one refuses.
    """

    def rate(self) -> optax.ScalarOrSchedule:
        """Return what optax takes as learning rate."""
        of_1: Any = Schedule(*self)._replace(alpha=1.0).rate()
        return lambda step: self.alpha * of_1(step)
