"""Loss and gradient of all rows: by hand in several ways, autodiff, scikit-learn, torch."""

import argparse
import importlib.util
import os
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benches.measure import in_a_process, interleaved, memory_bytes, read_once, spread

SIZES = [(1_000_000, 100), (100_000, 1_000), (1_000_000, 16)]
BLOCKS = "by hand, in blocks"
SPLIT = "by hand, in blocks, all devices"
WHOLE = "by hand, whole array"
AUTODIFF = "jax.grad"
SKLEARN = "scikit-learn"
TORCH = "torch"


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``gradient``."""
    command = commands.add_parser("gradient", help="loss and gradient, against jax.grad and others")
    command.add_argument("--rounds", type=int, default=15)
    command.add_argument("--size", type=int, nargs=2, metavar=("N", "D"), action="append")
    child = commands.add_parser("gradient-memory", help="(used by the others)")
    child.add_argument("name")
    child.add_argument("n", type=int)
    child.add_argument("d", type=int)
    return {
        "gradient": lambda arguments: gradient(arguments.size or SIZES, arguments.rounds),
        "gradient-memory": lambda arguments: run_memory(arguments.name, arguments.n, arguments.d),
    }


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


def run_memory(name: str, n: int, d: int) -> None:
    """Print the peak memory of one contender in its own process, in sizes of X (X itself is 1)."""
    small = make_contender(name, make_problem(256, d))
    small()  # libraries, compilers and their caches are no matter of X
    before = memory_bytes("VmRSS")
    problem = make_problem(n, d)
    run = make_contender(name, problem)
    run()
    run()
    print((memory_bytes("VmHWM") - before) / problem.X.nbytes)


def gradient(sizes: list[tuple[int, int]], rounds: int) -> None:
    """Loss and gradient of all rows, once."""
    import jax

    names = contenders()
    devices = jax.devices()
    print(f"jax {jax.__version__}, {len(devices)} device(s): {devices[0].device_kind}")
    print(f"float32, {os.cpu_count()} cores, {rounds} interleaved rounds, medians\n")
    for n, d in sizes:
        problem = make_problem(n, d)
        runs: dict[str, Callable[[], object]] = {"read": read_once(problem.X)}
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
            memory = in_a_process("gradient-memory", name, n, d)
            print(
                f"{name:34}{median[name] * 1e3:8.1f}{spread(seconds[name]) * 1e3:7.1f}"
                f"{median[AUTODIFF] / median[name]:12.2f}"
                f"{median['read'] / median[name]:11.0%}{memory:8.2f}X",
                flush=True,
            )
        print()
