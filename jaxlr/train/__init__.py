"""The explicit update loop, and the optimiser seam."""

from jaxlr.train.loop import train
from jaxlr.train.optimizer import Optimizer, from_optax, plain
from jaxlr.train.record import DivergedError, History, Progress, Result, Status

__all__ = [
    "DivergedError",
    "History",
    "Optimizer",
    "Progress",
    "Result",
    "Status",
    "from_optax",
    "plain",
    "train",
]
