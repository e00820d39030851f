# ruff: noqa: D102 -- a method is the function that it is named for
"""Elementary and special functions of numbers of any precision.

Where a function approaches a number other than 0, exp at 0 or tanh at infinity, what is left is
a gap like that of two terms, and is noted as one. Out of a function's domain is nan, at a pole
the infinity or nan that NumPy gives there.
"""

from collections.abc import Callable

from jaxlr.check.exact.arithmetic import HUGE, MOST_BITS, Arithmetic, Raw, magnitude

_EXTRA = 20  # bits beyond those asked for, where several operations make one
_PER_E = 1.4427  # bits of a factor e


class Functions(Arithmetic):
    """Elementary and special functions; see ``Arithmetic``."""

    def _domain(self, function: Callable[..., Raw], x: Raw) -> Raw:
        try:
            return function(x, self.bits, self.coin())
        except (self.lib.ComplexResult, ValueError, ZeroDivisionError):
            return self.nan

    def _near_one(self, x: Raw, power: int = 1) -> None:
        """Note that the result is 1 + x^power or so, for small x."""
        if x[1] and magnitude(x) < 0:
            self.note(-power * magnitude(x))

    def _near_limit(self, x: Raw, factor: float, power: int = 1) -> None:
        """Note that the result is its limit + exp(-factor ``|x|``^power) or so, for large x."""
        if x[1] and magnitude(x) >= 14:
            self.lost = True
        elif x[1] and magnitude(x) > 0:
            self.note(int(factor * _PER_E * abs(self.lib.to_float(x)) ** power) + 1)

    def exp(self, x: Raw) -> Raw:
        if x[1] and magnitude(x) > HUGE:
            return self.zero if x[0] else self.inf
        self._near_one(x)
        return self.lib.mpf_exp(x, self.bits, self.coin())

    def exp2(self, x: Raw) -> Raw:
        return self.pow(self.lib.ftwo, x)

    def expm1(self, x: Raw) -> Raw:
        lib, bits = self.lib, self.bits + _EXTRA
        if not x[1] or magnitude(x) > HUGE:
            return x if x[2] in (0, -456, -123) else self._limit_of_expm1(x)
        if magnitude(x) < -bits:
            half_square = lib.mpf_shift(lib.mpf_mul(x, x), -1)
            return lib.mpf_add(x, half_square, self.bits, self.coin())
        if x[0]:
            self._near_limit(x, 1)
        e = lib.mpf_exp(x, bits + max(0, -magnitude(x)), self.coin())
        return lib.mpf_sub(e, lib.fone, self.bits, self.coin())

    def _limit_of_expm1(self, x: Raw) -> Raw:
        return self.lib.fnone if x[0] else self.inf

    def log(self, x: Raw) -> Raw:
        return self._domain(self.lib.mpf_log, x)

    def log1p(self, x: Raw) -> Raw:
        lib = self.lib
        if not x[1]:
            return self.nan if x[0] else x
        if magnitude(x) < -self.bits - _EXTRA:
            half_square = lib.mpf_shift(lib.mpf_mul(x, x), -1)
            return lib.mpf_sub(x, half_square, self.bits, self.coin())
        # Exact where it fits: log must see how far from 1 its argument is.
        wide = magnitude(x) > MOST_BITS
        return self.log(lib.mpf_add(x, lib.fone, self.bits if wide else 0, self.coin()))

    def logistic(self, x: Raw) -> Raw:
        lib, bits = self.lib, self.bits + _EXTRA
        if x[1] and magnitude(x) > HUGE:
            return self.zero if x[0] else self.one
        self._near_one(x)
        if not x[0]:
            self._near_limit(x, 1)
        e = lib.mpf_exp(lib.mpf_neg(x), bits, self.coin())
        return self.div(self.one, lib.mpf_add(self.one, e, bits, self.coin()))

    def tanh(self, x: Raw) -> Raw:
        if x[1] and magnitude(x) > HUGE:
            return self.lib.fnone if x[0] else self.one
        self._near_limit(x, 2)
        return self.lib.mpf_tanh(x, self.bits, self.coin())

    def sinh(self, x: Raw) -> Raw:
        if x[1] and magnitude(x) > HUGE:
            return self.infinity(x[0])
        return self.lib.mpf_sinh(x, self.bits, self.coin())

    def cosh(self, x: Raw) -> Raw:
        if x[1] and magnitude(x) > HUGE:
            return self.inf
        self._near_one(x, 2)
        return self.lib.mpf_cosh(x, self.bits, self.coin())

    def sin(self, x: Raw) -> Raw:
        return self._periodic(self.lib.mpf_sin, x)

    def cos(self, x: Raw) -> Raw:
        self._near_one(x, 2)
        return self._periodic(self.lib.mpf_cos, x)

    def tan(self, x: Raw) -> Raw:
        return self._periodic(self.lib.mpf_tan, x)

    def _periodic(self, function: Callable[..., Raw], x: Raw) -> Raw:
        if not self.is_finite(x) or (x[1] and magnitude(x) > HUGE):
            return self.nan
        return function(x, self.bits, self.coin())

    def asin(self, x: Raw) -> Raw:
        # 1 - x^2 is exact where it fits; mpmath's rounds it to few bits near |x| = 1.
        return self._from_sides(x, self.lib.mpf_atan2, swap=False)

    def acos(self, x: Raw) -> Raw:
        self._near_one(x)
        return self._from_sides(x, self.lib.mpf_atan2, swap=True)

    def _from_sides(self, x: Raw, atan2: Callable[..., Raw], swap: bool) -> Raw:
        lib = self.lib
        if not self.is_finite(x) or lib.mpf_gt(self.abs(x), self.one):
            return self.nan
        if x == self.zero and not swap:
            return x
        fits = not x[1] or magnitude(x) > -MOST_BITS
        rest = lib.mpf_sub(lib.fone, lib.mpf_mul(x, x), 0 if fits else self.bits)
        other = lib.mpf_sqrt(rest, self.bits + _EXTRA)
        sides = (other, x) if swap else (x, other)
        return atan2(*sides, self.bits, self.coin())

    def atan(self, x: Raw) -> Raw:
        if x[1] and magnitude(x) > 0:
            self.note(magnitude(x))
        return self.lib.mpf_atan(x, self.bits, self.coin())

    def atan2(self, y: Raw, x: Raw) -> Raw:
        if self.nan in (x, y):
            return self.nan
        if x[1] and y[1]:  # near pi / 2, and near pi where x < 0
            steep = magnitude(y) - magnitude(x)
            self.note(-steep if x[0] else steep)
            self.note(steep)
        return self.lib.mpf_atan2(y, x, self.bits, self.coin())

    def asinh(self, x: Raw) -> Raw:
        return self.lib.mpf_asinh(x, self.bits, self.coin())

    def acosh(self, x: Raw) -> Raw:
        return self._domain(self.lib.mpf_acosh, x)

    def atanh(self, x: Raw) -> Raw:
        return self._domain(self.lib.mpf_atanh, x)

    def sqrt(self, x: Raw) -> Raw:
        return self._domain(self.lib.mpf_sqrt, x)

    def rsqrt(self, x: Raw) -> Raw:
        return self.div(self.one, self.sqrt(x))

    def cbrt(self, x: Raw) -> Raw:
        if not x[1]:
            return x
        root = self.lib.mpf_cbrt(self.abs(x), self.bits, self.coin())
        return self.neg(root) if x[0] else root

    def pow(self, x: Raw, y: Raw) -> Raw:
        if y == self.zero or x == self.one:
            return self.one
        if self.nan in (x, y):
            return self.nan
        whole = bool(y[1]) and y[2] >= 0
        if whole and magnitude(y) <= 20:
            return self.integer_pow(x, self.lib.to_int(y))
        if x[0] and self.is_finite(x) and self.is_finite(y) and not whole:
            return self.nan
        if x[0] and not x[1] and whole and y[2] == 0:
            return self.neg(self.pow(self.inf, y)) if not y[0] else self.zero
        power = self._positive_pow(self.abs(x), y)
        return self.neg(power) if x[0] and x[1] and whole and y[2] == 0 else power

    def _positive_pow(self, x: Raw, y: Raw) -> Raw:
        lib = self.lib
        if not x[1] or not y[1]:
            return self._limit_of_pow(x, y)
        if magnitude(y) > HUGE:
            return self.exp(lib.mpf_mul(y, lib.mpf_log(x, self.bits)))
        size = max(0, magnitude(y)) + abs(magnitude(x)).bit_length() + _EXTRA
        return self.exp(lib.mpf_mul(y, lib.mpf_log(x, self.bits + size)))

    def _limit_of_pow(self, x: Raw, y: Raw) -> Raw:
        if x == self.one:  # of (-1)^inf, as C has it
            return self.one
        log = self.lib.mpf_log(x, self.bits)
        return self.exp(self.lib.mpf_mul(y, log))

    def integer_pow(self, x: Raw, n: int) -> Raw:
        if n < 0:
            return self.div(self.one, self.integer_pow(x, -n))
        return self.lib.mpf_pow_int(x, n, self.bits + _EXTRA, self.coin())

    def erf(self, x: Raw) -> Raw:
        self._near_limit(x, 1, 2)
        return self.lib.mpf_erf(x, self.bits, self.coin())

    def erfc(self, x: Raw) -> Raw:
        if x[1] and magnitude(x) > HUGE // 2:
            return self.lib.ftwo if x[0] else self.zero
        self._near_one(x)
        if x[0]:
            self._near_limit(x, 1, 2)
        elif x[1] and magnitude(x) > HUGE // 4:  # mpmath's would take x to a float
            return self._erfc_far(x)
        return self.lib.mpf_erfc(x, self.bits, self.coin())

    def _erfc_far(self, x: Raw) -> Raw:
        """Two terms of the asymptotic series, density / 2x (1 - 1 / 2x^2)."""
        lib, bits = self.lib, self.bits + HUGE
        first = lib.mpf_div(self._density(x, bits), lib.mpf_shift(x, 1), bits)
        second = lib.mpf_div(first, lib.mpf_shift(lib.mpf_mul(x, x), 1), bits)
        return lib.mpf_sub(first, second, self.bits, self.coin())

    def digamma(self, x: Raw) -> Raw:
        return self._domain(self.lib.mpf_psi0, x)

    def lgamma(self, x: Raw) -> Raw:
        """Logarithm of ``|gamma(x)|``."""
        lib, bits = self.lib, self.bits + _EXTRA
        if not self.is_finite(x):
            return self.abs(x)
        if x == self.zero or (x[0] and x[2] >= 0):
            return self.inf
        if not x[0]:
            return lib.mpf_loggamma(x, self.bits, self.coin())
        wave = lib.mpf_abs(lib.mpf_sin_pi(x, bits))
        reflected = lib.mpf_log(lib.mpf_div(lib.mpf_pi(bits), wave, bits), bits)
        other = lib.mpf_loggamma(lib.mpf_sub(lib.fone, x, bits), bits)
        return lib.mpf_sub(reflected, other, self.bits, self.coin())

    def erf_inv(self, x: Raw) -> Raw:
        """Inverse of erf, by Newton on log erfc in the tail and on erf elsewhere."""
        lib = self.lib
        size = self.abs(x)
        if x == self.zero or x == self.nan or lib.mpf_gt(size, self.one):
            return x if x == self.zero else self.nan
        if size == self.one:
            return self.infinity(x[0])
        if magnitude(x) < -self.bits:
            slope = lib.mpf_sqrt(lib.mpf_pi(self.bits + _EXTRA), self.bits + _EXTRA)
            return lib.mpf_mul(x, lib.mpf_shift(slope, -1), self.bits, self.coin())
        tail = lib.mpf_sub(lib.fone, size)
        root = self._solve_tail(tail) if magnitude(size) >= 0 else self._solve_center(size)
        root = lib.mpf_pos(root, self.bits, self.coin())
        return self.neg(root) if x[0] else root

    def _solve_tail(self, tail: Raw) -> Raw:
        """Root of log erfc(y) = log(tail): concave, so Newton from the left arrives."""
        lib, bits = self.lib, self.bits + 2 * _EXTRA
        target = lib.mpf_log(tail, bits)
        guess = max(0.4, (max(0.0, -lib.to_float(target) - 2) / 1.1) ** 0.5)
        y = lib.from_float(guess)
        for _ in range(200):
            c = lib.mpf_erfc(y, bits)
            density = self._density(y, bits)
            miss = lib.mpf_sub(lib.mpf_log(c, bits), target, bits)
            y, step = self._newton(y, lib.mpf_div(lib.mpf_mul(miss, c, bits), density, bits), 1)
            if step:
                break
        return y

    def _solve_center(self, size: Raw) -> Raw:
        lib, bits = self.lib, self.bits + 2 * _EXTRA
        y = size
        for _ in range(200):
            miss = lib.mpf_sub(lib.mpf_erf(y, bits - min(0, magnitude(y))), size, bits)
            y, step = self._newton(y, lib.mpf_div(miss, self._density(y, bits), bits), -1)
            if step:
                break
        return y

    def _density(self, y: Raw, bits: int) -> Raw:
        """Return the derivative of erf."""
        lib = self.lib
        bell = lib.mpf_exp(lib.mpf_neg(lib.mpf_mul(y, y)), bits)
        return lib.mpf_div(lib.mpf_shift(bell, 1), lib.mpf_sqrt(lib.mpf_pi(bits), bits), bits)

    def _newton(self, y: Raw, step: Raw, way: int) -> tuple[Raw, bool]:
        """Return y moved by the step, and whether that was the last."""
        lib = self.lib
        move = lib.mpf_add if way > 0 else lib.mpf_sub
        moved = move(y, step, self.bits + 2 * _EXTRA)
        small = not step[1] or magnitude(step) < magnitude(y) - self.bits - _EXTRA // 2
        return moved, small
