"""One model to the optimum: how long, how many reads, how much memory, for the same gradient.

Each contender is given the loosest tolerance of its own with which it reaches the target: the
largest entry of the gradient by w and b, recomputed in float64 for all of them, of 1e-6. One that
never does runs at its best, and its gradient is printed.

Met, on 2 cores: 10 times the fastest peer and 5 reads at 1,000,000 x 100 (13.8 times, 4.3 reads),
no slower than scikit-learn where X is small, memory, a fresh process. Missed:

- 1,000,000 x 16: 4.6 times scikit-learn's newton-cholesky, the aim was 10, with 4.2 reads. A read
  is bound by exp and log1p of a million rows, not by 16 columns of memory, and the peer needs only
  about three times as many. Tried: all cores by threads (1.6 times faster, in use).
- 100,000 x 1,000: 4.6 times newton-cholesky (the aim was 8), 11.7 reads at tol = 1e-6 and 13.8 at
  1e-7, which the gradient by w asks for here. Forming Hessians of 33,000 rows takes a third of the
  time; tried: only the panels on and above the diagonal (1.3 times faster, in use), other sizes of
  samples (more reads take what smaller Hessians give). newton-cholesky was expected to take 24 s
  and takes 6 s on this machine.

Not in the table: 10,000 x 20,000 takes longer than 4 minutes to compare; timed once, fit needs 35 s
to a gradient entry of 1.8e-6 (490 reads of L-BFGS) and scikit-learn's lbfgs 92 s to 3.4e-6.
"""

import argparse
import functools
import importlib.util
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benches.measure import in_a_process, interleaved, memory_bytes, read_once, spread

SIZES = [
    (1_000_000, 100, 0.0),
    (1_000_000, 16, 0.0),
    (100_000, 1_000, 0.0),
    (10_000, 20_000, 1e-3),
    (1_000, 20, 0.0),
    (569, 30, 1e-2),
]
TARGET = 1e-6
SECONDS = 30  # that one contender may take for its rounds
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
OURS = "jaxlr"


class Problem(NamedTuple):
    """Rows, labels and penalty."""

    X: np.ndarray
    y: np.ndarray
    l2: float


class Answer(NamedTuple):
    """Parameters in float64, and the reads of X where they are known."""

    w: np.ndarray
    b: float
    reads: float


Solver = Callable[[Problem, float], Answer]


def make_problem(n: int, d: int, l2: float) -> Problem:
    """Correlated features on scales from 0.3 to 3, filled block by block."""
    from jaxlr.data import aligned_empty

    if (n, d) == (569, 30):
        from sklearn.datasets import load_breast_cancer

        X, y = map(np.asarray, load_breast_cancer(return_X_y=True))
        return Problem(((X - X.mean(0)) / X.std(0)).astype(np.float32), y.astype(np.float32), l2)
    rng = np.random.default_rng(0)
    X, y = aligned_empty((n, d), np.float32), np.empty(n, np.float32)
    factors = rng.standard_normal((min(d, 20), d)).astype(np.float32) / np.sqrt(min(d, 20))
    scale = (10 ** rng.uniform(-0.5, 0.5, d)).astype(np.float32)
    w = rng.standard_normal(d) / np.sqrt(d)
    for start in range(0, n, 4096):
        m = min(4096, n - start)
        own = rng.standard_normal((m, d), dtype=np.float32)
        shared = rng.standard_normal((m, len(factors)), dtype=np.float32) @ factors
        rows = 0.7 * (own + shared)
        y[start : start + m] = rng.random(m) < 1 / (1 + np.exp(0.5 - rows @ w))
        X[start : start + m] = rows * scale
    return Problem(X, y, l2)


def ours(problem: Problem, tol: float) -> Answer:
    """Fit with jaxlr."""
    import jaxlr

    fit = jaxlr.fit(problem.X, problem.y, l2=problem.l2, tol=tol)
    w, b = map(np.asarray, fit.params)
    return Answer(w, float(b), fit.certificate.reads)


def by_sklearn(solver: str, patched: bool = False) -> Solver:
    """One of scikit-learn's solvers, or what scikit-learn-intelex puts in its place."""

    def run(problem: Problem, tol: float) -> Answer:
        if patched:
            from sklearnex.linear_model import LogisticRegression  # pyright: ignore
        else:
            from sklearn.linear_model import LogisticRegression
        C = 1 / (problem.l2 * len(problem.y)) if problem.l2 else np.inf
        model = LogisticRegression(C=C, solver=solver, tol=tol, max_iter=2000)
        model.fit(problem.X, problem.y)
        return Answer(np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]), np.nan)

    return run


def by_glum(problem: Problem, tol: float) -> Answer:
    """Fit by iteratively reweighted least squares, with glum."""
    from glum import GeneralizedLinearRegressor  # pyright: ignore

    model = GeneralizedLinearRegressor(
        family="binomial", alpha=problem.l2, l1_ratio=0, gradient_tol=tol, max_iter=200
    )
    model.fit(problem.X, problem.y)
    return Answer(np.asarray(model.coef_, float), float(model.intercept_), np.nan)


def by_optax(problem: Problem, tol: float) -> Answer:
    """Minimise with L-BFGS of optax and jax.grad, one step after the other."""
    import jax
    import jax.numpy as jnp

    X, y = jax.device_put(problem.X), jax.device_put(problem.y)
    params = (jnp.zeros(X.shape[1]), jnp.zeros(()))
    init, step = _optax_step()
    state = init(params)
    for _ in range(500):
        params, state, size = step(params, state, X, y, problem.l2)
        if float(size) <= tol:
            break
    w, b = (np.asarray(v, float) for v in params)
    return Answer(w, float(b), np.nan)


@functools.cache
def _optax_step() -> tuple[Callable[..., Any], Callable[..., Any]]:
    import jax
    import optax

    from jaxlr.check import logistic

    optimizer = optax.lbfgs()

    @jax.jit
    def step(params: Any, state: Any, X: Any, y: Any, l2: Any) -> Any:
        def f(p: Any) -> Any:
            return logistic.loss(p, X, y, None, l2)

        value, grads = optax.value_and_grad_from_state(f)(params, state=state)
        updates, state = optimizer.update(grads, state, params, value=value, grad=grads, value_fn=f)
        return optax.apply_updates(params, updates), state, optax.tree.norm(grads, ord=np.inf)

    return optimizer.init, step


def contenders() -> dict[str, Solver]:
    """Solvers that can run here, ours first."""
    found: dict[str, Solver] = {OURS: ours}
    for solver in ("lbfgs", "newton-cholesky", "newton-cg"):
        found[f"scikit-learn {solver}"] = by_sklearn(solver)
    if importlib.util.find_spec("sklearnex"):
        found["scikit-learn-intelex"] = by_sklearn("lbfgs", patched=True)
    if importlib.util.find_spec("glum"):
        found["glum"] = by_glum
    found["optax lbfgs, jax.grad"] = by_optax
    return found


def gradient_entry(problem: Problem, answer: Answer) -> float:
    """Largest entry of the gradient by w and b, recomputed in NumPy and float64."""
    X, y, l2 = problem
    dw, db = l2 * answer.w, 0.0
    for start in range(0, len(X), 8192):
        rows = X[start : start + 8192].astype(np.float64)
        dz = 1 / (1 + np.exp(-(rows @ answer.w + answer.b))) - y[start : start + 8192]
        dw, db = dw + dz @ rows / len(X), db + dz.sum() / len(X)
    return float(max(abs(dw).max(), abs(db)))


class Chosen(NamedTuple):
    """The tolerance of a contender, what it reaches with it, and how long that took once."""

    tol: float
    gradient: float
    reads: float
    seconds: float


def choose(problem: Problem, solver: Solver) -> Chosen:
    """Find the loosest tolerance that reaches the target, or the best there is."""
    found: list[Chosen] = []
    for tol in TOLERANCES:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = solver(problem, tol)
        seconds = time.perf_counter() - start
        found.append(Chosen(tol, gradient_entry(problem, answer), answer.reads, seconds))
        if found[-1].gradient <= TARGET or sum(c.seconds for c in found) > 2 * SECONDS:
            break
    return found[-1] if found[-1].gradient <= TARGET else min(found, key=lambda c: c.gradient)


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``fit``."""
    command = commands.add_parser("fit", help="one model to the optimum, against other solvers")
    command.add_argument("--size", nargs=3, metavar=("N", "D", "L2"), action="append")
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--warm", action="store_true", help="leave fresh processes out")
    command.add_argument("--without", action="append", default=[], help="leave a contender out")
    child = commands.add_parser("fit-alone", help="(used by the others)")
    child.add_argument("name")
    child.add_argument("folder")
    child.add_argument("l2", type=float)
    child.add_argument("tol", type=float)
    return {"fit": run, "fit-alone": run_alone}


def run(arguments: argparse.Namespace) -> None:
    """Print one table for each size."""
    import jax

    print(f"jax {jax.__version__}, {len(jax.devices())} device(s), float32")
    sizes = [(int(n), int(d), float(l2)) for n, d, l2 in arguments.size or []] or SIZES
    solvers = {k: v for k, v in contenders().items() if k not in arguments.without}
    for n, d, l2 in sizes:
        compare(make_problem(n, d, l2), solvers, arguments.rounds, fresh=not arguments.warm)


def compare(problem: Problem, solvers: dict[str, Solver], rounds: int, *, fresh: bool) -> None:
    """Choose tolerances, then time all contenders with them, interleaved."""
    X = problem.X
    read = statistics.median(interleaved({"read": read_once(X)}, 9)["read"])
    print(
        f"\nn = {X.shape[0]:,}, d = {X.shape[1]:,}, l2 = {problem.l2:g}: X is "
        f"{X.nbytes / 1e6:,.1f} MB, read once in {read * 1e3:.2f} ms "
        f"({X.nbytes / read / 1e9:.1f} GB/s)"
    )
    chosen = {name: choose(problem, solver) for name, solver in solvers.items()}
    slowest = max(c.seconds for c in chosen.values())
    rounds = max(1, min(rounds, int(SECONDS / slowest)))
    runs: dict[str, Callable[[], object]] = {
        name: _quiet(solver, problem, chosen[name].tol) for name, solver in solvers.items()
    }
    seconds = interleaved(runs, rounds)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    print(
        f"{rounds} interleaved rounds, warm; fresh: a new process, imports and compiling included"
    )
    print(
        f"{'':26}{'seconds':>9}{'+-':>8}{'x jaxlr':>9}{'gradient':>10}{'tol':>8}{'reads':>7}"
        f"{'of bandwidth':>14}{'memory':>9}{'fresh':>8}{'cached':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", X)
        np.save(Path(folder) / "y.npy", problem.y)
        for name, c in chosen.items():
            print(
                f"{name:26}{median[name]:9.4f}{spread(seconds[name]):8.4f}"
                f"{median[name] / median[OURS]:9.1f}{c.gradient:10.1e}{c.tol:8.0e}"
                f"{c.reads:7.1f}{read * c.reads / median[name]:14.0%}"
                + (_in_fresh_processes(name, folder, problem.l2, c.tol) if fresh else ""),
                flush=True,
            )


def _in_fresh_processes(name: str, folder: str, l2: float, tol: float) -> str:
    """Memory, and seconds in a fresh process without and with compiled code kept."""
    alone = [name, folder, l2, tol]
    cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    first = in_a_process("fit-alone", *alone)
    cached = [in_a_process("fit-alone", *alone, **cache) for _ in range(2)][-1]
    return f"{first['memory']:8.2f}X{first['seconds']:8.2f}{cached['seconds']:8.2f}"


def _quiet(solver: Solver, problem: Problem, tol: float) -> Callable[[], object]:
    def run() -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return solver(problem, tol)

    return run


def run_alone(arguments: argparse.Namespace) -> None:
    """Print how long one contender takes in this fresh process, and its memory beyond X, as JSON.

    The memory is that of a second solve, when libraries and compiled code are there already.
    """
    folder = Path(arguments.folder)
    on_disk = np.load(folder / "X.npy", mmap_mode="r")
    # jaxlr.data.aligned_empty once more: importing jaxlr here would take it out of the time.
    raw = np.empty(on_disk.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    X = raw[start : start + on_disk.nbytes].view(on_disk.dtype).reshape(on_disk.shape)
    for i in range(0, len(X), 4096):
        X[i : i + 4096] = on_disk[i : i + 4096]
    del on_disk
    problem = Problem(X, np.load(folder / "y.npy"), arguments.l2)
    solve = _quiet(contenders()[arguments.name], problem, arguments.tol)
    begin = time.perf_counter()
    solve()
    seconds = time.perf_counter() - begin
    Path("/proc/self/clear_refs").write_text("5")  # the most there was is now what there is
    before = memory_bytes("VmRSS")
    solve()
    memory = (memory_bytes("VmHWM") - before) / X.nbytes
    print(json.dumps({"seconds": seconds, "memory": memory}))
