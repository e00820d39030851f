"""m examples: `core` mapped over the rows, block by block, so that X is read once."""

from jaxlr.batch.checks import check_data, check_features, check_penalty, check_rows
from jaxlr.batch.curvature import hessian, hessian_product
from jaxlr.batch.models import (
    Curvature,
    GradientSums,
    Models,
    Moment,
    Rows,
    View,
    gradient_and_curvature,
    gradient_sums,
    gradient_sums_apart,
    mean_curvature,
    mean_curvature_apart,
    moment_sums,
    scores,
    side_sums,
    side_sums_apart,
)
from jaxlr.batch.objective import (
    compiled_mean_loss,
    loss,
    loss_and_grads,
    mean_loss,
    objective,
    probabilities,
)

__all__ = [
    "Curvature",
    "GradientSums",
    "Models",
    "Moment",
    "Rows",
    "View",
    "check_data",
    "check_features",
    "check_penalty",
    "check_rows",
    "compiled_mean_loss",
    "gradient_and_curvature",
    "gradient_sums",
    "gradient_sums_apart",
    "hessian",
    "hessian_product",
    "loss",
    "loss_and_grads",
    "mean_curvature",
    "mean_curvature_apart",
    "mean_loss",
    "moment_sums",
    "objective",
    "probabilities",
    "scores",
    "side_sums",
    "side_sums_apart",
]
