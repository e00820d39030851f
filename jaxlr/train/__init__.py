"""The explicit update loop, and the optimiser seam."""

from jaxlr.train.loop import train
from jaxlr.train.many import ManyProgress, Member, objectives, train_many
from jaxlr.train.optimizer import Optimizer, check_alpha, from_optax, plain
from jaxlr.train.record import DivergedError, History, Progress, Result, Status, check_count
from jaxlr.train.state import Best, TrainState, first_state
from jaxlr.train.stream import StepRows, train_stream

__all__ = [
    "Best",
    "DivergedError",
    "History",
    "ManyProgress",
    "Member",
    "Optimizer",
    "Progress",
    "Result",
    "Status",
    "StepRows",
    "TrainState",
    "check_alpha",
    "check_count",
    "first_state",
    "from_optax",
    "objectives",
    "plain",
    "train",
    "train_many",
    "train_stream",
]
