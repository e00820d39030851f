"""Sparse X: products both ways beside SciPy's, and one model to the optimum beside scikit-learn.

Rows have 30 entries, columns as many as words have in a language: a few are in most rows, most in
a few. Each row is about one of 50 topics, so that columns are correlated. The gradient is the
largest entry by w and b, recomputed with SciPy in float64 for all contenders; a contender that does
not reach the target in two minutes is given no tighter tolerance.

On 2 quiet cores, 1,000,000 x 100,000: newton-cg takes 8.8 times as long to 1e-6, sag 12.9 times
(lbfgs, liblinear and saga were left out of that run); both products take about half of SciPy's
time, and a fit at most 2.15 times X in memory beside X (aim: about twice). On busy cores, 300,000 x
30,000: peers that reach 1e-6 take 13 times as long (newton-cg, liblinear) and 22 times (lbfgs); sag
and saga stop at 4e-6 and 1e-5 after 4 and 3 times. X in memory takes 2.2 times its CSR. A third of
a fit and more is the layout.

What was tried for the products: compiled loops over 16 or 32 entries at once (2 to 3 times slower
than 8 and 8); `segment_sum` over the chunks (about as long as the products themselves); chunks line
by line (where w or dz do not fit into a core's cache, twice as slow as in the order of the blocks
of it that they read); K numbers side by side for K models (both products together take 0.8 to 1.4
times as long as one after the other for 4 to 10 models, for 16 of them 0.9 times in float64 and
0.6 in float32, in CPU time at 300,000 x 30,000). For the way to the optimum: Newton's method by
conjugate gradients, with the diagonal of the Hessian as preconditioner, takes 18 to 27 reads where
L-BFGS with that diagonal takes 14 to 17.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benches.fit import Answer
from benches.measure import in_a_process, interleaved, memory_bytes, spread

SIZES = [(300_000, 30_000), (1_000_000, 100_000)]
ENTRIES, TOPICS = 30, 50
TARGET = 1e-6
SECONDS = 120  # after which no contender is given a tighter tolerance, or run again
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
OURS = "jaxlr"
SOLVERS = ("lbfgs", "newton-cg", "liblinear", "sag", "saga")


class Problem(NamedTuple):
    """Rows in SciPy's CSR, labels and penalty."""

    X: Any
    y: np.ndarray
    l2: float


class Chosen(NamedTuple):
    """The tolerance of a contender, what it reaches with it, and how long that took once."""

    tol: float
    gradient: float
    objective: float
    reads: float
    seconds: float


Solver = Callable[[Problem, float], Answer]


def make_problem(n: int, d: int, dtype: str) -> Problem:
    """Rows of heavy-tailed columns, half of their entries from the row's topic."""
    from scipy import sparse

    rng = np.random.default_rng(0)
    share = 1 / (np.arange(d) + 10.0) ** 0.9
    below = np.cumsum(share / share.sum())
    rank = np.minimum(np.searchsorted(below, rng.random(n * ENTRIES)), d - 1)
    names = np.stack([rng.permutation(d) for _ in range(TOPICS + 1)]).astype(np.int32)
    topic = np.where(np.arange(ENTRIES) < ENTRIES // 2, rng.integers(1, TOPICS + 1, (n, 1)), 0)
    column = names[topic.ravel(), rank]
    del rank, topic
    value = np.exp(0.5 * rng.standard_normal(n * ENTRIES)).astype(dtype)
    pointer = np.arange(n + 1, dtype=np.int32) * ENTRIES
    X = sparse.csr_array((value, column, pointer), shape=(n, d))
    X.sum_duplicates()
    z = X @ (rng.standard_normal(d) * 2 / np.sqrt(1.6 * ENTRIES))
    y = (rng.random(n) < 1 / (1 + np.exp(z.mean() - z))).astype(np.float64)
    return Problem(X, y, 1 / n)


def ours(problem: Problem, tol: float) -> Answer:
    """Fit with jaxlr."""
    import jaxlr

    fit = jaxlr.fit(problem.X, problem.y, l2=problem.l2, tol=tol)
    return Answer(np.asarray(fit.params.w), float(fit.params.b), fit.certificate.reads)


def by_sklearn(solver: str) -> Solver:
    """One of scikit-learn's solvers."""

    def run(problem: Problem, tol: float) -> Answer:
        from sklearn.linear_model import LogisticRegression

        C = 1 / (problem.l2 * len(problem.y))
        model = LogisticRegression(C=C, solver=solver, tol=tol, max_iter=1000, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(problem.X, problem.y)
        return Answer(np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]), np.nan)

    return run


def contenders() -> dict[str, Solver]:
    """Solvers that can run here, ours first."""
    return {OURS: ours, **{f"scikit-learn {name}": by_sklearn(name) for name in SOLVERS}}


def optimality(problem: Problem, answer: Answer) -> tuple[float, float]:
    """Largest entry of the gradient by w and b, and the objective, in SciPy and float64."""
    X, y, l2 = problem.X.astype(np.float64), problem.y, problem.l2
    z = X @ answer.w + answer.b
    dz = (1 / (1 + np.exp(-z)) - y) / len(y)
    dw = X.T @ dz + l2 * answer.w
    J = np.mean(np.logaddexp(0, z) - y * z) + l2 / 2 * answer.w @ answer.w
    return float(max(abs(dw).max(), abs(dz.sum()))), float(J)


def choose(problem: Problem, solver: Solver) -> Chosen:
    """Find the loosest tolerance that reaches the target, or the best there is time for."""
    found: list[Chosen] = []
    for tol in TOLERANCES:
        start = time.perf_counter()
        answer = solver(problem, tol)
        seconds = time.perf_counter() - start
        found.append(Chosen(tol, *optimality(problem, answer), answer.reads, seconds))
        if found[-1].gradient <= TARGET or sum(c.seconds for c in found) > SECONDS:
            break
    return min(found, key=lambda c: (c.gradient > TARGET, c.gradient))


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``sparse``."""
    command = commands.add_parser("sparse", help="sparse X: products, and one model to the optimum")
    command.add_argument("--size", nargs=2, type=int, metavar=("N", "D"), action="append")
    command.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--without", action="append", default=[], help="leave a contender out")
    child = commands.add_parser("sparse-alone", help="(used by the other)")
    child.add_argument("folder")
    return {"sparse": run, "sparse-alone": run_alone}


def run(arguments: argparse.Namespace) -> None:
    """Print both tables for each size."""
    solvers = {k: v for k, v in contenders().items() if k not in arguments.without}
    for n, d in arguments.size or SIZES:
        problem = make_problem(n, d, arguments.dtype)
        X = problem.X
        megabytes = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 1e6
        print(
            f"\nn = {n:,}, d = {d:,}, {X.nnz / n:.1f} entries a row, l2 = 1/n, {arguments.dtype}: "
            f"X is {megabytes:,.0f} MB"
        )
        multiply(problem, arguments.rounds)
        compare(problem, solvers, arguments.rounds)


def multiply(problem: Problem, rounds: int) -> None:
    """Both products, beside SciPy's."""
    import jax

    from jaxlr.batch.sparse import product, take_sparse

    X, rng = problem.X, np.random.default_rng(1)
    with jax.enable_x64(True):
        start = time.perf_counter()
        laid_out = take_sparse(X)
        print(f"laid out in {time.perf_counter() - start:.2f} s, {laid_out.nbytes / 1e6:,.0f} MB")
        w, dz = (rng.standard_normal(m).astype(X.dtype) for m in X.shape[::-1])
        on_device, times = jax.device_put((w, dz)), jax.jit(product)
        rows, columns = laid_out.block(0)
        seconds = interleaved(
            {
                "X w, jaxlr": lambda: times(rows, on_device[0]).block_until_ready(),
                "X w, SciPy": lambda: X @ w,
                "X' dz, jaxlr": lambda: times(columns, on_device[1]).block_until_ready(),
                "X' dz, SciPy": lambda: X.T @ dz,
            },
            4 * rounds,
        )
    for name, each in seconds.items():
        print(f"{name:26}{statistics.median(each) * 1e3:9.1f} ms +- {spread(each) * 1e3:.1f}")


def compare(problem: Problem, solvers: dict[str, Solver], rounds: int) -> None:
    """Choose tolerances, then time all contenders with them, interleaved."""
    chosen = {name: choose(problem, solver) for name, solver in solvers.items()}
    seconds = {name: [c.seconds] for name, c in chosen.items()}
    quick = [name for name, c in chosen.items() if c.seconds * (rounds + 1) < SECONDS]
    seconds |= interleaved(
        {name: partial(solvers[name], problem, chosen[name].tol) for name in quick}, rounds
    )
    median = {name: statistics.median(times) for name, times in seconds.items()}
    least = min(c.objective for c in chosen.values())
    print(
        f"{rounds} interleaved rounds, warm, layout included; those without +- ran once; "
        f"the best J is {least:.9f}"
    )
    print(
        f"{'':26}{'seconds':>9}{'+-':>8}{'x jaxlr':>9}{'gradient':>10}{'J - best':>10}{'tol':>8}"
        f"{'reads':>7}"
    )
    for name, c in chosen.items():
        print(
            f"{name:26}{median[name]:9.3f}{spread(seconds[name]):8.3f}"
            f"{median[name] / median[OURS]:9.1f}{c.gradient:10.1e}{c.objective - least:10.1e}"
            f"{c.tol:8.0e}{c.reads:7.1f}",
            flush=True,
        )
    print(_memory(problem))


def _memory(problem: Problem) -> str:
    from scipy import sparse

    with tempfile.TemporaryDirectory() as folder:
        sparse.save_npz(Path(folder) / "X.npz", problem.X, compressed=False)
        np.save(Path(folder) / "y.npy", problem.y)
        alone = in_a_process("sparse-alone", folder)
    return (
        f"jaxlr in a fresh process: {alone['seconds']:.2f} s, at most {alone['memory']:.2f} times "
        "X in memory beside X"
    )


def run_alone(arguments: argparse.Namespace) -> None:
    """Print how long a fit takes in this fresh process, and its memory beyond X, as JSON."""
    from scipy import sparse

    folder = Path(arguments.folder)
    X, y = sparse.load_npz(folder / "X.npz"), np.load(folder / "y.npy")
    problem = Problem(X, y, 1 / len(y))
    begin = time.perf_counter()
    ours(problem, 1e-5)
    seconds = time.perf_counter() - begin
    Path("/proc/self/clear_refs").write_text("5")  # the most there was is now what there is
    before = memory_bytes("VmRSS")
    ours(problem, 1e-5)
    size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    print(json.dumps({"seconds": seconds, "memory": (memory_bytes("VmHWM") - before) / size}))
