"""Right derivatives, many seeds, every type: none of them may be called wrong.

    scripts/alarms.py [--checks 10000]

Judges the right rules of tests/zoo and float32 sums of up to a million terms with
`check_derivatives` at level quick, a new input and new randomness each time, and prints how many
were not found right; how far it is goes to the standard error. Exits 1 if any was not. Sums of
100,000 terms and more take every tenth seed.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from zoo import SPECIES, rule  # pyright: ignore[reportMissingImports]

from jaxlr.check import Verdict, check_derivatives
from jaxlr.check.derivative import derivatives

DTYPES = ("float64", "float32", "bfloat16", "float16")
SUMS = (1, 7, 1000, 100_000, 1_000_000)
LARGE, EVERY = 100_000, 10  # of sums so long, only every tenth seed
ROWS = 9

# Nothing is replaced between two checks here, so what is judged need not be compiled again.
derivatives.programs = lru_cache(maxsize=None)(derivatives.programs)  # pyright: ignore


def main() -> int:
    """Run the checks, print those that failed, and a line for each function."""
    parser = argparse.ArgumentParser(description="right derivatives, many seeds")
    parser.add_argument("--checks", type=int, default=10_000)
    wanted = parser.parse_args().checks
    kinds = list(_kinds())
    found: Counter[tuple[str, str]] = Counter()
    begun, done, numbers = time.perf_counter(), 0, 0
    for seed in count():
        if done >= wanted:
            break
        for name, dtype, ask in (kind[:3] for kind in kinds if seed % kind[3] == 0):
            with jax.enable_x64(dtype == "float64"):
                report = ask(seed)
            done, numbers = done + 1, numbers + report.comparisons
            if report.verdict is not Verdict.PASS:
                found[name, dtype] += 1
                print(f"{name}, {dtype}, seed {seed}: {report.summary()}", flush=True)
        seconds = time.perf_counter() - begun
        print(f"seed {seed}: {done:,} checks, {seconds:.0f} s", file=sys.stderr, flush=True)
    print(f"{done:,} checks of {len(kinds)} pairs of function and type, {numbers:,} numbers")
    print(f"{sum(found.values())} not found right, {time.perf_counter() - begun:.0f} s")
    return bool(found)


def _kinds() -> Iterator[tuple[str, str, Callable[[int], Any], int]]:
    """Name, type, check for a seed, and of how many seeds one is taken."""
    for name, species in SPECIES.items():
        by_hand = rule(species)
        argnums = [i for i, yes in enumerate(species.differentiable) if yes]
        vary = [i for i, yes in enumerate(species.stretched) if yes]
        for dtype in DTYPES:

            def ask(
                seed: int,
                species: Any = species,
                f: Any = by_hand,
                dtype: str = dtype,
                argnums: Any = argnums,
                vary: Any = vary,
            ) -> Any:
                args = species.sample(np.random.default_rng(seed), ROWS, jnp.dtype(dtype))
                return check_derivatives(
                    f, *args, reference=species.twin, argnums=argnums, vary=vary,
                    level="quick", seed=seed,
                )  # fmt: skip

            yield name, dtype, ask, 1
    for name, (f, reference) in {"sum of squares": _squares(), "logsumexp": _logsumexp()}.items():
        for n in SUMS:

            def ask_sum(seed: int, f: Any = f, reference: Any = reference, n: int = n) -> Any:
                x = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
                return check_derivatives(f, x, reference=reference, level="quick", seed=seed)

            yield f"{name} of {n:,}", "float32", ask_sum, EVERY if n >= LARGE else 1


def _squares() -> tuple[Any, Any]:
    @jax.custom_vjp
    def squares(x: Any) -> Any:
        return jnp.sum(x * x) ** 2

    squares.defvjp(lambda x: (squares(x), x), lambda x, c: (4 * c * jnp.sum(x * x) * x,))
    return squares, lambda x: jnp.sum(x * x) ** 2


def _logsumexp() -> tuple[Any, Any]:
    @jax.custom_vjp
    def logsumexp(x: Any) -> Any:
        return jax.nn.logsumexp(x)

    logsumexp.defvjp(
        lambda x: (logsumexp(x), x),
        lambda x, c: (c * jnp.exp(x - jnp.max(x)) / jnp.sum(jnp.exp(x - jnp.max(x))),),
    )
    return logsumexp, jax.nn.logsumexp


if __name__ == "__main__":
    sys.exit(main())
