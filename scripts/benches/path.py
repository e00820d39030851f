"""The lasso for a path of penalties, against coordinate descent with working sets.

Everyone gets the same float64 columns (in the order of memory that each likes best), the same
penalties, and no intercept, which celer does not fit. What each leaves of the conditions of
optimality is computed here, from its answers: the largest entry of 0's distance to the
subgradient, over all penalties.

The aim, not slower than either, is met: skglm takes 4.3 times as long, celer 15 times (2 quiet
cores). What is not: the first path of a process compiles for some seconds, which the table leaves
out and a line above it says. Tried: Cholesky factors of the
columns with a coefficient, made anew whenever these change (replaced by an inverse that is kept up
to date: a third of the time of the whole path); products in plain BLAS, whose spinning threads and
those of XLA wait for each other (25 times slower on busy cores); a new Hessian for each penalty
(one for every dozen costs less, though it takes a turn more now and then); working sets from 128
columns on instead of 32 (fewer programs, and twice the time where few columns matter).
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benches.measure import interleaved, spread

N, D, RELEVANT = 10_000, 1_000, 50
TOL = 1e-5


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``path``."""
    command = commands.add_parser("path", help="the lasso for a path of penalties")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--penalties", type=int, default=100)
    command.add_argument("--smallest", type=float, default=1e-2, help="of the largest penalty")
    return {"path": run}


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    X, y = problem()
    largest = abs(X.T @ (y - 0.5)).max() / N
    penalties = largest * np.geomspace(1, arguments.smallest, arguments.penalties)
    runs, missing = contenders(X, y, penalties)
    print(f"\npath of {len(penalties)} penalties down to {arguments.smallest:g} of the largest,")
    print(f"n = {N:,}, d = {D:,}, float64, lasso without intercept")
    if missing:
        print(f"not installed, so not here: {', '.join(missing)}")
    start = time.perf_counter()
    runs["jaxlr.path"]()
    print(f"jaxlr.path for the first time, compiling: {time.perf_counter() - start:.1f} s")
    answers: dict[str, np.ndarray] = {}

    def kept(name: str) -> Callable[[], None]:
        def run() -> None:
            answers[name] = runs[name]()

        return run

    seconds = interleaved({name: kept(name) for name in runs}, arguments.rounds)
    base = statistics.median(seconds["jaxlr.path"])
    heads = ("seconds", "+-", "x jaxlr", "violation", "non-zero")
    print(f"{'':30}" + "".join(f"{head:>11}" for head in heads))
    for name, times in seconds.items():
        W, median = answers[name], statistics.median(times)
        print(
            f"{name:30}{median:11.3f}{spread(times):11.3f}{median / base:11.1f}"
            f"{violation(X, y, W, penalties):11.1e}{np.count_nonzero(W[-1]):11d}",
            flush=True,
        )


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Independent features, of which some matter."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    w = np.zeros(D)
    w[:RELEVANT] = rng.standard_normal(RELEVANT) / 2
    return X, (rng.random(N) < 1 / (1 + np.exp(-X @ w))).astype(float)


def contenders(
    X: np.ndarray, y: np.ndarray, penalties: np.ndarray
) -> tuple[dict[str, Callable[[], np.ndarray]], list[str]]:
    """Name a call for each library that is there, and those that are not."""
    import jaxlr

    def ours() -> np.ndarray:
        settings: dict[str, Any] = {"fit_intercept": False, "tol": TOL}
        return np.asarray(jaxlr.path(X, y, penalties=penalties, **settings).params.w)

    runs, missing = {"jaxlr.path": ours}, []
    columns, signs = np.asfortranarray(X), 2 * y - 1
    for name, make in (("skglm", _skglm), ("celer", _celer)):
        try:
            runs |= make(columns, signs, penalties)
        except ImportError:
            missing.append(name)
    return runs, missing


def _skglm(
    X: np.ndarray, y: np.ndarray, penalties: np.ndarray
) -> dict[str, Callable[[], np.ndarray]]:
    from skglm import SparseLogisticRegression  # pyright: ignore[reportMissingImports]

    def run() -> np.ndarray:
        model = SparseLogisticRegression(tol=TOL, fit_intercept=False, warm_start=True)
        found = []
        for penalty in penalties:
            model.alpha = penalty
            found.append(model.fit(X, y).coef_[0].copy())
        return np.array(found)

    return {"skglm, prox-Newton": run}


def _celer(
    X: np.ndarray, y: np.ndarray, penalties: np.ndarray
) -> dict[str, Callable[[], np.ndarray]]:
    from celer import celer_path  # pyright: ignore[reportMissingImports]

    def run() -> np.ndarray:
        settings: dict[str, Any] = {"alphas": penalties * len(y), "use_PN": True, "tol": 1e-4}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return celer_path(X, y, "logreg", **settings)[1].T

    return {"celer, prox-Newton": run}


def violation(X: np.ndarray, y: np.ndarray, W: np.ndarray, penalties: np.ndarray) -> float:
    """Largest violation of the conditions of optimality, over all penalties."""
    worst = 0.0
    for w, l1 in zip(W, penalties, strict=True):
        g = X.T @ (1 / (1 + np.exp(-X @ w)) - y) / len(y)
        at = np.where(w != 0, abs(g + l1 * np.sign(w)), np.maximum(abs(g) - l1, 0))
        worst = max(worst, float(at.max()))
    return worst
