"""Random problems of every kind, against scikit-learn and the conditions of an optimum."""

import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse, special
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning

from jaxlr import FitStatus
from jaxlr.estimator import LogisticRegression

FORMS = {"dense": np.asarray, "csr": sparse.csr_array, "csc": sparse.csc_matrix}
ROWS = 64


class Drawn(NamedTuple):
    """All that a problem follows from: what hypothesis shows of one that fails."""

    seed: int
    K: int
    C: float
    l1_ratio: float
    fit_intercept: bool
    class_weight: str | None
    weighted: bool
    form: str
    decades: float  # between the scales of the features
    column: str  # the last one
    repeated: bool  # rows

    @property
    def unique(self) -> bool:
        """Whether only one point is the optimum, in w and not in z alone."""
        twice = self.column == "twice" and (self.l1_ratio == 1 or np.isinf(self.C))
        return not twice and not (self.K > 3 and self.l1_ratio == 1)


DRAWN = st.builds(
    Drawn,
    seed=st.integers(0, 2**32 - 1),
    K=st.sampled_from([2, 3, 4]),
    C=st.sampled_from([1e-2, 0.3, 1.0, 30.0, 1e3]),
    l1_ratio=st.just(0.0),
    fit_intercept=st.booleans(),
    class_weight=st.sampled_from([None, "balanced", "dict"]),
    weighted=st.booleans(),
    form=st.sampled_from(list(FORMS)),
    decades=st.sampled_from([0.0, 2.0, 6.0]),
    column=st.sampled_from(["plain", "twice", "nearly constant"]),
    repeated=st.booleans(),
)
KINDS = {
    "none": {"C": np.inf, "l1_ratio": 0.0},
    "l2": {"l1_ratio": 0.0},
    "l1": {"l1_ratio": 1.0},
    "elastic net": {"l1_ratio": 0.4},
}


class Problem(NamedTuple):
    """Rows, labels and weights, and the options of an estimator."""

    X: np.ndarray
    y: np.ndarray
    s: np.ndarray | None
    options: dict


def problem_of(drawn):
    rng = np.random.default_rng(drawn.seed)
    X = rng.standard_normal((ROWS, 4)) * (rng.random((ROWS, 4)) < 0.7)
    X[:, 3] = {"plain": X[:, 3], "twice": X[:, 0], "nearly constant": 1 + 1e-6 * X[:, 3]}[
        drawn.column
    ]
    if drawn.repeated:
        X[ROWS // 2 :] = X[: ROWS // 2]
    z = X @ rng.standard_normal((4, drawn.K))
    y = np.argmax(z + 2 * rng.gumbel(size=z.shape), axis=1)
    y[: drawn.K] = np.arange(drawn.K)
    s = rng.integers(0, 4, ROWS) * rng.uniform(0.5, 2) if drawn.weighted else None
    if s is not None:
        s[: drawn.K] = 1.0
    X = X * 10 ** (drawn.decades * rng.uniform(-0.5, 0.5, 4))
    of_classes = dict(enumerate(rng.uniform(0.3, 3, drawn.K).tolist()))
    options = {
        "C": drawn.C,
        "l1_ratio": drawn.l1_ratio,
        "fit_intercept": drawn.fit_intercept,
        "class_weight": of_classes if drawn.class_weight == "dict" else drawn.class_weight,
    }
    return Problem(X, y, s, options)


class Conditions:
    """The objective of a problem by NumPy, in standardised features; m is 1 for two classes."""

    def __init__(self, problem):
        X, y, s, options = problem
        self.K = len(np.unique(y))
        s = np.ones(len(y)) if s is None else s
        if options["class_weight"] == "balanced":
            s = s * (s.sum() / (self.K * np.bincount(y, s)))[y]
        elif options["class_weight"]:
            s = s * np.array([options["class_weight"][k] for k in range(self.K)])[y]
        self.s = s / s.sum()
        free = options["fit_intercept"]
        self.center = self.s @ X if free else np.zeros(X.shape[1])
        self.scale = np.sqrt(self.s @ (X - self.center) ** 2)
        self.U = (X - self.center) / self.scale
        if free:
            self.U = np.column_stack([self.U, np.ones(len(y))])
        self.m = 1 if self.K == 2 else self.K
        self.y, self.labels = y, np.eye(self.K)[y][:, self.K - self.m :]
        r, strength = options["l1_ratio"], 1 / (options["C"] * s.sum())
        # of v = w scale, and none of the intercept
        free = np.zeros(int(free))
        self.l1 = np.append(r * strength / self.scale, free)
        self.l2 = np.append((1 - r) * strength / self.scale**2, free)

    def point(self, model):
        """Coefficients (m, p) of a model."""
        v = model.coef_ * self.scale
        if self.U.shape[1] == len(self.scale):
            return v
        return np.column_stack([v, model.intercept_ + model.coef_ @ self.center])

    def predictors(self, v):
        z = self.U @ v.T
        return np.column_stack([0 * z, z]) if self.m == 1 else z

    def objective(self, v):
        z = self.predictors(v)
        L = special.logsumexp(z, axis=1) - z[np.arange(len(z)), self.y]
        return self.s @ L + np.sum(self.l2 * v**2) / 2 + np.sum(self.l1 * abs(v))

    def step(self, v):
        """Gradient and Newton's step among the coefficients that are not 0; the others' slack."""
        a = special.softmax(self.predictors(v), axis=1)[:, self.K - self.m :]
        dv = ((a - self.labels) * self.s[:, None]).T @ self.U + self.l2 * v
        free = ((v != 0) | (self.l1 == 0)).ravel()
        d2z = a[:, :, None] * (np.eye(self.m) - a[:, None, :]) * self.s[:, None, None]
        H = np.einsum("ni,njk,nl->jikl", self.U, d2z, self.U).reshape(v.size, v.size)
        H += np.diag(np.broadcast_to(self.l2, v.shape).ravel())
        g = (dv + np.sign(v) * self.l1).ravel()[free]
        H = H[np.ix_(free, free)]
        root = np.sqrt(np.diag(H))
        step = np.linalg.lstsq(H / np.outer(root, root), -g / root, rcond=1e-11)[0] / root
        slack = (np.broadcast_to(self.l1, v.shape) - abs(dv)).ravel()[~free]
        return g, step, slack

    def hold(self, v):
        """Whether v is an optimum, to 1e-6 of the largest coefficient."""
        g, step, slack = self.step(v)
        still = abs(step).max(initial=0) <= 1e-6 * abs(v).max() + 1e-12
        return still and abs(g).max(initial=0) <= 1e-9 and slack.min(initial=0) >= -1e-9

    def separable(self):
        """Whether a direction takes no row away from its label, and some towards it."""
        U, y = self.U[self.s > 0], self.y[self.s > 0]
        n, p = U.shape
        rows = [
            np.kron(np.eye(self.K)[y[i]] - np.eye(self.K)[k], U[i])
            for i in range(n)
            for k in range(self.K)
            if k != y[i]
        ]
        A = np.array(rows)
        found = optimize.linprog(
            np.append(np.zeros(self.K * p), -np.ones(len(A))),
            np.column_stack([-A, np.eye(len(A))]),
            np.zeros(len(A)),
            bounds=[(None, None)] * (self.K * p) + [(0, 1)] * len(A),
        )
        assert found.status == 0, found.message
        return -found.fun > 0.5


def reference(problem, drawn):
    """scikit-learn's most exact answer."""
    X, y, s, options = problem
    how = {"solver": "newton-cholesky", "tol": 1e-13, "max_iter": 1000}
    if drawn.l1_ratio:
        how = {"solver": "saga", "tol": 1e-10, "max_iter": 3000, "random_state": 0}
        if drawn.K == 2 and drawn.l1_ratio == 1 and not drawn.fit_intercept:
            how = {"solver": "liblinear", "tol": 1e-12, "max_iter": 100_000}
    with warnings.catch_warnings(action="ignore"):
        return linear_model.LogisticRegression(**options, **how).fit(X, y, s)


def check(drawn):
    problem = problem_of(drawn)
    X, y, s, options = problem
    conditions = Conditions(problem)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours = LogisticRegression(**options).fit(FORMS[drawn.form](X), y, s)
    if np.isinf(drawn.C) and conditions.separable():
        assert ours.certificate_.status is FitStatus.SEPARATED
        assert [w.category for w in caught] == [ConvergenceWarning]
        return
    assert not caught, caught[0].message
    assert ours.certificate_.converged

    # The conditions of an optimum, and how far Newton's method would move it.
    v = conditions.point(ours)
    assert conditions.hold(v)

    # scikit-learn's answer is not better, and the same where it got there.
    theirs = reference(problem, drawn)
    other = conditions.point(theirs)
    assert conditions.objective(v) <= conditions.objective(other) + 1e-13
    if conditions.hold(other):
        if drawn.unique:
            np.testing.assert_allclose(v, other, rtol=1e-6, atol=1e-6 * abs(v).max())
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(drawn=DRAWN)
@settings(max_examples=6, deadline=None, derandomize=True)
def test_random_problems(kind, drawn):
    check(drawn._replace(**KINDS[kind]))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
@given(drawn=DRAWN)
@settings(max_examples=500, deadline=None)
def test_many_random_problems(kind, drawn):
    check(drawn._replace(**KINDS[kind]))
