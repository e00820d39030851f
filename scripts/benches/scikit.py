"""scikit-learn's face beside scikit-learn: a script that changes one line.

"gradient" is the largest entry of the gradient of the mean loss by raw coefficients and
intercepts, recomputed in float64 for everyone: below it, an answer is no better than that. Ours
are asked for at least what scikit-learn reaches.

The L1 path is in ``bench.py path``, sparse data in ``bench.py sparse``.

What is missed, on 2 quiet cores: a default fit in a fresh process was to be faster from 100,000
rows on, and 5 times faster warm. It is where features are correlated or have units (1.2 to 1.4
times at 100,000 rows, 2.3 to 2.5 at 300,000; warm 9.2 to 9.7), and is not where they are
independent and of deviation 1: there lbfgs is done after 3 steps, and takes half the time of a
fresh process (of ours, reading JAX is most) and 0.4 of it warm. Tried: solving on NumPy's products,
which spares compiling 7 s. LogisticRegressionCV was to be 25 times faster and is 1.6 times with
features that are independent, where lbfgs takes 0 to 5 steps from one penalty to the next: a third
of our time are the matrices, a third the reads, a third the scorer of scikit-learn. With features
that are correlated and have units it is 318 times (one run: 1.5 s and 489). Images: 13.8 times (aim
5; one run), at gradients of 1.0e-4 and 0.8e-4 after 48 and 385 reads; iris: 2.4 times.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benches.many import table
from benches.measure import in_a_process, interleaved, once

Contenders = dict[str, Callable[[], Any]]
_PIXELS = 28
KINDS = {"correlated, in units of their own": False, "independent, of deviation 1": True}


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the commands ``sklearn`` and ``sklearn-alone``, one fit in a process of its own."""
    command = commands.add_parser("sklearn", help="jaxlr.estimator beside scikit-learn")
    command.add_argument("rows", nargs="*", choices=[*ROWS, []], help="which rows of the table")
    command.add_argument("--rounds", type=int, default=3)
    alone = commands.add_parser("sklearn-alone", help="(used by the others)")
    alone.add_argument("package", choices=["jaxlr", "sklearn"])
    alone.add_argument("n", type=int)
    alone.add_argument("--plain", action="store_true", help="features without units")
    return {"sklearn": run, "sklearn-alone": run_alone}


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    for name in arguments.rows or ROWS:
        ROWS[name](arguments.rounds)


def drop_in(rounds: int) -> None:
    """Default fits in fresh processes, and warm ones."""
    for kind, plain in KINDS.items():
        options = ["--plain"] if plain else []
        for n in (100_000, 300_000):
            seconds: dict[str, list[float]] = {"jaxlr": [], "sklearn": []}
            for _ in range(rounds + 1):  # the first one fills the caches of the disk
                for package, times in seconds.items():
                    found = in_a_process("sklearn-alone", package, n, *options)
                    times.append(found["seconds"])
            print(f"\ndefault fit in a fresh process, imports included, {n:,} x 50, float64")
            print(f"features {kind}")
            table({name: times[1:] for name, times in seconds.items()}, "jaxlr")
        X, y = two_classes(100_000, 50, plain=plain)
        print("\nthe same, warm, 100,000 rows")
        compete(contenders(X, y, {}, {}), X, y, 1 / len(y), rounds)


def small(rounds: int) -> None:
    """Iris, warm."""
    from sklearn.datasets import load_iris

    X, y = map(np.asarray, load_iris(return_X_y=True))
    print("\niris, 150 x 4, three classes, warm")
    compete(contenders(X, y, {}, {"max_iter": 1000}), X, y, 1 / len(y), 30 * rounds)


def softmax(rounds: int) -> None:
    """Ten classes of images."""
    X, y = images(60_000)
    print("\nimages of digits, 60,000 x 784, ten classes, float32, C = 1")
    compete(contenders(X, y, {}, {"max_iter": 3000}), X, y, 1 / len(y), min(rounds, 1))


def cross_validated(rounds: int) -> None:
    """Five folds, ten penalties."""
    from sklearn import linear_model

    from jaxlr import estimator

    settings: dict[str, Any] = {"Cs": 10, "cv": 5, "l1_ratios": (0,)}
    settings |= {"use_legacy_attributes": False, "scoring": "neg_log_loss", "max_iter": 1000}
    ours = estimator.LogisticRegressionCV(**settings)
    theirs = linear_model.LogisticRegressionCV(n_jobs=2, **settings)
    for kind, plain in reversed(KINDS.items()):
        X, y = two_classes(100_000, 100, plain=plain)
        print("\nLogisticRegressionCV, 100,000 x 100, 5 folds x 10 penalties, float64")
        print(f"features {kind}")
        runs: Contenders = {
            "jaxlr": partial(quiet, ours.fit, X, y),
            "sklearn lbfgs, n_jobs=2": partial(quiet, theirs.fit, X, y),
        }
        # Features with units take lbfgs many minutes: they are timed once, after the others.
        table(interleaved(runs, rounds) if plain else once(runs), "jaxlr")


def run_alone(arguments: argparse.Namespace) -> None:
    """Fit once; seconds since before the import of the estimator."""
    X, y = two_classes(arguments.n, 50, plain=arguments.plain)
    start = time.perf_counter()
    if arguments.package == "jaxlr":
        from jaxlr.estimator import LogisticRegression
    else:
        from sklearn.linear_model import LogisticRegression
    quiet(LogisticRegression().fit, X, y)
    print(json.dumps({"seconds": time.perf_counter() - start}))


def contenders(X: Any, y: Any, ours: dict[str, Any], theirs: dict[str, Any]) -> Contenders:
    """Fits of both packages, with settings of each."""
    from sklearn import linear_model

    from jaxlr import estimator

    def fits(kind: Any, settings: dict[str, Any]) -> Callable[[], Any]:
        return lambda: quiet(kind(**settings).fit, X, y)

    return {
        "jaxlr": fits(estimator.LogisticRegression, ours),
        "sklearn lbfgs": fits(linear_model.LogisticRegression, theirs),
    }


def compete(runs: Contenders, X: np.ndarray, y: np.ndarray, l2: float, rounds: int) -> None:
    """Print the gradient that each reaches, and their times."""
    for name, one in runs.items():
        model = one()
        print(f"gradient of {name}: {gradient(model, X, y, l2):.1e}, {model.n_iter_[0]} steps")
    table(interleaved(runs, rounds), "jaxlr")


def gradient(model: Any, X: np.ndarray, y: np.ndarray, l2: float) -> float:
    """Largest entry of the gradient at a model, in float64."""
    w, b = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    z = X.astype(np.float64) @ w.T + b
    if len(w) == 1:
        dz = 1 / (1 + np.exp(-z)) - (y == model.classes_[1])[:, None]
    else:
        a = np.exp(z - z.max(axis=1, keepdims=True))
        dz = a / a.sum(axis=1, keepdims=True) - (y[:, None] == model.classes_)
    return float(max(abs(dz.T @ X / len(y) + l2 * w).max(), abs(dz.mean(axis=0)).max()))


def two_classes(n: int, d: int, *, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose labels follow a logistic regression; ``plain`` is what is easiest for lbfgs."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    z = X @ rng.standard_normal(d) / np.sqrt(d)
    y = (rng.random(n) < 1 / (1 + np.exp(0.3 - z))).astype(int)
    if plain:
        return X, y
    mix = np.eye(d) + 0.5 * rng.standard_normal((d, d)) / np.sqrt(d)
    return X @ mix * np.exp(2 * rng.standard_normal(d)), y


def images(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of digits: those of scikit-learn, enlarged, moved about, and with specks."""
    from scipy import ndimage
    from sklearn.datasets import load_digits

    found: Any = load_digits(return_X_y=True)
    X, y = found
    rng = np.random.default_rng(0)
    pick = rng.integers(len(X), size=n)
    digits = np.asarray(ndimage.zoom(X.reshape(-1, 8, 8) / 16, (1, 2.5, 2.5), order=1), np.float32)
    size = digits.shape[1]
    made = np.zeros((n, _PIXELS, _PIXELS), np.float32)
    for image, digit, i, j in zip(made, digits[pick], *rng.integers(2, 7, (2, n)), strict=True):
        image[i : i + size, j : j + size] = digit
    specks = rng.random(made.shape, np.float32) < 0.02
    made += specks * rng.random(made.shape, np.float32)
    return made.reshape(n, -1).clip(0, 1), y[pick]


def quiet(run: Callable[..., Any], *arguments: Any) -> Any:
    """Run without a word about convergence, which the gradient tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(*arguments)


ROWS = {"drop-in": drop_in, "small": small, "softmax": softmax, "cv": cross_validated}
