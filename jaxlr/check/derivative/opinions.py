"""Second opinions on one number: the same derivative by ways that share no code with autodiff."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from jaxlr.check.derivative.comparison import Comparison, Place
from jaxlr.check.derivative.programs import Programs, wide
from jaxlr.check.derivative.quantities import Point
from jaxlr.check.oracles import Reading, complex_step, differences, exact
from jaxlr.check.report import Verdict

_AUTODIFF = 1e-9  # relative error that float64 autodiff may have beside a second opinion
_SHARP = 0.1  # error of a reading that may decide, of the truth or of what is allowed
_LENIENT = 4096  # rounding units, where nobody knows how many are due
_SMALLEST = 1e-290


class Decision(NamedTuple):
    """A verdict on one number, with the readings it rests on.

    ``truth`` is the number that two oracles agree on; ``kink`` says that there is none, because
    the function has no derivative there; ``reference_wrong`` that autodiff of the reference is
    not among the two.
    """

    verdict: Verdict
    truth: float
    readings: tuple[Reading, ...]
    reason: str = ""
    kink: bool = False
    reference_wrong: bool = False


class Question(NamedTuple):
    """A derivative of ``scalar`` at ``x``: along one direction, or mixed along two."""

    scalar: Callable[[Any], Any]
    x: Any
    directions: np.ndarray  # (1, d) or (1, 2, d)

    def ask(self) -> Iterator[Reading]:
        """Yield readings of the oracles, the cheapest first."""
        mixed = self.directions.ndim == 3
        with jax.enable_x64(True):
            directions = jnp.asarray(self.directions)
            if mixed:
                yield differences.bends(self.scalar, self.x, directions)[0]
                yield exact.bends(self.scalar, self.x, directions)[0]
            else:
                yield differences.slopes(self.scalar, self.x, directions)[0]
                yield complex_step.slopes(self.scalar, self.x, directions)[0]
                yield exact.slopes(self.scalar, self.x, directions)[0]


def question(programs: Programs, made: Comparison, index: int) -> Question:
    """Ask for one number of a comparison."""
    at, kind, leaf = wide(made.place.probe.point), made.kind, made.leaf
    by_output = kind in ("second by cotangent", "tangent")
    if by_output:
        at = at._replace(cotangent=_unit(at.cotangent, leaf, index))
    scalar, x = programs.reference.scalar(at, made.place.others)
    moving = programs.layout.moving
    along = _direction(at, moving, at.along)
    if by_output:
        return Question(scalar, x, along[None])
    given = [at.floats[i] for i in moving]
    unit = _unit(given, leaf, index)
    if made.along is not None:
        unit[leaf] = made.along
    here = _direction(at, moving, unit)
    directions = np.stack([along, here])[None] if kind == "second" else here[None]
    return Question(scalar, x, directions)


def towards(programs: Programs, place: Place, kind: str, direction: list[np.ndarray]) -> Question:
    """Ask for a gradient, or a second derivative by the arguments, times a direction."""
    at = wide(place.probe.point)
    scalar, x = programs.reference.scalar(at, place.others)
    moving = programs.layout.moving
    here = _direction(at, moving, direction)
    if kind == "gradient":
        return Question(scalar, x, here[None])
    return Question(scalar, x, np.stack([_direction(at, moving, at.along), here])[None])


def decided(programs: Programs, made: Comparison, index: int) -> Decision:
    """Judge one number of a comparison that is off."""
    hand, truth, allowed = (float(v.ravel()[index]) for v in (made.hand, made.truth, made.allowed))
    if made.kind == "value":  # no derivative: the reference itself is the truth
        return Decision(Verdict.WRONG, truth, ())
    eps = float(ml_dtypes.finfo(made.place.dtype).eps)
    found = decide(question(programs, made, index), hand, truth, allowed, eps)
    if found.verdict is Verdict.WRONG and made.kind.startswith("second"):
        return _unless_kink(found, question(programs, _tilted(made), index))
    return found


def _tilted(made: Comparison) -> Comparison:
    """Return the same number along a direction a little beside."""
    rng, point = np.random.default_rng(0), made.place.probe.point
    along = [v * rng.uniform(0.5, 1.5, np.shape(v)) for v in point.along]
    probe = made.place.probe._replace(point=point._replace(along=along))
    return made._replace(place=made.place._replace(probe=probe))


def _unless_kink(found: Decision, beside: Question) -> Decision:
    """Take a verdict back where the derivative exists along one direction, and not beside it.

    The gradient of ``max(|x|, d)^2`` has a derivative along (1, 1) at x = d, and none along (1, 2).
    """
    reading = next(beside.ask())
    if not reading.refused.startswith("kink"):
        return found
    readings = (*found.readings, reading)
    return Decision(Verdict.PASS, found.truth, readings, "kink", kink=True)


def decide(asked: Question, hand: float, truth: float, allowed: float, eps: float) -> Decision:
    """Judge a number that is not what autodiff says: two oracles must agree on the truth.

    Where autodiff is not one of the two, neither is what it says of the terms: a right number may
    then be ``4096 eps`` of itself away, at most a half.
    """
    readings: list[Reading] = []
    slack = _AUTODIFF * abs(truth) + 1e-3 * allowed + _SMALLEST
    for reading in asked.ask():
        readings.append(reading)
        if reading.refused:
            if reading.refused.startswith("kink"):
                if not np.isfinite(hand):
                    why = "not a number, where the slopes of both sides are"
                    return Decision(Verdict.WRONG, truth, tuple(readings), why)
                return Decision(Verdict.PASS, truth, tuple(readings), "kink", kink=True)
            continue
        if abs(reading.value - truth) <= reading.error + slack:
            sharp = reading.error <= _SHARP * max(abs(truth), allowed)
            if sharp and not abs(hand - reading.value) <= reading.error:
                return Decision(Verdict.WRONG, truth, tuple(readings))
            continue  # it agrees, but cannot tell the two apart
        lenient = max(allowed, min(_LENIENT * eps, 0.5) * abs(reading.value))
        if reading.error <= lenient and abs(hand - reading.value) <= lenient:
            other: Reading | None = reading  # the hand itself is the second that says so
        else:
            other = next((r for r in readings[:-1] if _agree(r, reading)), None)
        if other is not None:
            sharper = min(other, reading, key=lambda r: r.error)
            lenient = max(allowed, min(_LENIENT * eps, 0.5) * abs(sharper.value))
            right = abs(hand - sharper.value) <= lenient + sharper.error
            return Decision(
                Verdict.PASS if right else Verdict.WRONG, sharper.value, tuple(readings),
                "autodiff of the reference is wrong here", reference_wrong=True,
            )  # fmt: skip
    return Decision(Verdict.UNDECIDED, truth, tuple(readings), _why(readings, truth, slack))


def _agree(a: Reading, b: Reading) -> bool:
    return not a.refused and abs(a.value - b.value) <= a.error + b.error


def _why(readings: list[Reading], truth: float, slack: float) -> str:
    """Words for what kept the oracles from deciding."""
    parts = []
    for r in readings:
        if r.refused:
            parts.append(f"{r.oracle} refuses ({r.refused})")
        elif abs(r.value - truth) <= r.error + slack:
            parts.append(f"{r.oracle} cannot tell the two apart (+- {r.error:.1g})")
        else:
            parts.append(f"{r.oracle} says {r.value:.9g} +- {r.error:.1g}")
    return f"autodiff says {truth:.9g}; " + "; ".join(parts)


def _unit(like: list[np.ndarray], leaf: int, index: int) -> list[np.ndarray]:
    found = [np.zeros(np.shape(v)) for v in like]
    found[leaf].reshape(-1)[index] = 1.0
    return found


def _direction(at: Point, moving: list[int], along: list[np.ndarray]) -> np.ndarray:
    """Return a direction in the vector of all floating-point leaves and the cotangent."""
    parts = [np.zeros(np.size(v)) for v in (*at.floats, *at.cotangent)]
    for i, v in zip(moving, along, strict=True):
        parts[i] = np.ravel(v)
    return np.concatenate(parts)
