"""m examples: `core` mapped over the rows, block by block, so that X is read once."""

from jaxlr.batch.checks import check_penalty, check_rows
from jaxlr.batch.objective import (
    compiled_mean_loss,
    loss,
    loss_and_grads,
    mean_loss,
    objective,
    probabilities,
)

__all__ = [
    "check_penalty",
    "check_rows",
    "compiled_mean_loss",
    "loss",
    "loss_and_grads",
    "mean_loss",
    "objective",
    "probabilities",
]
