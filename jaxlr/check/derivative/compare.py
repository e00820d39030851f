"""Compare every leaf of a quantity at one point with the truth."""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from jaxlr.check import ulp
from jaxlr.check.derivative.comparison import Comparison, Place
from jaxlr.check.derivative.excuses import Excuses
from jaxlr.check.derivative.layout import Layout
from jaxlr.check.derivative.norm import norm
from jaxlr.check.derivative.programs import Found, Programs
from jaxlr.check.derivative.quantities import Quantity
from jaxlr.check.derivative.tolerance import Tolerance, flushed


def comparisons(
    programs: Programs, quantity: Quantity, place: Place, hand: Found, tolerance: Tolerance
) -> Iterator[Comparison]:
    """Compare each leaf of a quantity with autodiff of the reference in float64."""
    point, others = place.probe.point, place.others
    truth = programs.truth(quantity, point, others)
    terms = programs.reference.condition(quantity, point, others)
    largest = max(
        (float(np.max(abs(v.astype(float)), initial=1)) for v in point.cotangent), default=1
    )
    excuses = Excuses(programs, quantity, place, tolerance)
    for kind, leaves in hand.items():
        for i, found in enumerate(leaves):
            dtype, true = _coarser(found.dtype, place.dtype), truth[kind][i]
            rounding = tolerance.rounding(dtype, np.maximum(terms[kind][i], abs(true)))
            made = Comparison(
                quantity, kind, i, leaf_name(programs.layout, kind, i, len(leaves)), place,
                found.astype(np.float64), true,
                allowed=rounding + flushed(dtype) * largest + tolerance.atol,
                unit=ulp.unit(true, dtype),
            )  # fmt: skip
            made = excuses.of(made, dtype)
            yield made
            if kind == "gradient" and (whole := norm(excuses, made)) is not None:
                yield whole


def leaf_name(layout: Layout, kind: str, leaf: int, count: int) -> str:
    """Name of a leaf: of the output, or of what is differentiated by."""
    out = "out" if count == 1 else f"out[{leaf}]"
    if kind in ("value", "tangent"):
        return out if kind == "value" else f"tangent of {out}"
    if kind == "second by cotangent":
        return f"d2 by cotangent of {out}"
    argument = layout.names[layout.moving[leaf]]
    return {"gradient": f"d{argument}", "second": f"d2{argument}"}.get(
        kind, f"d{argument} of the primal"
    )


def _coarser(a: Any, b: str) -> str:
    return max((np.dtype(a).name, b), key=lambda name: float(ml_dtypes.finfo(name).eps))
