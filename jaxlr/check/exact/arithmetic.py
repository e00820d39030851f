# ruff: noqa: D102 -- a method is the function that it is named for
"""Numbers of any precision: the rounded operations that all else is made of.

A number is what ``mpmath.libmp`` takes, a tuple (sign, mantissa, exponent, bits of the mantissa).
Zero has no sign here.

Whether a result can be trusted is told by rounding at random (Vignes 1978, stochastic arithmetic):
each operation goes down or up by the toss of a coin, and what two runs with different coins agree
on does not come from rounding. A term that vanishes beside another, e^-800 beside 1, could vanish
in both; so the widest gap that was seen is kept, and a run with fewer bits is done again.
"""

import random
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

Raw = tuple[int, int, int, int]

MOST_BITS = 4096  # a gap wider than this is none: float64 spans 2098
_TIE = 32  # bits that rounding may have lost in what is compared
HUGE = 2000  # |x| >= 2^HUGE: exp and sin of it are not computed


def load() -> Any:
    """Return the package ``mpmath``, or say how to get it."""
    try:
        import mpmath
    except ImportError as error:
        raise ImportError(
            "arbitrary precision needs mpmath, which is not installed: pip install 'jaxlr[check]'"
        ) from error
    return mpmath


def magnitude(x: Raw) -> int:
    """Exponent e of 2^(e-1) <= ``|x|`` < 2^e, for finite x other than 0."""
    return x[2] + x[3]


class Arithmetic:
    """Operations of ``bits`` binary digits, each rounded down or up at random.

    Parameters
    ----------
    bits : int
        Binary digits of each result.
    seed : int
        Of the roundings.
    """

    def __init__(self, bits: int, seed: int = 0) -> None:
        self.lib = load().libmp
        self.bits = bits
        self.gap = 0
        self.tied = False
        self.lost = False
        self.coin: Callable[[], str] = cycle(random.Random(seed).choices("du", k=4099)).__next__
        self.one: Raw = self.lib.fone
        self.zero: Raw = self.lib.fzero
        self.nan: Raw = self.lib.fnan
        self.inf: Raw = self.lib.finf

    def note(self, gap: int) -> None:
        """Keep that a term stands ``gap`` bits below the one it is added to."""
        if gap > MOST_BITS:
            self.lost = True
        elif gap > self.gap:
            self.gap = gap

    def note_tie(self, x: Raw, y: Raw) -> None:
        """Keep that x and y, which are compared, differ by no more than rounding may do.

        What is compared with 0 is taken as a difference of numbers about 1. Should it be a small
        number of its own, it is not as small as rounding any more with other bits.
        """
        if x == y or not (self.is_finite(x) and self.is_finite(y)):
            return
        off = magnitude(self.lib.mpf_sub(x, y, _TIE)) + self.bits
        if x[1] and y[1]:
            self.tied |= off < max(magnitude(x), magnitude(y)) + _TIE
        else:
            self.tied |= -2 * _TIE < off < _TIE

    def is_finite(self, x: Raw) -> bool:
        return bool(x[1]) or not x[2]

    def infinity(self, sign: int) -> Raw:
        return self.lib.fninf if sign else self.inf

    def add(self, x: Raw, y: Raw) -> Raw:
        if x[1] and y[1]:
            gap = abs(x[2] + x[3] - y[2] - y[3])
            if gap > self.gap:
                self.note(gap)
        return self.lib.mpf_add(x, y, self.bits, self.coin())

    def sub(self, x: Raw, y: Raw) -> Raw:
        return self.add(x, self.lib.mpf_neg(y))

    def mul(self, x: Raw, y: Raw) -> Raw:
        return self.lib.mpf_mul(x, y, self.bits, self.coin())

    def div(self, x: Raw, y: Raw) -> Raw:
        if y == self.zero:
            return self.nan if x in (self.zero, self.nan) else self.infinity(x[0])
        return self.lib.mpf_div(x, y, self.bits, self.coin())

    def neg(self, x: Raw) -> Raw:
        return self.lib.mpf_neg(x)

    def abs(self, x: Raw) -> Raw:
        return self.lib.mpf_abs(x)

    def sign(self, x: Raw) -> Raw:
        self.note_tie(x, self.zero)
        return x if x == self.nan else self.lib.from_int(self.lib.mpf_sign(x))

    def square(self, x: Raw) -> Raw:
        return self.mul(x, x)

    def max(self, x: Raw, y: Raw) -> Raw:
        return self._pick(x, y, 1)

    def min(self, x: Raw, y: Raw) -> Raw:
        return self._pick(x, y, -1)

    def _pick(self, x: Raw, y: Raw, way: int) -> Raw:
        if self.nan in (x, y):
            return self.nan
        return x if self.lib.mpf_cmp(x, y) * way >= 0 else y

    def sum(self, terms: Sequence[Raw]) -> Raw:
        """Sum with one rounding at the end."""
        sizes = [magnitude(t) for t in terms if t[1]]
        if sizes:
            self.note(max(sizes) - min(sizes))
        return self.lib.mpf_sum(terms, self.bits, self.coin())

    def dot(self, x: Sequence[Raw], y: Sequence[Raw]) -> Raw:
        """Inner product with one rounding at the end."""
        exact = self.lib.mpf_mul
        return self.sum([exact(a, b) for a, b in zip(x, y, strict=True)])

    def rem(self, x: Raw, y: Raw) -> Raw:
        """Remainder with the sign of x."""
        if y == self.zero or not self.is_finite(x) or y == self.nan:
            return self.nan
        if not self.is_finite(y) or x == self.zero:
            return x
        if magnitude(x) - magnitude(y) > 4 * HUGE:
            return self.nan
        rest = self.lib.mpf_mod(self.abs(x), self.abs(y), self.bits, self.coin())
        return self.neg(rest) if x[0] else rest

    def floor(self, x: Raw) -> Raw:
        return self._to_integer(self.lib.mpf_floor, x)

    def ceil(self, x: Raw) -> Raw:
        return self._to_integer(self.lib.mpf_ceil, x)

    def truncate(self, x: Raw) -> Raw:
        return self.ceil(x) if x[0] else self.floor(x)

    def round_even(self, x: Raw) -> Raw:
        return self._to_integer(self.lib.mpf_nint, x, halves=True)

    def round_away(self, x: Raw) -> Raw:
        def away(x: Raw) -> Raw:
            up = self.lib.mpf_floor(self.lib.mpf_add(self.abs(x), self.lib.fhalf))
            return self.neg(up) if x[0] else up

        return self._to_integer(away, x, halves=True)

    def _to_integer(self, function: Callable[[Raw], Raw], x: Raw, halves: bool = False) -> Raw:
        if not self.is_finite(x) or x[2] >= 0:
            return x
        where = self.lib.mpf_shift(x, int(halves))  # where it jumps, at integers or halves
        self.note_tie(where, self.lib.mpf_nint(where))
        return function(x)
