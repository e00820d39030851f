"""The heart: logistic regression on ONE example, forward and back, by hand.

`example` is the whole graph, from w and b to L and back; `binary` and `softmax` are its middle,
from z to L, for two classes and for K. Nothing here is a transform: one example has no batch,
no compilation and no device. `batch` maps it over rows, and `check` proves it against autodiff.
"""

from jaxlr.core.conjugate import conjugate
from jaxlr.core.example import (
    backward,
    curvature,
    curvature_diagonal,
    curvature_product,
    forward,
    loss_at,
    probability,
    slope,
    trace,
)
from jaxlr.core.params import Cache, Params, Trace, linear, update, zeros

__all__ = [
    "Cache",
    "Params",
    "Trace",
    "backward",
    "conjugate",
    "curvature",
    "curvature_diagonal",
    "curvature_product",
    "forward",
    "linear",
    "loss_at",
    "probability",
    "slope",
    "trace",
    "update",
    "zeros",
]
