"""Newton's method on the host, for small data: against `fit`, and where it gives way to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from estimators import problem
from scipy import sparse, special

import jaxlr
from jaxlr import batch
from jaxlr.core import Params
from jaxlr.solve import fit_on_host, suits_host


@pytest.mark.parametrize("n", [3, 1024, 2500])
def test_terms_are_those_of_every_row(n):
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 3, n), rng.integers(0, 2, n).astype(float)
    with jax.enable_x64(True):
        L, dz, d2z = batch.terms_on_host(z, y)
    a = special.expit(z)
    np.testing.assert_allclose(L, -special.log_expit(np.where(y == 1, z, -z)), rtol=1e-14)
    np.testing.assert_allclose(dz, a - y, rtol=1e-12)
    np.testing.assert_allclose(d2z, a * special.expit(-z), rtol=1e-14)


def test_terms_of_classes():
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 3, (1100, 3)), rng.integers(0, 3, 1100)
    with jax.enable_x64(True):
        L, dz, d2z = batch.terms_on_host(z, y.astype(np.int32))
    a = special.softmax(z, axis=1)
    np.testing.assert_allclose(L, -special.log_softmax(z, axis=1)[np.arange(1100), y], atol=1e-15)
    np.testing.assert_allclose(dz, a - np.eye(3)[y], atol=1e-15, rtol=1e-10)
    np.testing.assert_allclose(d2z[7], np.diag(a[7]) - np.outer(a[7], a[7]), atol=1e-15)


@pytest.mark.parametrize(("intercept", "l2"), [(True, 0.1), (False, 0.0)])
def test_it_agrees_with_fit(intercept, l2):
    X, y = problem(31)
    s = np.random.default_rng(1).uniform(0, 2, len(y))
    options = {"l2": l2, "sample_weight": s, "fit_intercept": intercept}
    found, expected = fit_on_host(X, y, **options), jaxlr.fit(X, y, **options, tol=1e-10)
    assert found is not None
    np.testing.assert_allclose(found.params.w, expected.params.w, rtol=1e-9)
    np.testing.assert_allclose(found.params.b, expected.params.b, rtol=1e-9, atol=1e-12)
    ours, theirs = found.certificate, expected.certificate
    assert ours.status is theirs.status
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-12)
    early = fit_on_host(X, y, **options, max_steps=1)
    assert early is not None
    assert early.certificate.status is jaxlr.FitStatus.STOPPED
    # What the certificate says of a model that is not there yet, by the difference of objectives.
    gap = early.certificate.objective - ours.objective
    assert early.certificate.gap == pytest.approx(gap, rel=0.3)


def test_the_gradient_of_a_certificate_is_that_of_the_objective():
    X, y = problem(32)
    early = fit_on_host(X, y, l2=0.1, max_steps=1)
    assert early is not None
    (w, b), certificate = early
    z = X @ w + b
    dz = special.expit(z) - y
    dw, db = X.T @ dz / len(y) + 0.1 * w, dz.mean()
    assert certificate.raw_gradient == pytest.approx(max(abs(dw).max(), abs(db)), rel=1e-9)
    du = (dw - X.mean(axis=0) * db) / X.std(axis=0)
    assert certificate.gradient == pytest.approx(max(abs(du).max(), abs(db)), rel=1e-9)
    J = np.mean(np.logaddexp(0, np.where(y == 1, -z, z))) + 0.05 * w @ w
    assert certificate.objective == pytest.approx(J, rel=1e-12)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_sparse_rows_are_the_same_rows(K, intercept):
    X, y = problem(33, K=K)
    X[abs(X) < 1] = 0
    X = np.column_stack([X, np.zeros(len(X)), np.ones(len(X)), 1e6 * (X[:, 0] > 0)])
    s = np.random.default_rng(1).uniform(0, 2, len(y))
    options = {"n_classes": K, "l2": 0.1, "sample_weight": s, "fit_intercept": intercept}
    dense = fit_on_host(X, y, **options)
    for form in (sparse.csr_array, sparse.csc_matrix):
        found = fit_on_host(form(X), y, **options)
        assert found is not None
        assert dense is not None
        np.testing.assert_allclose(found.params.w, dense.params.w, rtol=1e-8, atol=1e-14)
        np.testing.assert_allclose(found.params.b, dense.params.b, rtol=1e-8, atol=1e-12)
        assert found.certificate.gradient <= 1e-10


def test_classes_are_centred_from_wherever_they_start():
    X, y = problem(34, K=3)
    init = Params(np.ones((3, 3)), np.array([5.0, 6.0, 7.0]))  # pyright: ignore[reportArgumentType]
    near, far = (
        fit_on_host(X, y, n_classes=3, l2=0.1, init=init),
        fit_on_host(X, y, n_classes=3, l2=0.1),
    )
    assert near is not None
    assert far is not None
    np.testing.assert_allclose(near.params.w, far.params.w, rtol=1e-9)
    np.testing.assert_allclose(near.params.w.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(near.params.b.sum(), 0, atol=1e-9)


def test_twice_the_same_column():
    X, y = problem(36, d=1)
    twice, once = fit_on_host(np.column_stack([X, X]), y), fit_on_host(X, y)
    assert twice is not None
    assert once is not None
    assert twice.params.w.sum() == pytest.approx(once.params.w[0], rel=1e-9)


def test_labels_that_may_be_told_apart_are_left_to_fit():
    X, y = np.array([[0.0], [1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])  # but for the two ties
    assert fit_on_host(X, y) is None
    assert jaxlr.fit(X, y).certificate.status is jaxlr.FitStatus.SEPARATED


def test_a_class_without_rows():
    X, y = problem(35)
    for K, classes in ((2, np.zeros_like(y)), (3, y)):
        found = fit_on_host(X, classes, n_classes=K, l2=0.1)
        assert found is not None
        assert found.certificate.status is jaxlr.FitStatus.SEPARATED
        assert found.certificate.one_label
        assert found.certificate.runaway == (-1,)


def test_what_is_large_is_not_for_the_host():
    assert suits_host(1000, 20)
    assert not suits_host(1_000_000, 4)
    assert not suits_host(1000, 2000)
    assert not suits_host(1000, 100, 50)


@pytest.fixture(scope="module")
def many():
    """Rows of which the solver takes samples: more than a million numbers."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60_000, 18)) @ rng.standard_normal((18, 18)) + 3
    return X, X[:, 0] - 3 + 2 * rng.logistic(size=len(X)) > 0, rng.uniform(0, 2, len(X))


@pytest.mark.parametrize("K", [None, 3])
def test_few_rows_have_the_certificate_of_the_compiled_way(K):
    X, y = problem(37, K=K or 2)
    s = np.random.default_rng(1).uniform(0, 2, len(y))
    offset = None if K else np.random.default_rng(2).normal(size=len(y))
    with jax.enable_x64(True):
        on_device = jnp.asarray(X)
    options = {"sample_weight": s, "offset": offset, "n_classes": K, "l2": 0.01, "tol": 1e-8}
    found, expected = (jaxlr.fit(rows, y, **options) for rows in (X, on_device))
    np.testing.assert_allclose(found.params.w, expected.params.w, rtol=1e-10, atol=1e-12)
    assert found.certificate.steps == expected.certificate.steps
    assert found.certificate.gap == pytest.approx(expected.certificate.gap, rel=1e-3)
    np.testing.assert_allclose(found.history.objective, expected.history.objective, rtol=1e-12)
    for kind in ("hessian", "sandwich"):
        np.testing.assert_allclose(found.covariance(kind), expected.covariance(kind), rtol=1e-8)


@pytest.mark.parametrize("K", [2, 3])
def test_labels_that_some_rows_give_away_are_found_on_the_host(K):
    X, y = problem(38, K=K)
    X[:, 0] = y == 0  # which tells class 0 from all others
    fit = jaxlr.fit(X, y, n_classes=K)
    assert fit.certificate.status is jaxlr.FitStatus.SEPARATED
    assert 0 in fit.certificate.runaway


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("intercept", [True, False])
def test_rows_on_the_host_are_solved_like_any(many, kind, intercept):
    X, y, s = many
    X = X.astype(kind)
    options = {"l2": 1e-3, "sample_weight": s, "fit_intercept": intercept, "tol": 1e-9}
    found = jaxlr.fit(X, y, **options)
    assert found.certificate.converged
    assert found.certificate.steps < 30
    # The gradient at the parameters that were found, by NumPy.
    w, b = found.params
    dz = s * (special.expit(X.astype(np.float64) @ w + b) - y) / s.sum()
    np.testing.assert_allclose(X.astype(np.float64).T @ dz, -1e-3 * w, atol=2e-8)
    assert intercept == (abs(dz.sum()) < 1e-8)
    assert (b == 0) == (not intercept)


@pytest.mark.thorough
def test_rows_on_the_host_have_the_same_certificate(many):
    X, y, _ = many
    with jax.enable_x64(True):
        on_device = jnp.asarray(X)
    found, expected = jaxlr.fit(X, y, l2=1e-3), jaxlr.fit(on_device, y, l2=1e-3)
    np.testing.assert_allclose(found.params.w, expected.params.w, rtol=1e-10)
    assert found.certificate.reads == expected.certificate.reads
    assert found.certificate.gap == pytest.approx(expected.certificate.gap, rel=1e-3)
    np.testing.assert_allclose(found.covariance("sandwich"), expected.covariance("sandwich"))


def test_rare_columns_and_separation_on_the_host(many):
    X, y, _ = many
    X = X.copy()
    X[:, 0] = np.arange(len(X)) % 20_000 == 0  # 3 rows, of one label
    y = y | (X[:, 0] == 1)
    held = jaxlr.fit(X, y, l2=1e-3)
    assert held.certificate.converged
    free = jaxlr.fit(X, y)
    assert free.certificate.status is jaxlr.FitStatus.SEPARATED
    assert free.certificate.runaway == (0,)
