"""The explicit update loop, and the optimiser seam."""

from jaxlr.train.loop import train
from jaxlr.train.optimizer import Optimizer, check_alpha, from_optax, plain
from jaxlr.train.record import DivergedError, History, Progress, Result, Status, check_count

__all__ = [
    "DivergedError",
    "History",
    "Optimizer",
    "Progress",
    "Result",
    "Status",
    "check_alpha",
    "check_count",
    "from_optax",
    "plain",
    "train",
]
