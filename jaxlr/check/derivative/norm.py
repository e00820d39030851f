"""A gradient leaf as a whole: in its norm rounding evens out, and a fault of all numbers does not.

In a coarse type the steps of a deep function lose as much of one number as a fault does. All
numbers together lose little, unless they share what they lose, which `steps` knows.
"""

import numpy as np

from jaxlr.check import ulp
from jaxlr.check.derivative.comparison import Comparison
from jaxlr.check.derivative.excuses import Excuses
from jaxlr.check.derivative.points import ORDINARY
from jaxlr.check.derivative.tolerance import COARSE, flushed

_SHARED = 0.25  # of the budget, of what a leaf as a whole loses in steps: ten standard deviations


def norm(excuses: Excuses, made: Comparison) -> Comparison | None:
    """Compare the product of a leaf with the direction of the truth, where that shows a fault."""
    if not _tells(excuses, made):
        return None
    size, dtype, tolerance = float(np.linalg.norm(made.truth)), made.place.dtype, excuses.tolerance
    along = made.truth / size  # which is not 0: its numbers differ
    with np.errstate(invalid="ignore", over="ignore"):
        hand = np.array(np.sum(made.hand * along))
    programs = excuses.programs
    program = programs.hand if tolerance.accuracy == "steps" else programs.reference
    lost = size + _SHARED * excuses.steps(program)["norm"][made.leaf]
    allowed = tolerance.rounding(dtype, lost) + flushed(dtype) * size
    if allowed > size / 2:  # it tells nothing: no fault would be seen
        return None
    return made._replace(
        kind="norm", name=f"norm of {made.name}", hand=hand, truth=np.array(size),
        allowed=allowed, unit=ulp.unit(np.array(size), dtype), along=along,
    )  # fmt: skip


def _tells(excuses: Excuses, made: Comparison) -> bool:
    """Whether a leaf is looked at as a whole: where its numbers alone tell little."""
    place = made.place
    if place.dtype not in COARSE or place.rows is not None or place.probe.name not in ORDINARY:
        return False
    # Equal numbers, and what is computed of equal numbers, are off alike: nothing evens out.
    given = [place.probe.point.floats[i] for i in excuses.programs.layout.moving]
    apart = all(map(_differ, [made.truth, *(v for v in given if v.size > 1)]))
    return apart and bool(np.isfinite(made.truth).all())


def _differ(v: np.ndarray) -> bool:
    return v.size > 1 and len(np.unique(abs(v.astype(np.float64)))) > v.size / 2
