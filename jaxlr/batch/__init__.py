"""m examples: `core` mapped over the rows, block by block, so that X is read once."""

from jaxlr.batch.checks import check_penalty, check_rows
from jaxlr.batch.curvature import hessian, hessian_product
from jaxlr.batch.models import Models, Rows, curvature_sums, gradient_sums, matrix
from jaxlr.batch.objective import (
    compiled_mean_loss,
    loss,
    loss_and_grads,
    mean_loss,
    objective,
    probabilities,
)

__all__ = [
    "Models",
    "Rows",
    "check_penalty",
    "check_rows",
    "compiled_mean_loss",
    "curvature_sums",
    "gradient_sums",
    "hessian",
    "hessian_product",
    "loss",
    "loss_and_grads",
    "matrix",
    "mean_loss",
    "objective",
    "probabilities",
]
