"""Judges of derivatives: which wrong ones each catches, and which right ones it rejects.

The wrong ones are the faults of tests/zoo, the right ones its species in four types. A judge is
called as its documentation says, on a rule for `jax.custom_vjp` and ordinary arguments:

- ``check_grads`` of `jax.test_util` and ``assert_numerical_grads`` of chex with their own
  tolerances, in reverse mode, for a custom_vjp has no other; order 1, and ``check_grads`` once more
  in order 2 where the rule has one.
- ``check_grad`` of SciPy on all arguments in one row and ``sum(c out)`` with random c. It knows
  float64 alone, and returns a distance: wrong is one beyond 1e-3 of the gradient's norm.
- `jaxlr.check_derivatives` with the undecorated twin of the rule as its reference, both levels.

All get only what may have a gradient as arguments; jaxlr gets the others too. A judge that raises
anything but "the gradients differ", or cannot decide, "refuses": of a right derivative that is a
rejection, of a wrong one it is not a catch.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

ROWS = 9  # of a sample: more than 8, and no multiple of it
DTYPES = ("float32", "float64", "bfloat16", "float16")
SCIPY_RELATIVE = 1e-3
_KEPT = 20  # faults whose compiled code is kept: code of all would run out of memory maps

Verdict = Literal["passes", "wrong", "refuses"]


class Case(NamedTuple):
    """A rule at some arguments; ``f(*leaves)`` is the rule of those that may have a gradient."""

    species: Any
    rule: Callable[..., Any]
    args: tuple[Any, ...]
    f: Callable[..., Any]
    leaves: list[Any]
    seed: int


class Judge(NamedTuple):
    """``check(case)`` says what it thinks; ``dtypes`` are those that it can be asked about."""

    check: Callable[[Case], Verdict]
    dtypes: tuple[str, ...] = DTYPES


def make_case(zoo: Any, name: str, dtype: str, seed: int, fault: Any = None) -> Case:
    """Ordinary arguments of a species, and its rule with a fault, or without one."""
    import jax
    import jax.numpy as jnp

    species = zoo.SPECIES[name]
    args = species.sample(np.random.default_rng(seed), ROWS, dtype)
    rule = zoo.rule(species, fault)
    at = [i for i, wanted in enumerate(species.differentiable) if wanted]
    leaves, tree = jax.tree.flatten([args[i] for i in at])

    # check_grads pulls back NumPy's arrays, on which rules written for JAX's may stumble.
    as_jax = jax.custom_vjp(lambda out: out)
    as_jax.defvjp(lambda out: (out, None), lambda _, c: (jnp.asarray(c),))

    def f(*leaves: Any) -> Any:
        given = dict(zip(at, jax.tree.unflatten(tree, leaves), strict=True))
        return as_jax(rule(*(given.get(i, v) for i, v in enumerate(args))))

    return Case(species, rule, args, f, leaves, seed)


def by_jax(order: int) -> Callable[[Case], Verdict]:
    """Ask ``check_grads``, with the tolerance that it takes by default."""

    def check(case: Case) -> Verdict:
        from jax.test_util import check_grads

        check_grads(case.f, case.leaves, order=min(order, case.species.order), modes=["rev"])
        return "passes"

    return check


def by_chex(case: Case) -> Verdict:
    """Ask ``assert_numerical_grads``, with the tolerance that it takes by default."""
    import chex  # pyright: ignore[reportMissingImports]

    chex.assert_numerical_grads(case.f, case.leaves, order=1, modes=["rev"])
    return "passes"


def by_scipy(case: Case) -> Verdict:
    """Ask ``check_grad``, in float64, the only type that it has."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree
    from scipy.optimize import check_grad

    x, back = ravel_pytree(case.leaves)
    shape = jax.eval_shape(case.f, *case.leaves)
    c = jnp.asarray(np.random.default_rng(case.seed + 1).standard_normal(shape.shape), shape.dtype)

    def value(x: Any) -> Any:
        return jnp.sum(c * case.f(*back(jnp.asarray(x))))

    gradient = jax.grad(value)
    found = np.linalg.norm(gradient(x))
    off = check_grad(lambda x: float(value(x)), lambda x: np.asarray(gradient(x)), np.asarray(x))
    return "passes" if off <= SCIPY_RELATIVE * found else "wrong"


def by_jaxlr(level: Literal["quick", "full"]) -> Callable[[Case], Verdict]:
    """Ask ``check_derivatives``, with the twin of the rule as its reference."""

    def check(case: Case) -> Verdict:
        from jaxlr.check import check_derivatives

        report = check_derivatives(
            case.rule,
            *case.args,
            reference=case.species.twin,
            argnums=tuple(i for i, yes in enumerate(case.species.differentiable) if yes),
            vary=tuple(i for i, yes in enumerate(case.species.stretched) if yes),
            level=level,
            fail_fast=True,
            smallest=False,
            order=case.species.order,
            seed=case.seed,
        )
        if report:
            return "passes"
        return "wrong" if report.verdict.value == "wrong" else "refuses"

    return check


def judges() -> dict[str, Judge]:
    """Judges that can be asked here, ours last."""
    found = {
        "check_grads": Judge(by_jax(1)),
        "check_grads, order 2": Judge(by_jax(2)),
        "chex": Judge(by_chex),
        "scipy": Judge(by_scipy, ("float64",)),
        "jaxlr quick": Judge(by_jaxlr("quick")),
        "jaxlr full": Judge(by_jaxlr("full"), ("float32",)),  # it sweeps the types by itself
    }
    if not importlib.util.find_spec("chex"):
        print("chex is missing (pip install chex), and left out")
        del found["chex"]
    return found


def ask(judge: Judge, zoo: Any, name: str, dtype: str, seed: int, fault: Any) -> Verdict:
    """Ask a judge about one rule, and keep what it prints to ourselves."""
    import jax

    dtype = dtype if dtype in judge.dtypes else judge.dtypes[0]
    with jax.enable_x64(dtype == "float64"), contextlib.redirect_stdout(io.StringIO()):
        case = make_case(zoo, name, dtype, seed, fault)
        try:
            return judge.check(case)
        except AssertionError:
            return "wrong"
        except Exception:  # whatever it is, it is no verdict
            return "refuses"


Counts = dict[str, dict[Verdict, int]]  # by kind of fault, or by type


def ask_of_faults(judge: Judge, zoo: Any, faults: list[Any]) -> Counts:
    """Verdicts on wrong derivatives in float32 (or what the judge has), by where they show."""
    import jax

    found: Counts = defaultdict(lambda: defaultdict(int))
    for number, fault in enumerate(faults):
        if number % _KEPT == 0:
            jax.clear_caches()
        found[fault.shows][ask(judge, zoo, fault.species, "float32", 0, fault)] += 1
    return found


def ask_of_right(judge: Judge, zoo: Any, seeds: int) -> Counts:
    """Verdicts on right derivatives, by type."""
    found: Counts = defaultdict(lambda: defaultdict(int))
    for dtype in judge.dtypes:
        for name in zoo.SPECIES:
            for seed in range(seeds):
                found[dtype][ask(judge, zoo, name, dtype, seed, None)] += 1
    return found


def seconds_of(judge: Judge, zoo: Any) -> str:
    """Seconds for a right rule in float32, medians: with nothing compiled yet, and once more."""
    import jax

    times: tuple[list[float], list[float]] = ([], [])
    for name in zoo.SPECIES:
        jax.clear_caches()
        for each in times:
            begin = time.perf_counter()
            ask(judge, zoo, name, "float32", 0, None)
            each.append(time.perf_counter() - begin)
    return " ".join(f"{statistics.median(each):.2f}" for each in times)


def some_of(faults: list[Any], every: int) -> list[Any]:
    """Every so-many-th fault of each kind, and so at least one of each."""
    kinds: dict[str, list[Any]] = defaultdict(list)
    for fault in faults:
        kinds[fault.shows].append(fault)
    return [fault for kind in kinds.values() for fault in kind[::every]]


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``check``."""
    command = commands.add_parser("check", help="judges of derivatives, against one another")
    command.add_argument("--every", type=int, default=12, help="take every N-th fault", metavar="N")
    command.add_argument("--seeds", type=int, default=2, help="for the right ones, in each type")
    command.add_argument("--without", action="append", default=[], help="leave a judge out")
    return {"check": run}


def run(arguments: argparse.Namespace) -> None:
    """Ask every judge about every derivative, and print what each said."""
    import jax

    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    zoo: Any = importlib.import_module("zoo")
    faults = some_of(zoo.FAULTS, arguments.every)
    asked = {k: v for k, v in judges().items() if k not in arguments.without}
    print(
        f"jax {jax.__version__}, {len(faults)} of {len(zoo.FAULTS):,} wrong derivatives, ", end=""
    )
    print(f"{len(zoo.SPECIES)} right ones with {arguments.seeds} seeds in each type", flush=True)
    wrong: dict[str, Counts] = {}
    right: dict[str, Counts] = {}
    seconds: dict[str, str] = {}
    for name, judge in asked.items():
        print(f"asking {name}", file=sys.stderr)
        right[name] = ask_of_right(judge, zoo, arguments.seeds)
        wrong[name] = ask_of_faults(judge, zoo, faults)
        seconds[name] = seconds_of(judge, zoo)
    kinds = list(dict.fromkeys(fault.shows for fault in faults))
    _print("wrong derivatives caught", wrong, kinds, ("wrong",))
    _print("   of those not caught, refused", wrong, [], ("refuses",))
    _print("right derivatives rejected", right, list(DTYPES), ("wrong", "refuses"))
    _print("   of those, refused", right, [], ("refuses",))
    print()
    _line("seconds cold, warm", seconds)


def _print(title: str, found: dict[str, Counts], kinds: list[str], which: tuple[Any, ...]) -> None:
    """Print a line for each kind, where there are any, and one for all together."""
    if kinds:
        print()
        _line(title, {name: name for name in found})
    for kind in kinds:
        _line(kind, {name: _share([counts[kind]], which) for name, counts in found.items()})
    total = {name: _share(list(counts.values()), which) for name, counts in found.items()}
    _line("all" if kinds else title, total)


def _share(counts: list[dict[Verdict, int]], which: tuple[Verdict, ...]) -> str:
    total = sum(sum(c.values()) for c in counts)
    return f"{sum(c.get(v, 0) for c in counts for v in which)}/{total}" if total else "-"


def _line(title: str, cells: dict[str, str]) -> None:
    print(f"{title:32}" + "".join(f"{v:>{max(len(k), 9) + 2}}" for k, v in cells.items()))
