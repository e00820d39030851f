"""K models over shared rows, or each over rows of its own: sums of gradients and curvature."""

from jaxlr.batch.models.curvature import (
    Curvature,
    curvature_sums,
    curvature_sums_apart,
    gradient_and_curvature,
)
from jaxlr.batch.models.gradients import (
    GradientSums,
    gradient_sums,
    gradient_sums_apart,
    moment_sums,
    scores,
    side_sums,
    side_sums_apart,
)
from jaxlr.batch.models.rows import Models, Moment, Rows, View, rows_seen

__all__ = [
    "Curvature",
    "GradientSums",
    "Models",
    "Moment",
    "Rows",
    "View",
    "curvature_sums",
    "curvature_sums_apart",
    "gradient_and_curvature",
    "gradient_sums",
    "gradient_sums_apart",
    "moment_sums",
    "rows_seen",
    "scores",
    "side_sums",
    "side_sums_apart",
]
