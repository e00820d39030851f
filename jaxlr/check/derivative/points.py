"""Inputs at which a derivative may be wrong: ordinary ones, and those where real faults hide."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from jaxlr.check.derivative.quantities import Point

# Where 1 + e^-z rounds to 1 and exp overflows or underflows, in bfloat16 to float64.
THRESHOLDS = (
    5.55, 5.6, 8.3, 10.4, 11.1, 14.6, 16.6, 16.7, 17.4, 20, 36.7, 36.8, 50, 87, 88.5, 89, 103.5,
    110, 300, 700, 709, 710, 740, 750,
)  # fmt: skip
ONES, DOUBLE, ZERO = "as given, cotangent of ones", "cotangent 2", "cotangent 0"
ORDINARY = (ONES, "as given", "close by", "shuffled")
_FAR = 110.0  # thresholds beyond this one are for float64
_ORDINARY = 1e3  # |x| from which on an overflow inside may be nobody's fault; in float16, 30


class Probe(NamedTuple):
    """A point, what it is good for, and whether numbers so large may overflow on the way."""

    name: str
    point: Point
    extreme: bool


class Sweep:
    """Points around one that the user gave.

    Parameters
    ----------
    floats : sequence of ndarray
        Floating-point leaves of the user's arguments, in float64.
    vary : sequence of bool
        Which of them may be taken anywhere.
    bounds : sequence of pair of float or None
        Smallest and largest value that a leaf may have.
    outputs : sequence of shapes
        Of the floating-point outputs.
    moving : sequence of int
        Which of the leaves are differentiated by.
    seed : int
        Of everything that is random.
    """

    def __init__(
        self,
        floats: Sequence[np.ndarray],
        vary: Sequence[bool],
        bounds: Sequence[tuple[float, float] | None],
        outputs: Sequence[tuple[int, ...]],
        moving: Sequence[int],
        seed: int,
    ) -> None:
        self.floats = [np.asarray(v).astype(np.float64) for v in floats]
        self.vary, self.bounds = list(vary), list(bounds)
        self.outputs, self.moving = list(outputs), list(moving)
        self._seed, self._rng = seed, np.random.default_rng(seed)

    def ordinary(self, dtype: DTypeLike) -> Iterator[Probe]:
        """Yield the point as it is given, and a few like it, with cotangents of both signs."""
        c = self._normal(self.outputs)
        ones, given, close, mixed = ORDINARY
        yield self._probe(ones, self.floats, [np.ones_like(v) for v in c], dtype)
        yield self._probe(given, self.floats, c, dtype)
        near = [self._shaken(v) for v in self.floats]
        yield self._probe(close, near, self._normal(self.outputs), dtype)
        shuffled = [self._rng.permutation(v.ravel()).reshape(v.shape) for v in self.floats]
        yield self._probe(mixed, shuffled, self._normal(self.outputs), dtype)

    def odd(self, dtype: DTypeLike, only: Sequence[str] | None = None) -> Iterator[Probe]:
        """Odd cotangents, zeros, thresholds, several scales, huge and tiny ones; or only some."""
        c = self._normal(self.outputs)
        if only is None:
            large = 2.0 ** (ml_dtypes.finfo(dtype).maxexp // 3)  # what clips a cotangent shows
            for size in (0.0, 2.0, 3.0, -1000.0, 1e-4, large):
                yield self._probe(
                    f"cotangent {size:g}", self.floats, [np.full_like(v, size) for v in c], dtype
                )
        for name, change, every in self._changes(dtype):
            if only is not None and name not in only:
                continue
            for some in self._choices(every):
                floats = [change(v) if i in some else v for i, v in enumerate(self.floats)]
                yield self._probe(f"{name}{self._which(some)}", floats, c, dtype)

    def _changes(
        self, dtype: DTypeLike
    ) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray], bool]]:
        """Name, change of a leaf, and whether leaves are also changed one by one."""
        info = ml_dtypes.finfo(dtype)
        yield "zero", np.zeros_like, True
        yield "-0.0", lambda v: np.full_like(v, -0.0), False
        yield "one element zero", _one_zero, True
        yield "all alike", lambda v: np.full_like(v, v.ravel()[0] if v.size else 0), False
        largest = max(v.size for v in self.floats)
        for turn in range(-(-2 * len(THRESHOLDS) // max(1, largest))):
            yield "thresholds", lambda v, turn=turn: self._thresholds(v, dtype, turn), not turn
        yield "far", lambda v: 100 * v + 20 * _sign(v), True
        for size in (3, -3, 10, 30, -30, 1e-2, 1e-5):
            yield f"times {size:g}", lambda v, size=size: self._times(v, size), False
        huge = float(info.max) ** 0.25
        yield "huge", lambda v: v * (huge / np.max(abs(v), initial=1e-30)), True
        yield "denormal", lambda v: v * (float(info.tiny) / 4), False

    def _choices(self, every: bool) -> list[tuple[int, ...]]:
        """All leaves that may be changed; if asked for, each alone, and in pairs."""
        free = tuple(i for i, yes in enumerate(self.vary) if yes and self.floats[i].size)
        if not free:
            return []
        alone = [*combinations(free, 1), *(combinations(free, 2) if len(free) < 5 else ())]
        return list(dict.fromkeys((free, *(alone if every else ()))))

    def _which(self, some: tuple[int, ...]) -> str:
        return "" if len(some) == sum(self.vary) else f" in leaf {', '.join(map(str, some))}"

    def _thresholds(self, v: np.ndarray, dtype: DTypeLike, turn: int) -> np.ndarray:
        """Thresholds of both signs in a random order; a small leaf has the next few each turn."""
        far = np.inf if dtype == "float64" else _FAR
        sizes = np.array([t for t in THRESHOLDS if t <= far])
        both = np.random.default_rng(self._seed).permutation(np.append(sizes, -sizes))
        found = np.resize(np.roll(both, -turn * v.size), v.shape)
        return abs(found) if np.all(v >= 0) else found

    def _times(self, v: np.ndarray, size: float) -> np.ndarray:
        return v * (abs(size) if np.all(v >= 0) or np.all(v <= 0) else size)

    def _shaken(self, v: np.ndarray) -> np.ndarray:
        return v * (1 + 0.2 * self._rng.uniform(-1, 1, v.shape))

    def _normal(self, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        return [self._rng.standard_normal(shape) for shape in shapes]

    def _probe(
        self, name: str, floats: Sequence[np.ndarray], c: Sequence[np.ndarray], dtype: DTypeLike
    ) -> Probe:
        kept = [
            v if bounds is None else np.clip(v, *bounds)
            for v, bounds in zip(floats, self.bounds, strict=True)
        ]
        along = [self._rng.choice([-1.0, 1.0], self.floats[i].shape) for i in self.moving]
        point = Point(*([v.astype(dtype) for v in part] for part in (kept, c, along)))
        return Probe(name, point, is_extreme(point.floats))


def is_extreme(floats: Sequence[np.ndarray]) -> bool:
    """Whether numbers are so large or small that an overflow on the way may be nobody's fault."""
    return any(_far(v.astype(np.float64), v.dtype) for v in floats)


def has_denormals(floats: Sequence[np.ndarray]) -> bool:
    """Whether a number is below the smallest normal one of its type, and not 0."""
    return any(
        np.any((v != 0) & (abs(v.astype(np.float64)) < float(ml_dtypes.finfo(v.dtype).tiny)))
        for v in floats
    )


def _far(v: np.ndarray, dtype: np.dtype) -> bool:
    ordinary = 30 if dtype == np.float16 else _ORDINARY
    smallest = 1 / float(ml_dtypes.finfo(dtype).max) ** 0.25
    return bool(np.any(abs(v) > ordinary) or np.any((v != 0) & (abs(v) < smallest)))


def _one_zero(v: np.ndarray) -> np.ndarray:
    found = v.copy()
    found.reshape(-1)[: found.size > 0] = 0
    return found


def _sign(v: np.ndarray) -> np.ndarray:
    return np.where(v < 0, -1.0, 1.0)
