"""What is looked at: inputs, types, modes, numbers of rows, at two levels of care."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from jaxlr.check.derivative.batches import SIZES, Axes, odd_size, resized
from jaxlr.check.derivative.points import Probe, Sweep
from jaxlr.check.derivative.quantities import Quantity, gradient, primal, second, tangent
from jaxlr.check.derivative.tolerance import COARSE

_TOGETHER = 4  # points in one call of vmap or scan
_LARGE = 2**16  # numbers in the arguments from which on fewer inputs are tried
_QUICK = ("zero", "thresholds", "far", "one element zero")


class Leg(NamedTuple):
    """Points of one shape, in one type, looked at in one way."""

    quantity: Quantity
    dtype: str
    mode: str
    rows: int | None
    probes: list[Probe]
    others: list[Any]


@dataclass(frozen=True)
class Plan:
    """Legs of a check, and what it leaves out.

    Parameters
    ----------
    floats, others : list
        Leaves that the user gave.
    vary, bounds, moving
        See `points.Sweep`.
    axes : tuple
        Axis of the rows of every leaf, floats first.
    shapes : callable
        Shapes of the outputs for leaves of given shapes.
    dtypes : tuple of str
        In which the function is judged.
    order : int
        1 or 2.
    forward : bool
        Whether the function has a derivative in forward mode.
    quick : bool
        The level.
    seed : int
        Of everything that is random.
    """

    floats: Sequence[np.ndarray]
    others: Sequence[Any]
    vary: Sequence[bool]
    bounds: Sequence[tuple[float, float] | None]
    moving: Sequence[int]
    axes: Axes
    shapes: Callable[[Sequence[Any], Sequence[Any]], list[tuple[int, ...]]]
    dtypes: tuple[str, ...]
    order: int
    forward: bool
    quick: bool
    seed: int

    def legs(self) -> Iterator[Leg]:
        """Legs, the sharpest first."""
        if self.quick:
            yield from self._quick()
            return
        for dtype in self.dtypes:
            probes = self._probes(dtype)
            yield self._leg(gradient, dtype, "jit", probes)
            if dtype in ("float64", "float32"):
                if self.order == 2:
                    yield self._leg(second, dtype, "jit", probes)
                    yield self._leg(primal, dtype, "jit", probes[:_TOGETHER])
                if self.forward:
                    yield self._leg(tangent, dtype, "jit", probes[:_TOGETHER])
        yield from self._modes()
        yield from self._sizes()

    def left_out(self) -> Iterator[str]:
        """Yield what is not looked at, in words."""
        if self.quick:
            yield "quick level: other types, modes and numbers of rows, most inputs, most oracles"
            if self.order == 1:
                yield "order 2"
        elif not self._has_rows:
            yield "other numbers of rows: no axis of the arguments can change its length alone"
        if self.others:
            yield "other integers, keys and booleans than those that were given"
        if not self.quick and self._large:
            yield "most inputs far out: the arguments are large"

    def _quick(self) -> Iterator[Leg]:
        sweep = self._sweep(self.floats, self.others)
        probes = list(islice(sweep.ordinary(self.dtypes[0]), 2))
        probes += sweep.odd(self.dtypes[0], _QUICK)
        yield self._leg(gradient, self.dtypes[0], "jit", probes)
        if self.order == 2:
            yield self._leg(second, self.dtypes[0], "jit", probes)

    def _probes(self, dtype: str) -> list[Probe]:
        sweep = self._sweep(self.floats, self.others)
        return [*sweep.ordinary(dtype), *sweep.odd(dtype, _QUICK if self._large else None)]

    def _modes(self) -> Iterator[Leg]:
        dtype = self._narrow
        probes = list(self._sweep(self.floats, self.others).ordinary(dtype))
        for mode in ("eager", "vmap", "scan"):
            yield self._leg(gradient, dtype, mode, probes)

    def _sizes(self) -> Iterator[Leg]:
        leaves = [*self.floats, *self.others]
        if not self._has_rows:
            return
        sizes = [(rows, self._narrow) for rows in (*SIZES, odd_size(leaves, self.axes))]
        # Of a sum, coarse types tell something only where it has one term.
        sizes += [(1, dtype) for dtype in self.dtypes if dtype in COARSE]
        for rows, dtype in sizes:
            rng = np.random.default_rng((self.seed, rows))
            found = resized(leaves, self.axes, rows, rng)
            floats, others = found[: len(self.floats)], found[len(self.floats) :]
            sweep = self._sweep(floats, others)
            probes = list(islice(sweep.ordinary(dtype), 2))
            yield Leg(gradient, dtype, "jit", rows, probes, others)

    @property
    def _narrow(self) -> str:
        """Return float32, where it is judged at all."""
        return "float32" if "float32" in self.dtypes else self.dtypes[0]

    @property
    def _large(self) -> bool:
        return sum(np.size(v) for v in self.floats) > _LARGE

    @property
    def _has_rows(self) -> bool:
        return any(axis is not None for axis in self.axes)

    def _sweep(self, floats: Sequence[np.ndarray], others: Sequence[Any]) -> Sweep:
        outputs = self.shapes(floats, others)
        return Sweep(floats, self.vary, self.bounds, outputs, self.moving, self.seed)

    def _leg(self, quantity: Quantity, dtype: str, mode: str, probes: list[Probe]) -> Leg:
        return Leg(quantity, dtype, mode, None, probes, list(self.others))
