"""Every float32 there is: how far the scalar pieces of `jaxlr.core` are from the truth.

    .venv/bin/python scripts/float32.py --stride 10007    # a quick look
    .venv/bin/python scripts/float32.py --every           # all of them; docs/float32.md has it

The pieces are a, 1 - a, L, da, dz and d2z, as compiled code makes them: `core` mapped over z
under `jit`, with the labels as data. Every finite z of float32, bfloat16 and float16 is tried,
of both signs, zeros and denormals among them; what comes of the infinities is printed apart.

The truth is computed in float64 from formulas of its own (`truths`). mpmath holds it to 0.01 units
in the last place (ULP) of the type judged, on random z and where the pieces are worst.

ULP are those of `jaxlr.check.ulp`: XLA flushes what lies below the smallest normal number to 0,
and that is no error; neither is an infinity in place of what the type cannot hold. dz and da of a
soft label are sums that cancel: their budget is in ULP of the absolute values of their terms.
Exit code 1: a piece is beyond its budget in `jaxlr.check.nodes`, or the truth is not to be trusted.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import mpmath
import numpy as np
from jax import Array
from scipy.special import expit, log_expit

from jaxlr import core
from jaxlr.check.nodes import ULP_BUDGETS

LABELS = (0.0, 1.0, 0.25)
SOFT = LABELS[2]
LOGIT = (-1.0986122886681098, 9.07129723500153e-17)  # of SOFT, -log 3, in two parts
BLOCK, PART = 2**19, 2**14  # numbers for a call of compiled code, and for one of NumPy's, in cache
MIDDLE = (2.0**-14, 200.0)  # |z| between which the pieces change: means are taken there
ORACLE_ULP = 0.01
_EXPONENT = np.float64(np.inf).view(np.int64)  # its bits in float64
SAMPLE = 150  # random z at which the truth is compared with mpmath


class Format(NamedTuple):
    """A floating-point type: its bits as integers, and its limits."""

    name: str
    bits: type[np.unsignedinteger]
    infinity: int
    eps: float
    tiny: float
    max: float

    @property
    def dtype(self) -> np.dtype:
        """The type itself."""
        return np.dtype(self.name)


def format_of(name: str) -> Format:
    """Look up the limits of a type."""
    info, bits = ml_dtypes.finfo(name), np.uint32 if name == "float32" else np.uint16
    infinity = int(np.array(np.inf, np.dtype(name)).view(bits))
    return Format(name, bits, infinity, float(info.eps), float(info.tiny), float(info.max))


class Truth(NamedTuple):
    """One piece at ``z = sign u``: its values, and what they are measured by.

    ``rising`` is the sign of its derivative by u. Where it is a sum that cancels, ``terms`` are the
    absolute values of what is added, added up. Where ``early``, it may be infinite already.
    """

    name: str
    value: np.ndarray
    rising: np.ndarray | int
    terms: np.ndarray | None = None
    early: np.ndarray | None = None


def truths(u: np.ndarray, sign: int) -> Iterator[Truth]:
    """Every piece at ``z = sign u``, in float64, by formulas that are not those of `core`.

    ``expit`` and ``log_expit`` are SciPy's, each right to a few ULP of float64, and what is made of
    them are products, quotients and sums of one sign. With a soft label, dz is 0 at z0 = logit y,
    where ``(1 - y) a - y (1 - a)`` would cancel; with t = z - z0 it is also
    ``y (1 - y) expm1(t) / (1 + y expm1(t))``, where nothing does, for z - z0 is exact nearby.
    """
    far, near = expit(u), expit(-u)
    a, b = (far, near) if sign > 0 else (near, far)
    L_far, L_near = -log_expit(-u), -log_expit(u)
    L0, L1 = (L_far, L_near) if sign > 0 else (L_near, L_far)
    d2z, dz = a * b, _soft_slope(sign * u)
    yield Truth("a", a, sign)
    yield Truth("1 - a", b, -sign)
    yield Truth("d2z", d2z, -1)
    yield Truth("L, y = 0", L0, sign)
    yield Truth("L, y = 1", L1, -sign)
    yield Truth("L, y = 1/4", (1 - SOFT) * L0 + SOFT * L1, sign * np.sign(dz))
    yield Truth("dz, y = 0", a, sign)
    yield Truth("dz, y = 1", -b, sign)
    yield Truth("dz, y = 1/4", dz, sign, (1 - SOFT) * a + SOFT * b)
    da0, da1 = 1 / b, 1 / a
    yield Truth("da, y = 0", da0, sign)
    yield Truth("da, y = 1", -da1, sign)
    # The label scales its term down only when exp(|z|) has already overflowed.
    early = np.maximum(da0, da1) > np.finfo(np.float32).max
    yield Truth("da, y = 1/4", dz / d2z, sign, (1 - SOFT) * da0 + SOFT * da1, early)


def _soft_slope(z: np.ndarray) -> np.ndarray:
    t = (z - LOGIT[0]) - LOGIT[1]
    m = np.expm1(-abs(t))  # where t > 0, of the mirror image: -z with label 1 - y
    y = np.where(t > 0, 1 - SOFT, SOFT)
    return -np.sign(t) * SOFT * (1 - SOFT) * m / (1 + y * m)


def exact(name: str, z: float) -> mpmath.mpf:
    """One piece by mpmath: the lesson's line for it, with digits enough for what cancels.

    a rounds to 1 from z = 230 on; what that loses lies far below what any type here can hold.
    """
    piece, _, label = name.partition(", y = ")
    y = mpmath.mpf({"": 0, "0": 0, "1": 1, "1/4": SOFT}[label])
    with mpmath.workdps(100):
        a, b = 1 / (1 + mpmath.exp(-mpmath.mpf(z))), 1 / (1 + mpmath.exp(mpmath.mpf(z)))
        return {
            "a": lambda: a,
            "1 - a": lambda: b,
            "d2z": lambda: a * b,
            "L": lambda: -y * mpmath.log(a) - (1 - y) * mpmath.log(b),
            "dz": lambda: a - y if y == SOFT else (1 - y) * a - y * b,
            "da": lambda: -y / a + (1 - y) / b,
        }[piece]()


@jax.jit
def by_hand(z: Array, labels: Array) -> dict[str, Array]:
    """Every piece by `core`, for z (m,) in any type, with labels (3,) as data."""

    def of_one(z: Array) -> dict[str, Array]:
        params, x = core.Params(jnp.ones(1, z.dtype), jnp.zeros((), z.dtype)), z[None]
        cache = core.forward(params, x, labels[0])[1]
        found = {
            "a": core.probability(params, x),
            "1 - a": cache.q / (cache.p + cache.q),
            "d2z": core.curvature(cache),
        }
        for i, label in enumerate(("0", "1", "1/4")):
            nodes = core.trace(params, x, labels[i])
            for name in ("L", "dz", "da"):
                found[f"{name}, y = {label}"] = getattr(nodes, name)
        return {name: v.astype(z.dtype) for name, v in found.items()}

    return jax.vmap(of_one)(z)


@dataclass
class Tally:
    """What is known of one piece; ``beyond`` counts what is off by more than 1/2, 1 and 2 ULP.

    ``total`` is the sum of the ULP of the ``middle`` numbers in MIDDLE. ``relative`` is the worst
    in ULP of the value itself where ``worst`` is in ULP of its terms.
    """

    numbers: int = 0
    worst: float = -1.0
    z: float = 0.0
    total: float = 0.0
    middle: int = 0
    beyond: tuple[int, ...] = (0, 0, 0)
    infinite: int = 0
    reversals: int = 0
    relative: float = 0.0

    def add(self, other: "Tally") -> None:
        """Take in what other numbers gave."""
        if other.worst > self.worst:
            self.worst, self.z = other.worst, other.z
        self.relative = max(self.relative, other.relative)
        self.beyond = tuple(map(sum, zip(self.beyond, other.beyond, strict=True)))
        for name in ("numbers", "total", "middle", "infinite", "reversals"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def unit(sizes: np.ndarray, form: Format) -> np.ndarray:
    """`jaxlr.check.ulp.unit`, by cutting the fraction off float64: much faster."""
    sizes = np.maximum(sizes, form.tiny)
    return (sizes.view(np.int64) & _EXPONENT).view(np.float64) * form.eps


def distance(hand: np.ndarray, true: Truth, form: Format) -> np.ndarray:
    """`jaxlr.check.ulp.distance`, in units of the terms of a sum."""
    value = true.value
    size = abs(value)
    off = abs(hand - value) / unit(size if true.terms is None else true.terms, form)
    if not (np.isfinite(hand).all() and size.min() > form.tiny and size.max() <= form.max):
        fine = np.maximum(abs(hand), size) <= form.tiny
        fine |= np.isinf(hand) & (hand * value > 0) & (size > form.max)
        if true.early is not None:
            fine |= true.early & (hand * value == np.inf)
        off[fine] = 0
        off[np.isnan(off)] = np.inf
    return off


def judge(true: Truth, u: np.ndarray, sign: int, hand: np.ndarray, form: Format) -> Tally:
    """Measure one piece; ``hand`` has the next number too, where there is one to compare with."""
    rising = true.rising if isinstance(true.rising, int) else true.rising[: len(hand) - 1]
    reversals = int(np.count_nonzero((hand[1:] - hand[:-1]) * rising < 0))
    found = hand[: len(u)].astype(np.float64)
    off = distance(found, true, form)
    at = int(np.argmax(off))
    worst, relative = float(off[at]), 0.0
    if true.terms is not None:
        size = unit(true.terms, form) / unit(abs(true.value), form)
        relative = float(np.nan_to_num(off * size, posinf=np.inf).max())
    infinite = int(np.count_nonzero(~np.isfinite(found) & (abs(true.value) <= form.max)))
    first, last = np.searchsorted(u, MIDDLE)
    return Tally(
        len(u), worst, sign * float(u[at]), float(off[first:last].sum()), int(last - first),
        tuple(int(np.count_nonzero(off > k)) if worst > k else 0 for k in (0.5, 1, 2)),
        infinite, reversals, relative,
    )  # fmt: skip


def judge_block(form: Format, stride: int, start: int) -> dict[str, Tally]:
    """Every piece at BLOCK numbers of each sign, the first of them number ``start``."""
    stop = min(start + BLOCK + 1, -(-form.infinity // stride))
    u = (np.arange(start, stop) * stride).astype(form.bits).view(form.dtype)
    labels = jnp.asarray(LABELS, form.dtype)
    found: dict[str, Tally] = {}
    with np.errstate(all="ignore"):
        for sign in (1, -1):
            hand = {k: np.asarray(v) for k, v in by_hand(jnp.asarray(sign * u), labels).items()}
            for i in range(0, min(len(u), BLOCK), PART):
                part = u[i : min(i + PART, BLOCK)].astype(np.float64)
                for true in truths(part, sign):
                    tally = judge(true, part, sign, hand[true.name][i : i + PART + 1], form)
                    found.setdefault(true.name, Tally()).add(tally)
    return found


def sweep(form: Format, stride: int, threads: int) -> dict[str, Tally]:
    """Every ``stride``-th number of a type, of both signs."""
    found: dict[str, Tally] = {}
    starts = range(0, -(-form.infinity // stride), BLOCK)
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for i, block in enumerate(pool.map(partial(judge_block, form, stride), starts)):
            for name, tally in block.items():
                found.setdefault(name, Tally()).add(tally)
            if i % 64 == 63:
                seconds = time.perf_counter() - begin
                print(f"{i + 1} of {len(starts)} blocks, {seconds:.0f} s", file=sys.stderr)
    return found


def budget_of(name: str, form: Format) -> float:
    """ULP that a piece may be off: those of float32, and in half precision one rounding more."""
    piece = name.partition(",")[0]
    budget = ULP_BUDGETS["float32"]["a" if piece == "1 - a" else piece]
    narrow = float(np.finfo(np.float32).eps) / form.eps
    return budget if form.name == "float32" else 0.5 + budget * narrow


def oracle_error(form: Format, found: dict[str, Tally]) -> tuple[float, str]:
    """Worst distance of the truth from mpmath in ULP, and where."""
    rng, worst = np.random.default_rng(0), (0.0, "nowhere")
    sample = np.concatenate(
        [
            rng.integers(0, form.infinity, SAMPLE).astype(form.bits).view(form.dtype),
            rng.uniform(0, 100, SAMPLE).astype(form.dtype),
            np.float64(-LOGIT[0]).astype(form.dtype) * (1 + rng.integers(-4, 5, 9) * form.eps),
            [abs(tally.z) for tally in found.values()],
        ],
        dtype=np.float64,
    )
    u = np.unique(sample.astype(form.dtype).astype(np.float64))
    for sign in (1, -1):
        with np.errstate(all="ignore"):
            trues = list(truths(u, sign))
        for true in trues:
            for size, value in zip(u.tolist(), true.value.tolist(), strict=True):
                here = exact(true.name, sign * size)
                if form.tiny <= abs(here) <= form.max:
                    off = float(abs(value - here) / float(unit(np.array([abs(value)]), form)[0]))
                    worst = max(worst, (off, f"{true.name} at z = {sign * size!r}"))
    return worst


def print_table(form: Format, found: dict[str, Tally]) -> None:
    """Print one line for each piece."""
    print(
        f"{'':12}{'worst ULP':>10}{'at z':>17}{'budget':>9}{'mean':>8}{'> 1/2':>14}{'> 1':>14}"
        f"{'> 2':>12}{'not finite':>12}{'reversals':>11}"
    )
    for name, t in found.items():
        beyond = f"{t.beyond[0]:14,}{t.beyond[1]:14,}{t.beyond[2]:12,}"
        note = f"   ({t.relative:.3g} of itself)" if t.relative else ""
        print(
            f"{name:12}{t.worst:10.3f}{t.z:17.9g}{budget_of(name, form):9.5g}"
            f"{t.total / max(t.middle, 1):8.4f}{beyond}{t.infinite:12,}{t.reversals:11,}{note}"
        )


def print_infinities(form: Format, names: Iterable[str]) -> None:
    """Print what the compiled code makes of infinite z."""
    z = jnp.asarray([np.inf, -np.inf], form.dtype)
    found = by_hand(z, jnp.asarray(LABELS, form.dtype))
    for i, z in enumerate(("+inf", "-inf")):
        print(f"z = {z}: " + ";  ".join(f"{name}: {float(found[name][i]):g}" for name in names))


def main() -> int:
    """Sweep every type, print a table for each, and say whether all is within its budget."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--every", action="store_true", help="every float32")
    which.add_argument("--stride", type=int, help="every N-th float32, and every half", metavar="N")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.default_backend()}, {platform.machine()}")
    failed = False
    for name, stride in (("bfloat16", 1), ("float16", 1), ("float32", arguments.stride or 1)):
        form, begin = format_of(name), time.perf_counter()
        found = sweep(form, stride, arguments.threads)
        seconds = time.perf_counter() - begin
        print(f"\n{name}: {found['a'].numbers:,} finite z, {seconds:.0f} s")
        print_table(form, found)
        print_infinities(form, found)
        error, where = oracle_error(form, found)
        print(f"truth against mpmath: at most {error:.1e} ULP off ({where})")
        over = [k for k, t in found.items() if not t.worst <= budget_of(k, form)]
        print(f"beyond the budget: {'; '.join(over) or 'nothing'}", flush=True)
        failed |= bool(over) or error > ORACLE_ULP
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
