"""Logistic regression whose derivatives are worked out by hand and proven by machine."""

from jaxlr.batch import loss, loss_and_grads, probabilities
from jaxlr.check import check_gradient
from jaxlr.core import (
    Params,
    backward,
    curvature,
    forward,
    probability,
    trace,
    update,
    zeros,
)
from jaxlr.shard import split_rows
from jaxlr.train import DivergedError, Optimizer, Result, Status, from_optax, plain, train

__version__ = "0.1.0"
__all__ = [
    "DivergedError",
    "Optimizer",
    "Params",
    "Result",
    "Status",
    "backward",
    "check_gradient",
    "curvature",
    "forward",
    "from_optax",
    "loss",
    "loss_and_grads",
    "plain",
    "probabilities",
    "probability",
    "split_rows",
    "trace",
    "train",
    "update",
    "zeros",
]
