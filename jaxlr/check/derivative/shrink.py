"""The smallest input at which a finding shows, as code, and the edge beyond which it does."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxlr.check.derivative.compare import comparisons
from jaxlr.check.derivative.comparison import Comparison, Place
from jaxlr.check.derivative.layout import floating, in_tree
from jaxlr.check.derivative.opinions import decided
from jaxlr.check.derivative.points import Probe, is_extreme
from jaxlr.check.derivative.programs import Programs
from jaxlr.check.derivative.quantities import Point
from jaxlr.check.derivative.tolerance import Tolerance
from jaxlr.check.report import Verdict
from jaxlr.check.smallest import as_code, boundary, smallest

_SHAPES = 8  # each is several compilations
_TRIES = 200
_STEPS = 80  # halvings towards the edge
_SHOWN = 3  # numbers in the code's comments


class Failing:
    """A comparison that failed, made again at other inputs.

    Parameters
    ----------
    programs, tolerance
        Of the check.
    made : Comparison
        What failed.
    """

    def __init__(self, programs: Programs, tolerance: Tolerance, made: Comparison) -> None:
        self.programs, self.tolerance, self.made = programs, tolerance, made
        self._place = made.place

    def at(self, args: tuple[Any, ...], cotangent: list[Any]) -> tuple[Comparison, int] | None:
        """Return the comparison there and its worst number, if that is off."""
        floats, others = self._leaves(args)
        moving = self.programs.layout.moving
        along = [_signs(floats[i]) for i in moving]
        probe = Probe("smaller", Point(floats, cotangent, along), is_extreme(floats))
        place = Place(probe, others, self._place.dtype, self._place.mode, None)
        hand = self.programs.hand.run(self.made.quantity, [probe.point], others, place.mode)[0]
        found = comparisons(self.programs, self.made.quantity, place, hand, self.tolerance)
        wanted = (c for c in found if (c.kind, c.leaf) == (self.made.kind, self.made.leaf))
        made = next(wanted, None)  # a leaf may be too small, or the input too odd, for a norm
        if made is None or not made.bad.any():
            return None
        return made, made.worst

    def code(self, name: str) -> str:
        """Python that reproduces it at the smallest input that was found."""
        for fails in (self.at, self._surely):  # a kink, too, is off
            args, cotangent = self._smallest(fails)
            found = self._surely(args, cotangent)
            if found is not None:
                return self._printed(name, args, cotangent, found[0])
        return ""

    def _smallest(self, fails: Callable[..., Any]) -> tuple[tuple[Any, ...], list[Any]]:
        point = self._place.probe.point
        given = self.programs.layout.arguments(point.floats, self._place.others), point.cotangent
        if fails(*given) is None:
            return given
        found = smallest(
            *given, lambda args, c: fails(args, c) is not None, self._outputs,
            seconds=np.inf, tries=_TRIES, shapes=_SHAPES,
        )  # fmt: skip
        return found.args, found.cotangent

    def edge(self, passing: Point) -> str:
        """Where the error first exceeds its budget between a point that passes and this one."""
        failing, others = self._place.probe.point, self._place.others
        arguments = self.programs.layout.arguments
        start, end = (arguments(p.floats, others) for p in (passing, failing))
        ones = [np.ones_like(v) for v in failing.cotangent]
        cotangent = ones if self.at(end, ones) else failing.cotangent

        def fails(args: tuple[Any, ...]) -> bool:
            return self.at(args, cotangent) is not None

        if self.made.kind != "gradient" or fails(start) or not fails(end):
            return ""
        before, after = boundary(start, end, fails, steps=_STEPS)
        found = self.at(after, cotangent)
        if found is None:
            return ""
        made, index = found
        leaf = self.programs.layout.moving[made.leaf]
        values = [self._leaves(args)[0][leaf].ravel()[index] for args in (before, after)]
        name = made.path(index).removeprefix("d")
        return (
            f"on the way there {made.path(index)} is right up to {name} = {values[0]!s} "
            f"and wrong from {values[1]!s} on"
        )

    def _surely(self, args: tuple[Any, ...], cotangent: list[Any]) -> tuple[Comparison, int] | None:
        """Return the same, if the number is wrong beyond doubt."""
        found = self.at(args, cotangent)
        sure = found is not None and decided(self.programs, *found).verdict is Verdict.WRONG
        return found if sure else None

    def _leaves(self, args: tuple[Any, ...]) -> tuple[list[np.ndarray], list[Any]]:
        leaves, layout = jax.tree.leaves(args), self.programs.layout
        return [np.asarray(leaves[i]) for i in layout.floats], [leaves[i] for i in layout.others]

    def _outputs(self, args: tuple[Any, ...]) -> list[Any]:
        """Shapes of the floating-point outputs, of the function and of its reference."""
        found = []
        for program in self.programs:
            with jax.enable_x64(self._place.dtype == "float64"):
                found.append(jax.eval_shape(lambda: floating(program.function(*args))))  # noqa: B023
        return found[0]

    def _printed(
        self, name: str, args: tuple[Any, ...], cotangent: list[Any], made: Comparison
    ) -> str:
        bad = np.flatnonzero(made.bad)[:_SHOWN]
        numbers = [
            (made.path(i), float(made.hand.ravel()[i]), float(made.truth.ravel()[i])) for i in bad
        ]
        outputs = jax.eval_shape(lambda: self.programs.hand.function(*args))
        tree = in_tree(outputs, cotangent)
        along = None
        if self.made.kind.startswith("second"):
            along = self._along(made.place)
        return as_code(name, args, tree, numbers, along=along)

    def _along(self, place: Place) -> tuple[Any, ...]:
        """Directions in the tree of the arguments; 0 where nothing is differentiated by."""
        layout, point = self.programs.layout, place.probe.point
        floats = [np.zeros_like(v) for v in point.floats]
        for i, v in zip(layout.moving, point.along, strict=True):
            floats[i] = v
        return layout.arguments(floats, place.others)


def _signs(v: np.ndarray) -> np.ndarray:
    """Directions of a second derivative, the same for the same shape."""
    signs = np.random.default_rng(v.size).choice([-1.0, 1.0], v.shape)
    return signs.astype(v.dtype)
