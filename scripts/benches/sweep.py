"""Trainings of many settings in one program, against a loop over `jaxlr.train`."""

import argparse
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benches.many import table
from benches.measure import interleaved

ALPHAS, PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0), (0.0, 1e-3, 1e-2, 1e-1)


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``sweep``."""
    command = commands.add_parser("sweep", help="24 trainings in one program, and one by one")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--steps", type=int, default=50)
    command.add_argument("--size", type=int, nargs=2, default=(100_000, 50), metavar=("N", "D"))
    return {"sweep": run}


def run(arguments: argparse.Namespace) -> None:
    """Print a table for full batches and one for mini-batches."""
    import jax.numpy as jnp

    import jaxlr

    n, d = arguments.size
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=np.float32)
    y = (rng.random(n) < 1 / (1 + np.exp(-X[:, 0]))).astype(np.float32)
    X, y, start = jnp.asarray(X), jnp.asarray(y), jaxlr.zeros(d)
    members = [jaxlr.Member(*one) for one in itertools.product(ALPHAS, PENALTIES)]

    for size in (None, 256):
        settings: dict[str, Any] = {"steps": arguments.steps, "batch_size": size}

        def together(settings: dict[str, Any] = settings) -> list[Any]:
            return jaxlr.train_many(start, X, y, members, **settings)

        def alone(settings: dict[str, Any] = settings) -> list[Any]:
            return [
                jaxlr.train(start, X, y, jaxlr.plain(m.alpha), l2=m.l2, **settings) for m in members
            ]

        pairs = zip(together(), alone(), strict=True)
        off = max(float(abs(a.params.w - b.params.w).max()) for a, b in pairs)
        what = "all rows" if size is None else f"{size} rows"
        print(f"\n{len(members)} members, {n:,} x {d}, {arguments.steps} steps of {what}, float32")
        print(f"largest difference of a weight: {off:.1e}")
        runs: dict[str, Callable[[], object]] = {
            "jaxlr.train_many": together,
            "jaxlr.train, one by one": alone,
        }
        table(interleaved(runs, arguments.rounds), "jaxlr.train_many")
