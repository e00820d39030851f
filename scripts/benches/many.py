"""Many models in one call, against loops over single fits.

What is missed: the aims were 25 times LogisticRegressionCV on two processes and 30 times a loop
over 1,000 data sets; measured were 5 and 3 to 5. Why: both run near what two cores can multiply.
A read for 50 models of 100 columns is two products of 50 x 100 x 100,000 at 70 GFLOP/s, which
alone is 0.03 s, and the Hessians of 50 models take a quarter of the time; a data set of 1,000 x 20
is five reads of 30 us and one tenth of a millisecond for checks, copies and scales, where
scikit-learn takes 1.6 ms. Tried: several data sets at once in one product (slower than one after
the other), all models of a sample as one product with the outer products of its rows (slower), half
of each symmetric product (no gain below 256 columns), smaller and larger samples (the same time),
threads (1.6 times faster, in use), Newton compiled whole for each data set (1.5 times faster, in
use).
"""

import argparse
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benches.measure import interleaved, spread

FOLDS, PENALTIES = 5, 10


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``many``."""
    command = commands.add_parser("many", help="folds x penalties, and many small data sets")
    command.add_argument("--rounds", type=int, default=5)
    return {"many": run}


def run(arguments: argparse.Namespace) -> None:
    """Print both tables."""
    folds_and_penalties(arguments.rounds)
    data_sets(arguments.rounds)


def folds_and_penalties(rounds: int, n: int = 100_000, d: int = 100) -> None:
    """5 folds x 10 penalties on one data set."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold

    import jaxlr

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=np.float32)
    w = rng.standard_normal(d) / np.sqrt(d)
    y = (rng.random(n) < 1 / (1 + np.exp(0.3 - X @ w))).astype(np.float32)
    l2 = np.logspace(-6, 0, PENALTIES)
    fold = np.empty(n, np.int32)
    splits = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(X, y))
    for f, (_, out) in enumerate(splits):
        fold[out] = f
    Cs = 1 / (l2 * n * (1 - 1 / FOLDS))

    def theirs(solver: str, jobs: int) -> Callable[[], object]:
        def run() -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                settings: dict[str, Any] = {"Cs": Cs, "cv": splits, "l1_ratios": (0,)}
                settings |= {"use_legacy_attributes": False, "scoring": "neg_log_loss"}
                settings |= {"solver": solver, "tol": 1e-5, "max_iter": 500, "n_jobs": jobs}
                return LogisticRegressionCV(**settings).fit(X, y)

        return run

    def check(fits: Any) -> float:
        worst = 0.0
        for k in range(FOLDS * PENALTIES):
            rows = fold != k // PENALTIES
            z = X[rows] @ fits.params.w[k] + fits.params.b[k]
            dz = (1 / (1 + np.exp(-z.astype(float))) - y[rows]) / rows.sum()
            g = dz @ X[rows] + l2[k % PENALTIES] * fits.params.w[k]
            worst = max(worst, abs(g).max(), abs(dz.sum()))
        return worst

    left_out = np.repeat(np.arange(FOLDS), PENALTIES)
    ours = {
        "jaxlr.fit_many": lambda: jaxlr.fit_many(
            X, y, l2=np.tile(l2, FOLDS), folds=(fold, left_out)
        ),
        "jaxlr.cross_validate": lambda: jaxlr.cross_validate(X, y, l2=l2, folds=fold),
    }
    peers = {
        f"LogisticRegressionCV {solver}, n_jobs={jobs}": theirs(solver, jobs)
        for solver, jobs in (("lbfgs", 2), ("newton-cholesky", 2))
    }
    print(f"\n{FOLDS} folds x {PENALTIES} penalties, n = {n:,}, d = {d}, float32")
    worst = check(ours["jaxlr.fit_many"]())
    print(f"largest gradient entry of the 50 fits of jaxlr, recomputed: {worst:.1e}")
    table(interleaved({**ours, **peers}, rounds), "jaxlr.fit_many")


def data_sets(rounds: int, K: int = 1000, n: int = 1000, d: int = 20) -> None:
    """1,000 separate data sets."""
    from sklearn.linear_model import LogisticRegression

    import jaxlr

    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, d), dtype=np.float32) for _ in range(K)]
    w = rng.standard_normal((K, d)) / np.sqrt(d)
    y = [
        (rng.random(n) < 1 / (1 + np.exp(-x @ v))).astype(float) for x, v in zip(X, w, strict=True)
    ]

    def theirs(solver: str) -> Callable[[], object]:
        def run() -> object:
            model = LogisticRegression(C=np.inf, solver=solver, tol=1e-6, max_iter=1000)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return [model.fit(*one).coef_ for one in zip(X, y, strict=True)]

        return run

    print(f"\n{K:,} data sets of {n:,} x {d}, float32, no penalty")
    fits = jaxlr.fit_many(X, y)
    print(f"largest gradient entry: {max(c.raw_gradient for c in fits.certificates):.1e}")
    runs = {
        "jaxlr.fit_many": lambda: jaxlr.fit_many(X, y),
        "scikit-learn newton-cholesky, loop": theirs("newton-cholesky"),
        "scikit-learn lbfgs, loop": theirs("lbfgs"),
    }
    table(interleaved(runs, rounds), "jaxlr.fit_many")


def table(seconds: dict[str, list[float]], against: str) -> None:
    """Print medians, spreads and ratios."""
    median = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{'':42}{'seconds':>9}{'+-':>8}{'x jaxlr':>9}")
    for name, times in seconds.items():
        ratio = median[name] / median[against]
        print(f"{name:42}{median[name]:9.3f}{spread(times):8.3f}{ratio:9.1f}", flush=True)
