"""The inner problem of the lasso: its conditions by NumPy, and how many turns it takes."""

import numpy as np
import pytest

import jaxlr
from jaxlr.solve.proximal import quadratic
from jaxlr.solve.proximal.inverse import FaceInverse, _inverse
from jaxlr.solve.proximal.quadratic import Quadratic


def flat_model(n=60, d=30, K=6):
    """Curvature of a softmax that is sure of its classes: nearly none in most directions."""
    rng = np.random.default_rng(0)
    X, P = rng.standard_normal((n, d)), rng.dirichlet(np.full(K, 0.1), n)
    B = np.einsum("nk,kl->nkl", P, np.eye(K)) - np.einsum("nk,nl->nkl", P, P)
    H = np.einsum("nkl,ni,nj->kilj", B, X, X).reshape(K * d, K * d) / n
    return H + 1e-9 * np.diag(np.diag(H)), H @ rng.standard_normal(K * d)


def twins(n=40, d=25):
    """More columns than rows, each there twice."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, d)) @ np.hstack([np.eye(d), np.eye(d)])
    H = X.T @ X / n
    return H + 1e-9 * np.diag(np.diag(H)), X.T @ rng.standard_normal(n) / n


def violation(H, c, l1, v):
    r = H @ v + c
    return np.where(v != 0, abs(r + l1 * np.sign(v)), np.maximum(abs(r) - l1, 0)).max()


@pytest.mark.parametrize("model", [flat_model, twins])
def test_it_is_optimal_after_few_turns(model, monkeypatch):
    H, c = model()
    turns, solve = [], FaceInverse.solve
    monkeypatch.setattr(FaceInverse, "solve", lambda *a: turns.append(1) or solve(*a))
    for size in (0.1, 0.01, 1e-3, 1e-4):
        l1 = np.full(len(c), size)
        l1[3] = 0
        turns.clear()
        v = Quadratic(H).minimise(c, l1, np.zeros(len(c)), 1e-8)
        assert violation(H, c, l1, v) <= 1e-8
        assert len(turns) <= 80  # one coordinate at a time: 400
        if model is twins:
            both = (v[:25] != 0) & (v[25:] != 0)
            assert both.sum() <= np.count_nonzero(l1 == 0)  # what says the same comes in once
    assert np.count_nonzero(v) > 20


def test_a_start_nearby_takes_no_more_than_what_changes():
    H, c = flat_model()
    l1, model = np.full(len(c), 0.01), Quadratic(H)
    v = model.minimise(c, l1, np.zeros(len(c)), 1e-10)
    np.testing.assert_allclose(model.minimise(c, l1, v, 1e-10), v, atol=1e-8)
    again = model.minimise(c, l1, -v, 1e-10)  # each sign is wrong
    assert violation(H, c, l1, again) <= 1e-10


@pytest.mark.parametrize("turns", [0, 1])
def test_out_of_turns_the_fit_goes_on_or_says_that_it_stopped(turns, monkeypatch):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((300, 8))
    y = (X[:, 0] - X[:, 1] + rng.logistic(size=300) > 0) * 1.0
    whole = jaxlr.fit(X, y, l1=1e-3, tol=1e-9)
    monkeypatch.setattr(quadratic, "_TURNS", turns)
    stopped = jaxlr.fit(X, y, l1=1e-3, tol=1e-9, max_steps=2)
    assert not stopped
    assert stopped.certificate.status is jaxlr.FitStatus.STOPPED
    assert stopped.certificate.gradient > 1e-9
    assert stopped.certificate.objective - whole.certificate.objective <= stopped.certificate.gap
    fit = jaxlr.fit(X, y, l1=1e-3, tol=1e-9)
    if turns == 0:  # no step at all: stuck, and said so
        assert not fit
        assert "No step lowers the objective" in fit.certificate.describe()
        return
    assert fit
    assert fit.certificate.gradient <= 1e-9
    np.testing.assert_allclose(fit.params.w, whole.params.w, rtol=1e-6)


def test_a_matrix_is_inverted_by_halves():
    A = np.random.default_rng(0).normal(size=(600, 300))
    C = A.T @ A / 600
    np.testing.assert_allclose(_inverse(C) @ C, np.eye(300), atol=1e-11)


def test_what_rounding_has_made_indefinite_is_inverted_all_the_same():
    C = np.ones((5, 5)) - 1e-14 * np.eye(5)
    inverse = _inverse(C)
    assert (np.linalg.eigvalsh(inverse) > 0).all()
    np.testing.assert_allclose(inverse @ np.ones(5), np.full(5, 0.2), rtol=1e-3)
    assert np.isnan(_inverse(np.full((2, 2), np.nan))).all()


def test_a_face_that_moves_keeps_its_inverse():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((90, 40))
    H, b = A.T @ A / 90, rng.standard_normal(40)
    inverse, face = FaceInverse(H), rng.random(40) < 0.6
    for _ in range(12):
        face[rng.integers(0, 40, 3)] ^= True
        x, Hx = inverse.solve(face, b)
        expected = np.linalg.solve(H[np.ix_(face, face)], b[face])
        np.testing.assert_allclose(x[face], expected, rtol=1e-8, atol=1e-10)
        assert not x[~face].any()
        np.testing.assert_allclose(Hx, H @ x, atol=1e-12)
