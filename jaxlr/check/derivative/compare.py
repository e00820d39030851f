"""One leaf of one quantity at one point: the hand, the truth, and what rounding explains."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxlr.check import ulp
from jaxlr.check.derivative.layout import Layout
from jaxlr.check.derivative.points import ORDINARY, Probe, has_denormals
from jaxlr.check.derivative.programs import Found, Program, Programs
from jaxlr.check.derivative.quantities import Quantity

_BUDGET = 8  # rounding units of the sum of absolute terms
_ELEMENTWISE = 4  # the same where nothing is added up
_BOTH = 4  # in float64 the truth is as inaccurate as the hand
_FLUSHED = 2**20  # smallest normal numbers: XLA takes 0 for less, and what follows multiplies it
_PLAIN = 4  # times the reference's own error in the same type
_BY_STEPS = (
    "value",
    "second",
    "second by cotangent",
    "gradient of the primal",
)  # nobody claims that they are accurate
COARSE = ("bfloat16", "float16")
_COARSE = 0.25  # of the budget of steps: more, and they would explain everything
_SHARED = 0.25  # of the budget, of what a leaf as a whole loses in steps: ten standard deviations
_SMALLEST_NORMAL = {"float16": 2.0**-14}  # its smallest normal number


class Tolerance(NamedTuple):
    """What is allowed beyond the truth: 8 rounding units, 4 elementwise, and what the user adds.

    ``accuracy`` says of what: of the sum of absolute terms ("inputs"), or, where that is more, of
    what rounding does in the steps of the reference's own autodiff ("reference"), or in those of
    the program that is judged ("steps"). ``atol`` is an absolute distance.
    """

    elementwise: bool
    accuracy: str = "reference"
    atol: float = 0.0

    @property
    def budget(self) -> int:
        """Rounding units."""
        return _ELEMENTWISE if self.elementwise else _BUDGET


class Place(NamedTuple):
    """Where something was compared, in words and in numbers."""

    probe: Probe
    others: list[Any]
    dtype: str
    mode: str
    rows: int | None

    def __str__(self) -> str:
        """Words for the report."""
        rows = "" if self.rows is None else f", {self.rows} rows"
        return f"{self.probe.name}{rows}, {self.dtype}, {self.mode}"


class Comparison(NamedTuple):
    """Numbers of one leaf; ``allowed`` is the distance that rounding explains."""

    quantity: Quantity
    kind: str
    leaf: int
    name: str
    place: Place
    hand: np.ndarray
    truth: np.ndarray
    allowed: np.ndarray
    unit: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        """Where the hand is further from the truth than rounding explains."""
        return exceeds(self.hand, self.truth, self.allowed, self.place.dtype)

    @property
    def distance(self) -> np.ndarray:
        """Distance in units in the last place; inf where only one of the two is a number."""
        with np.errstate(invalid="ignore", over="ignore"):
            found = abs(self.hand - self.truth) / self.unit
        return np.where(self.bad & ~np.isfinite(found), np.inf, np.nan_to_num(found, posinf=0.0))

    @property
    def excess(self) -> np.ndarray:
        """Distance in units of what is allowed; inf where only one of the two is a number."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = abs(self.hand - self.truth) / self.allowed
        found = np.where(np.isnan(found), np.where(self.bad, np.inf, 0.0), found)
        return np.where(self.bad, np.maximum(found, 1.0), np.minimum(found, 1.0))

    @property
    def worst(self) -> int:
        """Index of the number that is furthest off, among those that are."""
        return int(np.argmax(np.where(self.bad, self.excess, -1.0)))

    def path(self, index: int) -> str:
        """Name of one number, as in ``dx[2, 0]``."""
        at = np.unravel_index(index, self.hand.shape)
        return self.name + (f"[{', '.join(str(int(i)) for i in at)}]" if at else "")


def exceeds(hand: np.ndarray, truth: np.ndarray, allowed: np.ndarray, dtype: str) -> np.ndarray:
    """Where ``hand`` is not within ``allowed`` of a truth that is a number."""
    largest = float(ml_dtypes.finfo(dtype).max)
    with np.errstate(invalid="ignore", over="ignore"):
        overflowed = np.isinf(hand) & (abs(truth) + allowed >= largest) & (hand * truth > 0)
        return ~(abs(hand - truth) <= allowed) & np.isfinite(truth) & ~overflowed


def comparisons(
    programs: Programs, quantity: Quantity, place: Place, hand: Found, tolerance: Tolerance
) -> Iterator[Comparison]:
    """Compare each leaf of a quantity with autodiff of the reference in float64."""
    point, others = place.probe.point, place.others
    truth = programs.truth(quantity, point, others)
    terms = programs.reference.condition(quantity, point, others)
    size = max((float(np.max(abs(v.astype(float)), initial=1)) for v in point.cotangent), default=1)
    # Asked of all leaves at once, and only where something is off.
    plain = cache(lambda: programs.reference.run(quantity, [point], others)[0])
    steps = cache(lambda program: program.steps(quantity, point, others))
    for kind, leaves in hand.items():
        for i, found in enumerate(leaves):
            dtype, true = _coarser(found.dtype, place.dtype), truth[kind][i]
            made = Comparison(
                quantity, kind, i, leaf_name(programs.layout, kind, i, len(leaves)), place,
                found.astype(np.float64), true,
                allowed=rounding(tolerance, dtype, np.maximum(terms[kind][i], abs(true)))
                + flushed(dtype) * size + tolerance.atol,
                unit=ulp.unit(true, dtype),
            )  # fmt: skip
            if made.bad.any():
                made = _excused(programs, made, tolerance, dtype, plain, steps)
            yield made
            if kind == "gradient" and _has_size(programs, made):
                whole = _size(programs, made, tolerance, steps)
                if whole.allowed <= whole.truth / 2:  # else it tells nothing, and no fault is seen
                    yield whole


def _has_size(programs: Programs, made: Comparison) -> bool:
    """Whether a leaf is also looked at as a whole: where its numbers alone tell little."""
    place = made.place
    if place.dtype not in COARSE or place.rows is not None or place.probe.name not in ORDINARY:
        return False
    # Equal numbers, and what is computed of equal numbers, are off alike: nothing evens out.
    given = [place.probe.point.floats[i] for i in programs.layout.moving]
    apart = all(map(_differ, [made.truth, *(v for v in given if v.size > 1)]))
    return apart and bool(np.isfinite(made.truth).all())


def _differ(v: np.ndarray) -> bool:
    return v.size > 1 and len(np.unique(abs(v.astype(np.float64)))) > v.size / 2


def _size(
    programs: Programs,
    made: Comparison,
    tolerance: Tolerance,
    steps_of: Callable[[Program], Found],
) -> Comparison:
    """Compare the product of a leaf with the direction of the truth, in which rounding evens out.

    In a coarse type the steps of a deep function lose as much of one number as a fault does. All
    numbers together lose little, unless they share what they lose, which `steps` knows.
    """
    size = float(np.linalg.norm(made.truth))
    along = made.truth / size  # which is not 0: its numbers differ
    with np.errstate(invalid="ignore", over="ignore"):
        hand = np.array(np.sum(made.hand * along))
    program = programs.hand if tolerance.accuracy == "steps" else programs.reference
    dtype, lost = made.place.dtype, size + _SHARED * steps_of(program)["size"][made.leaf]
    return made._replace(
        kind="size", name=f"size of {made.name}", hand=hand, truth=np.array(size),
        allowed=rounding(tolerance, dtype, lost) + flushed(dtype) * size,
        unit=ulp.unit(np.array(size), dtype),
    )  # fmt: skip


def rounding(tolerance: Tolerance, dtype: str, terms: np.ndarray) -> np.ndarray:
    """Distance that rounding explains, of numbers whose terms have these absolute sums."""
    both = _BOTH if dtype == "float64" else 1
    return tolerance.budget * both * float(ml_dtypes.finfo(dtype).eps) * terms


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


def _excused(
    programs: Programs,
    made: Comparison,
    tolerance: Tolerance,
    dtype: str,
    plain_at: Callable[[], Found],
    steps_of: Callable[[Program], Found],
) -> Comparison:
    """Allow what is nobody's fault, where something is not allowed yet.

    To the value, and far out, where numbers overflow on the way, to everything: what the reference
    does in the same type, a few times. That a number is none, if it is none by the reference's own
    autodiff in the same type, or any where a denormal input, taken for 0, makes it none there. To a
    derivative, what rounding does in the steps of the reference's autodiff in this type: of that,
    too, people ask no more. To the derivative of a derivative, and to the value, what rounding in
    their own steps does.
    """
    extreme = made.kind == "value" or made.place.probe.extreme
    lost = tolerance.accuracy != "inputs" and not np.isfinite(made.hand).all()
    if extreme or lost:
        plain = plain_at()[made.kind][made.leaf].astype(np.float64)
        if extreme:
            with np.errstate(invalid="ignore", over="ignore"):
                off = abs(plain - made.truth)
            made = made._replace(allowed=np.fmax(made.allowed, _PLAIN * off))
        gone = ~np.isfinite(plain)
        if not has_denormals(made.place.probe.point.floats):  # which XLA takes for 0
            gone &= ~np.isfinite(made.hand)
        # There is no truth in this type where both are lost.
        made = made._replace(truth=np.where(gone, np.nan, made.truth))
    for program, in_dtype in _forgiving(programs, tolerance, made, dtype):
        if not made.bad.any():
            break
        steps = steps_of(program)[made.kind][made.leaf]
        share = _COARSE if in_dtype in COARSE else 1
        made = made._replace(allowed=made.allowed + share * rounding(tolerance, in_dtype, steps))
    return made


def _forgiving(
    programs: Programs, tolerance: Tolerance, made: Comparison, dtype: str
) -> Iterator[tuple[Program, str]]:
    """Programs whose rounding is forgiven, and the type that it happens in."""
    if made.kind in _BY_STEPS:
        yield programs.reference, "float64"
    elif tolerance.accuracy != "inputs":
        yield programs.reference, dtype
    if made.kind in _BY_STEPS or tolerance.accuracy == "steps":
        yield programs.hand, dtype


def _coarser(a: Any, b: str) -> str:
    return max((np.dtype(a).name, b), key=lambda name: float(ml_dtypes.finfo(name).eps))


def flushed(dtype: str) -> float:
    """Distance from 0 within which XLA, and what multiplies its results, may lose a number."""
    return _SMALLEST_NORMAL.get(dtype, _FLUSHED * float(ml_dtypes.finfo(dtype).tiny))
