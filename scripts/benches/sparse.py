"""Sparse X: products both ways beside SciPy's, and one model to the optimum beside scikit-learn.

Rows have 30 entries, columns as many as words have in a language: a few are in most rows, most in
a few. Each row is about one of 50 topics, so that columns are correlated.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SIZES = [(300_000, 30_000), (1_000_000, 100_000)]
ENTRIES, TOPICS = 30, 50
TARGET = 1e-6
SECONDS = 200  # that one contender may take for its rounds
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
OURS = "jaxlr"
SOLVERS = ("lbfgs", "newton-cg", "liblinear", "sag", "saga")


class Problem(NamedTuple):
    """Rows in SciPy's CSR, labels and penalty."""

    X: Any
    y: np.ndarray
    l2: float


class Answer(NamedTuple):
    """Parameters in float64, and reads where they are known."""

    w: np.ndarray
    b: float
    reads: float


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
    X = sparse.csr_array((value, column, np.arange(n + 1) * ENTRIES), shape=(n, d))
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
