"""m examples: `core` mapped over the rows, block by block, so that X is read once."""

from jaxlr.batch.blocks import Part, map_models
from jaxlr.batch.checks import check_data, check_features, check_penalty, check_rows
from jaxlr.batch.curvature import hessian, hessian_product
from jaxlr.batch.models import (
    Curvature,
    GradientSums,
    Models,
    Moment,
    Rows,
    View,
    curvature_sums,
    curvature_sums_apart,
    gradient_and_curvature,
    gradient_sums,
    gradient_sums_apart,
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
    "Part",
    "Rows",
    "View",
    "check_data",
    "check_features",
    "check_penalty",
    "check_rows",
    "compiled_mean_loss",
    "curvature_sums",
    "curvature_sums_apart",
    "gradient_and_curvature",
    "gradient_sums",
    "gradient_sums_apart",
    "hessian",
    "hessian_product",
    "loss",
    "loss_and_grads",
    "map_models",
    "mean_loss",
    "moment_sums",
    "objective",
    "probabilities",
    "scores",
    "side_sums",
    "side_sums_apart",
]
