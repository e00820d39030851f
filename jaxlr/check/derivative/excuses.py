"""What is nobody's fault, where a number is further from the truth than its terms explain."""

from collections.abc import Iterator
from functools import cached_property

import ml_dtypes
import numpy as np

from jaxlr.check.derivative.comparison import Comparison, Place
from jaxlr.check.derivative.points import has_denormals
from jaxlr.check.derivative.programs import Found, Program, Programs
from jaxlr.check.derivative.quantities import Quantity, gradient
from jaxlr.check.derivative.tolerance import COARSE, Tolerance

_PLAIN = 4  # times the reference's own error in the same type
_COARSE = 0.25  # of the budget of steps: more, and they would explain everything
_BY_STEPS = (
    "value",
    "second",
    "second by cotangent",
    "gradient of the primal",
)  # nobody claims that they are accurate


class Excuses:
    """Excuses of all leaves of a quantity at one point; what they need is computed once, if at all.

    Parameters
    ----------
    programs : Programs
        The function and its reference.
    quantity : Quantity
        What is compared.
    place : Place
        Where.
    tolerance : Tolerance
        What rounding may do.
    """

    def __init__(
        self, programs: Programs, quantity: Quantity, place: Place, tolerance: Tolerance
    ) -> None:
        self.programs, self.tolerance = programs, tolerance
        self._quantity, self._place = quantity, place
        self._steps: dict[Program, Found] = {}

    def of(self, made: Comparison, dtype: str) -> Comparison:
        """Return a comparison that allows more, or knows no truth, where something is off."""
        for excused in (self._by_error, self._by_loss, self._by_overflow):
            if not made.bad.any():
                return made
            made = excused(made, dtype)
        return self._by_steps(made, dtype)

    def steps(self, program: Program) -> Found:
        """Return what rounding in the steps of a program does here."""
        if program not in self._steps:
            self._steps[program] = program.steps(self._quantity, *self._at)
        return self._steps[program]

    def _by_error(self, made: Comparison, dtype: str) -> Comparison:
        """Allow a few times the error of the reference in the type: of a value, and far out."""
        del dtype
        if not self._is_loose(made):
            return made
        with np.errstate(invalid="ignore", over="ignore"):
            off = abs(self._plain_of(made) - made.truth)
        return made._replace(allowed=np.fmax(made.allowed, _PLAIN * off))

    def _by_loss(self, made: Comparison, dtype: str) -> Comparison:
        """Know no truth where the reference's own autodiff in the type has no number either.

        Nor where a denormal input, which XLA takes for 0, is what makes it none there.
        """
        del dtype
        if not (self._is_loose(made) or self._is_lost(made)):
            return made
        gone = ~np.isfinite(self._plain_of(made))
        if not has_denormals(self._place.probe.point.floats):
            gone &= ~np.isfinite(made.hand)
        return made._replace(truth=np.where(gone, np.nan, made.truth))

    def _by_overflow(self, made: Comparison, dtype: str) -> Comparison:
        """Know no truth of what is no number where the function's own value is none in the type.

        Not elementwise: there the value that overflows belongs to another number.
        """
        if not self._is_lost(made) or self.tolerance.elementwise:
            return made
        largest = float(ml_dtypes.finfo(dtype).max)
        if not any(np.any(abs(v) > largest) for v in self._values):
            return made
        return made._replace(truth=np.where(np.isfinite(made.hand), made.truth, np.nan))

    def _by_steps(self, made: Comparison, dtype: str) -> Comparison:
        """Allow what rounding does in steps: of a derivative in those of the reference's autodiff.

        People ask no more of it than that; and of the derivative of a derivative, and of a value,
        no more than of their own steps.
        """
        for program, in_dtype in self._forgiving(made, dtype):
            if not made.bad.any():
                break
            share = _COARSE if in_dtype in COARSE else 1
            rounding = self.tolerance.rounding(in_dtype, self.steps(program)[made.kind][made.leaf])
            made = made._replace(allowed=made.allowed + share * rounding)
        return made

    def _forgiving(self, made: Comparison, dtype: str) -> Iterator[tuple[Program, str]]:
        """Programs whose rounding is forgiven, and the type that it happens in."""
        if made.kind in _BY_STEPS:
            yield self.programs.reference, "float64"
        elif self.tolerance.accuracy != "inputs":
            yield self.programs.reference, dtype
        if made.kind in _BY_STEPS or self.tolerance.accuracy == "steps":
            yield self.programs.hand, dtype

    def _is_loose(self, made: Comparison) -> bool:
        """Whether numbers may overflow on the way to this one, or nobody claims its accuracy."""
        return made.kind == "value" or self._place.probe.extreme

    def _is_lost(self, made: Comparison) -> bool:
        return self.tolerance.accuracy != "inputs" and not np.isfinite(made.hand).all()

    @property
    def _at(self) -> tuple:
        return self._place.probe.point, self._place.others

    def _plain_of(self, made: Comparison) -> np.ndarray:
        return self._plain[made.kind][made.leaf].astype(np.float64)

    @cached_property
    def _plain(self) -> Found:
        """Autodiff of the reference in the same type."""
        point, others = self._at
        return self.programs.reference.run(self._quantity, [point], others)[0]

    @cached_property
    def _values(self) -> list[np.ndarray]:
        """Values of the reference in float64."""
        return self.programs.truth(gradient, *self._at)["value"]
