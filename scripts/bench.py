"""How fast, against whom: every claim about speed or memory in the README is printed here.

    .venv/bin/python scripts/bench.py gradient    # loss and gradient of all rows
    .venv/bin/python scripts/bench.py import      # what `import jaxlr` adds to `import jax`

Contenders run interleaved, round after round, so that a busy machine is busy for all of them;
times are medians, and +- is half the distance between the quartiles. Memory is measured in a
process of its own for each contender. Install torch beside jaxlr to have it take part.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SIZES = [(1_000_000, 100), (100_000, 1_000), (1_000_000, 16)]
BLOCKS = "by hand, in blocks"
SPLIT = "by hand, in blocks, all devices"
WHOLE = "by hand, whole array"
AUTODIFF = "jax.grad"
SKLEARN = "scikit-learn"
TORCH = "torch"


class Problem(NamedTuple):
    """Rows and parameters, as NumPy arrays whose memory JAX can take over."""

    X: np.ndarray
    y: np.ndarray
    w: np.ndarray
    b: np.float32


Gradient = Callable[[], np.ndarray]  # runs to the end, and returns dw followed by db


def make_problem(n: int, d: int) -> Problem:
    """Random rows, filled block by block, so that X is the only large array there ever was."""
    from jaxlr.data import aligned_empty

    rng = np.random.default_rng(0)
    X = aligned_empty((n, d), np.float32)
    for start in range(0, n, 8192):
        rng.standard_normal(out=X[start : start + 8192], dtype=np.float32)
    w = (rng.standard_normal(d) / np.sqrt(d)).astype(np.float32)
    y = (rng.random(n) < 0.5).astype(np.float32)
    return Problem(X, y, w, np.float32(0.1))


def by_jax(problem: Problem, name: str) -> Gradient:
    """Contenders that run in JAX."""
    import jax
    import jax.numpy as jnp

    import jaxlr
    from jaxlr import core
    from jaxlr.check import logistic

    params = core.Params(jnp.asarray(problem.w), jnp.asarray(problem.b))
    X, y, weight = problem.X, problem.y, None
    if name == SPLIT:
        X, y, weight = jaxlr.split_rows(X, y)
    else:
        X, y = jax.device_put(X), jax.device_put(y)

    def whole_array(params: core.Params, X: Any, y: Any, weight: None) -> tuple[Any, core.Params]:
        L, cache = jax.vmap(core.forward, in_axes=(None, 0, 0))(params, X, y)
        return jax.tree.map(lambda v: v.mean(axis=0), (L, jax.vmap(core.backward)(cache)))

    if name == SPLIT:
        from functools import partial

        from jaxlr import batch, shard

        f = jax.jit(partial(batch.objective, l2=0.0, mesh=shard.mesh_of(X)))
    elif name == BLOCKS:
        f = jax.jit(jaxlr.loss_and_grads)
    elif name == WHOLE:
        f = jax.jit(whole_array)
    else:
        f = jax.jit(jax.value_and_grad(logistic.loss))

    def run() -> np.ndarray:
        _, (dw, db) = jax.block_until_ready(f(params, X, y, weight))
        return np.append(np.asarray(dw), np.asarray(db))

    return run


def by_sklearn(problem: Problem) -> Gradient:
    """Loss and gradient as scikit-learn's solvers evaluate them."""
    from sklearn._loss import HalfBinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    loss = LinearModelLoss(base_loss=HalfBinomialLoss(), fit_intercept=True)
    coef = np.append(problem.w, problem.b)
    threads = os.cpu_count() or 1
    return lambda: loss.loss_gradient(coef, problem.X, problem.y, n_threads=threads)[1]


def by_torch(problem: Problem) -> Gradient:
    """Autograd of torch, on the GPU if it has one."""
    import torch  # pyright: ignore[reportMissingImports]

    device = "cuda" if torch.cuda.is_available() else "cpu"
    X, y = (torch.from_numpy(v).to(device) for v in (problem.X, problem.y))
    w = torch.tensor(problem.w, device=device, requires_grad=True)
    b = torch.tensor(problem.b, device=device, requires_grad=True)

    def run() -> np.ndarray:
        z = X @ w + b
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
        dw, db = torch.autograd.grad(loss, (w, b))
        return np.append(dw.cpu().numpy(), db.cpu().numpy())

    return run


def make_contender(name: str, problem: Problem) -> Gradient:
    """One contender, ready to run."""
    if name == SKLEARN:
        return by_sklearn(problem)
    return by_torch(problem) if name == TORCH else by_jax(problem, name)


def contenders() -> list[str]:
    """Names of those that can run here."""
    import jax

    names = [BLOCKS, WHOLE, AUTODIFF, SKLEARN]
    if len(jax.devices()) > 1:
        names.insert(1, SPLIT)
    if importlib.util.find_spec("torch"):
        names.append(TORCH)
    return names


def read_once(problem: Problem) -> Callable[[], object]:
    """Read X once with all there is: what the machine's memory can do."""
    import jax
    import jax.numpy as jnp

    if jax.default_backend() != "cpu":
        X, total = jnp.asarray(problem.X), jax.jit(jnp.sum)
        return lambda: total(X).block_until_ready()

    parts = np.array_split(problem.X.ravel(), os.cpu_count() or 1)

    def run() -> None:
        threads = [threading.Thread(target=part.max) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run


def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, after one round of warming up."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(seconds: list[float]) -> float:
    """Half the distance between the quartiles."""
    low, _, high = statistics.quantiles(seconds, n=4)
    return (high - low) / 2


def measure_memory(name: str, n: int, d: int) -> float:
    """Peak memory of one contender in its own process, in sizes of X (X itself is 1)."""
    command = [sys.executable, __file__, "memory", name, str(n), str(d)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def run_memory(name: str, n: int, d: int) -> None:
    """Body of the process that `measure_memory` starts."""
    small = make_contender(name, make_problem(256, d))
    small()  # libraries, compilers and their caches are no matter of X
    before = memory_bytes("VmRSS")
    problem = make_problem(n, d)
    run = make_contender(name, problem)
    run()
    run()
    print((memory_bytes("VmHWM") - before) / problem.X.nbytes)


def memory_bytes(which: str) -> int:
    """Memory of this process in RAM: now (VmRSS), or the most there was (VmHWM). Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def gradient(sizes: list[tuple[int, int]], rounds: int) -> None:
    """Loss and gradient of all rows, once."""
    import jax

    names = contenders()
    devices = jax.devices()
    print(f"jax {jax.__version__}, {len(devices)} device(s): {devices[0].device_kind}")
    print(f"float32, {os.cpu_count()} cores, {rounds} interleaved rounds, medians\n")
    for n, d in sizes:
        problem = make_problem(n, d)
        runs: dict[str, Callable[[], object]] = {"read": read_once(problem)}
        gradients = {name: make_contender(name, problem) for name in names}
        truth = gradients[SKLEARN]()
        for name, run in gradients.items():
            np.testing.assert_allclose(run(), truth, rtol=1e-3, atol=1e-5, err_msg=name)
        seconds = interleaved({**runs, **gradients}, rounds)
        median = {name: statistics.median(times) for name, times in seconds.items()}
        bandwidth = problem.X.nbytes / median["read"]
        print(f"n = {n:,}, d = {d:,}: X is {problem.X.nbytes / 1e6:.0f} MB, ", end="")
        print(f"read once in {median['read'] * 1e3:.1f} ms ({bandwidth / 1e9:.1f} GB/s)")
        print(f"{'':34}{'ms':>8}{'+-':>7}{'x jax.grad':>12}{'bandwidth':>11}{'memory':>9}")
        for name in names:
            memory = measure_memory(name, n, d)
            print(
                f"{name:34}{median[name] * 1e3:8.1f}{spread(seconds[name]) * 1e3:7.1f}"
                f"{median[AUTODIFF] / median[name]:12.2f}"
                f"{median['read'] / median[name]:11.0%}{memory:8.2f}X",
                flush=True,
            )
        print()


def import_time(rounds: int) -> None:
    """Seconds of importing jax, then optax, then jaxlr, each beyond those before it."""
    code = "import time; t = [time.perf_counter()]\n" + "".join(
        f"import {name}; t.append(time.perf_counter())\n" for name in ("jax", "optax", "jaxlr")
    )
    seconds = []
    for _ in range(rounds + 1):  # the first one fills the caches of the disk
        done = subprocess.run(
            [sys.executable, "-c", code + "print(t)"], capture_output=True, text=True, check=True
        )
        seconds.append(np.diff(json.loads(done.stdout)))
    print(f"{rounds} fresh processes, medians")
    for name, times in zip(("jax", "optax", "jaxlr"), np.transpose(seconds[1:]), strict=True):
        print(f"import {name:6}{np.median(times):7.3f} s +- {spread(times.tolist()):.3f}")


def main() -> None:
    """Run the benchmark that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("gradient", help="loss and gradient, against jax.grad and others")
    command.add_argument("--rounds", type=int, default=15)
    command.add_argument("--size", type=int, nargs=2, metavar=("N", "D"), action="append")
    command = commands.add_parser("import", help="seconds that `import jaxlr` takes beside jax")
    command.add_argument("--rounds", type=int, default=15)
    command = commands.add_parser("memory", help="(used by the others)")
    command.add_argument("name")
    command.add_argument("n", type=int)
    command.add_argument("d", type=int)
    arguments = parser.parse_args()

    if arguments.command == "import":
        import_time(arguments.rounds)
        return

    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    if arguments.command == "memory":
        run_memory(arguments.name, arguments.n, arguments.d)
    else:
        gradient(arguments.size or SIZES, arguments.rounds)


if __name__ == "__main__":
    main()
