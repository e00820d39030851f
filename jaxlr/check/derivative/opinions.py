"""Second opinions on one number: the same derivative by ways that share no code with autodiff."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from jaxlr.check.derivative.compare import Comparison, Place
from jaxlr.check.derivative.programs import Programs, wide
from jaxlr.check.derivative.quantities import Point, gradient
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


def question(programs: Programs, place: Place, kind: str, leaf: int, index: int) -> Question:
    """Ask for one number of a quantity."""
    at = wide(place.probe.point)
    by_output = kind in ("second by cotangent", "tangent")
    if by_output:
        at = at._replace(cotangent=_unit(at.cotangent, leaf, index))
    scalar, x = programs.reference.scalar(at, place.others)
    moving = programs.layout.moving
    along = _direction(at, moving, at.along)
    if by_output:
        return Question(scalar, x, along[None])
    given = [at.floats[i] for i in moving]
    if kind == "size":
        truth = programs.truth(gradient, place.probe.point, place.others)["gradient"][leaf]
        unit = [np.zeros(np.shape(v)) for v in given]
        unit[leaf] = truth / np.linalg.norm(truth)
    else:
        unit = _unit(given, leaf, index)
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
    asked = question(programs, made.place, made.kind, made.leaf, index)
    return decide(asked, hand, truth, allowed, float(ml_dtypes.finfo(made.place.dtype).eps))


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
