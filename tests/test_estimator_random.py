"""Random problems of every kind, against scikit-learn and the conditions of an optimum."""

import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimality import Conditions, Problem
from scipy import sparse
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning

from jaxlr import FitStatus
from jaxlr.estimator import LogisticRegression

FORMS = {"dense": np.asarray, "csr": sparse.csr_array, "csc": sparse.csc_matrix}


class Drawn(NamedTuple):
    """All that a problem follows from: what hypothesis shows of one that fails."""

    seed: int
    n: int
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
    n=st.sampled_from([20, 64]),
    K=st.sampled_from([2, 3, 4]),
    C=st.sampled_from([1e-2, 0.3, 1.0, 30.0, 1e3]),
    l1_ratio=st.just(0.0),
    fit_intercept=st.booleans(),
    class_weight=st.sampled_from([None, "balanced", "dict"]),
    weighted=st.booleans(),
    form=st.sampled_from(list(FORMS)),
    decades=st.sampled_from([0.0, 2.0, 4.0]),
    column=st.sampled_from(["plain", "twice", "nearly constant"]),
    repeated=st.booleans(),
)
KINDS = {
    "none": {"C": np.inf, "l1_ratio": 0.0},
    "l2": {"l1_ratio": 0.0},
    "l1": {"l1_ratio": 1.0},
    "elastic net": {"l1_ratio": 0.4},
}


def problem_of(drawn):
    rng, n = np.random.default_rng(drawn.seed), drawn.n
    X = rng.standard_normal((n, 4)) * (rng.random((n, 4)) < 0.7)
    X[:, 3] = {"plain": X[:, 3], "twice": X[:, 0], "nearly constant": 1 + 1e-6 * X[:, 3]}[
        drawn.column
    ]
    if drawn.repeated:
        X[n // 2 :] = X[: n // 2]
    z = X @ rng.standard_normal((4, drawn.K))
    y = np.argmax(z + 2 * rng.gumbel(size=z.shape), axis=1)
    y[: drawn.K] = np.arange(drawn.K)
    s = rng.integers(0, 4, n) * rng.uniform(0.5, 2) if drawn.weighted else None
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
        np.testing.assert_allclose(
            ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5, atol=1e-14
        )


PARTLY_APART = Drawn(
    seed=2310742181,
    n=20,
    K=4,
    C=1.0,
    l1_ratio=0.0,
    fit_intercept=True,
    class_weight=None,
    weighted=False,
    form="dense",
    decades=0.0,
    column="nearly constant",
    repeated=False,
)


def test_labels_partly_told_apart():
    """Once the certificate's Newton step was that of no matrix, and nothing was seen."""
    check(PARTLY_APART._replace(**KINDS["none"]))
    # Here rows far on their label's side go back a little, for others that are less far.
    here = PARTLY_APART._replace(seed=1465069577, repeated=True)
    check(here._replace(**KINDS["none"]))


def test_faces_that_are_mostly_without_curvature():
    """Once L1 ended at 5e-8: one correction of the inverse of such a face was not enough."""
    check(PARTLY_APART._replace(seed=1, C=30.0, l1_ratio=1.0, column="twice"))


def test_boolean_labels_of_strict_types():
    two = PARTLY_APART._replace(seed=9245, K=2, weighted=True, column="plain", repeated=True)
    check(two._replace(**KINDS["none"]))


@pytest.mark.parametrize(
    "kind",
    [pytest.param(v, marks=pytest.mark.thorough if v == "elastic net" else ()) for v in KINDS],
)
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
