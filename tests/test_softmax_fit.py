"""K classes to the optimum: against scikit-learn, against two classes, and where there is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import jaxlr
from jaxlr.core import Params
from jaxlr.solve import FitStatus
from jaxlr.solve.host import HostObjective


def problem(n, d, K=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.1, 3, d) + rng.normal(size=d)
    z = X @ rng.normal(size=(d, K)) / 3 + rng.normal(size=K)
    return X, np.argmax(z + rng.gumbel(size=(n, K)), axis=1), rng.integers(1, 4, n) / 2


def gradient(params, X, y, s, l2):
    """Gradient of the mean loss in NumPy, dw and db."""
    z = X @ params.w.T + params.b
    a = np.exp(z - z.max(axis=1, keepdims=True))
    dz = (s / s.sum())[:, None] * (a / a.sum(axis=1, keepdims=True) - np.eye(len(params.w))[y])
    return dz.T @ X + l2 * params.w, dz.sum(axis=0)


@pytest.mark.parametrize("intercept", [True, False])
def test_the_answer_is_that_of_scikit_learn(intercept):
    X, y, s = problem(80, 4)
    fit = jaxlr.fit(X, y, n_classes=3, l2=0.05, sample_weight=s, fit_intercept=intercept, tol=1e-11)
    C = 1 / (0.05 * s.sum())
    model = LogisticRegression(C=C, tol=1e-12, fit_intercept=intercept, solver="newton-cholesky")
    model.fit(X, y, sample_weight=s)
    assert fit
    np.testing.assert_allclose(fit.params.w, model.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.params.w.sum(axis=0), 0, atol=1e-12)
    expected = model.intercept_ - model.intercept_.mean() if intercept else np.zeros(3)
    np.testing.assert_allclose(fit.params.b, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("intercept", [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_without_a_newton_matrix_correlated_features_cost_no_more_reads(intercept, monkeypatch):
    """L-BFGS begins with what the features have in common: the same block for all classes."""
    X, y, s = problem(2000, 12, 4)
    X = X @ (np.eye(12) + np.ones((12, 12)))  # each feature is mostly the mean of all
    settings = {"n_classes": 4, "l2": 1e-4, "sample_weight": s, "fit_intercept": intercept}
    with_block = jaxlr.fit(X, y, **settings, tol=1e-9, method="lbfgs")
    newton = jaxlr.fit(X, y, **settings, tol=1e-10)
    assert with_block
    np.testing.assert_allclose(with_block.params.w, newton.params.w, rtol=1e-5, atol=1e-7)
    monkeypatch.setattr(HostObjective, "class_block", lambda *_: None)
    with_diagonal = jaxlr.fit(X, y, **settings, tol=1e-9, method="lbfgs")
    reads = [fit.certificate.reads for fit in (with_block, with_diagonal)]
    assert reads[0] < 0.6 * reads[1], reads


def test_labels_of_8_bits_do_not_wrap_around_where_classes_are_many():
    X, y = np.ones((5, 2)), np.arange(5)
    params = Params(jnp.zeros((300, 2)), jnp.zeros(300))
    _, grads = jaxlr.loss_and_grads(params, X, y.astype(np.uint8))
    assert np.array_equal(np.flatnonzero(grads.b < 0), y)


def test_many_models_are_those_of_single_fits():
    X, y, s = problem(200, 2)
    fold, l2 = np.arange(200) % 2, [0.0, 0.1]
    settings = {"n_classes": 3, "l2": np.tile(l2, 2), "sample_weight": s, "tol": 1e-10}
    settings["folds"] = fold, [0, 0, 1, 1]
    fits = jaxlr.fit_many(X, y, **settings)
    assert fits
    assert fits.params.w.shape == (4, 3, 2)
    for k in (0, 3):
        kept = fold != k // 2
        fit = jaxlr.fit(
            X[kept], y[kept], n_classes=3, l2=l2[k % 2], sample_weight=s[kept], tol=1e-10
        )
        np.testing.assert_allclose(fits.params.w[k], fit.params.w, rtol=1e-8)
        np.testing.assert_allclose(fits.params.b[k], fit.params.b, rtol=1e-8)
    for init in (fit.params, fits.params):  # one for all, and one for each
        again = jaxlr.fit_many(X, y, **settings, init=init)
        assert again
        np.testing.assert_allclose(again.params.w, fits.params.w, rtol=1e-8)


def test_two_classes_have_the_answer_and_the_errors_of_the_logistic_function():
    X, y, _ = problem(200, 2, K=2)
    one, two = jaxlr.fit(X, y, tol=1e-10), jaxlr.fit(X, y, n_classes=2, tol=1e-10)
    np.testing.assert_allclose(two.params.w[1] - two.params.w[0], one.params.w, rtol=1e-7)
    difference = np.hstack([-np.eye(3), np.eye(3)])
    for kind in ("hessian", "sandwich"):
        covariance = difference @ two.covariance(kind) @ difference.T
        np.testing.assert_allclose(covariance, one.covariance(kind), rtol=1e-6)
    errors, alone = two.standard_errors(), one.standard_errors()
    np.testing.assert_allclose(2 * errors.w, np.tile(alone.w, (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(2 * errors.b, np.tile(alone.b, 2), rtol=1e-6)


def test_many_rows_take_few_reads():
    X, y, s = problem(70_000, 15)
    fit = jaxlr.fit(X.astype(np.float32), y, n_classes=3, sample_weight=s, tol=1e-7)
    X = X.astype(np.float32).astype(np.float64)
    dw, db = gradient(fit.params, X, y, s, 0.0)
    assert fit
    assert fit.certificate.reads < 10
    assert fit.certificate.raw_gradient == pytest.approx(
        max(abs(dw).max(), abs(db).max()), rel=1e-4
    )
    centered = (dw - X.mean(axis=0) * db[:, None]) / X.std(axis=0)
    assert abs(centered).max() < 1.1e-7


@pytest.mark.parametrize("n", [60, pytest.param(70_000, marks=pytest.mark.thorough)])
def test_without_an_optimum_the_fit_says_why(n):
    X, y, _ = problem(n, 15)
    sure = np.column_stack([X, np.where(y == 2, 5.0, X[:, 0].clip(-4, 4))])
    fit = jaxlr.fit(sure, y, n_classes=3)
    assert fit.certificate.status is FitStatus.SEPARATED
    assert 15 in fit.certificate.runaway
    missing = jaxlr.fit(X[:60], y[:60], n_classes=4)
    assert "a class has no row" in missing.certificate.describe()
    with pytest.raises(ValueError, match="no covariance"):
        missing.covariance()


def test_misuse_is_named():
    X, y, s = problem(20, 2)
    with pytest.raises(ValueError, match="n_classes is 1: it must be a whole number, at least 2"):
        jaxlr.fit(X, y, n_classes=1)
    with pytest.raises(ValueError, match="numbers of classes, from 0 to 1"):
        jaxlr.fit(X, y, n_classes=2)
    with pytest.raises(ValueError, match="offset is for two classes"):
        jaxlr.fit(X, y, n_classes=3, offset=s)
    with pytest.raises(ValueError, match=r"y has shape \(20, 3\): pass the number"):
        jaxlr.fit(X, np.eye(3)[y], n_classes=3)
    with pytest.raises(ValueError, match=r"init has w \(2,\) .*must be \(3, 2\) and \(3,\)"):
        jaxlr.fit(X, y, n_classes=3, init=Params(np.zeros(2), np.zeros(())))
    with pytest.raises(ValueError, match="drop n_classes"):
        jaxlr.fit_many(X, y, n_classes=3, classes=[0, 1])
    with pytest.raises(ValueError, match="n_classes are for models of shared rows"):
        jaxlr.fit_many([X, X], [y, y], n_classes=3)
    with pytest.raises(TypeError, match="cannot run inside"):
        jax.jit(lambda X: jaxlr.fit(X, y, n_classes=3).params.w)(X)
