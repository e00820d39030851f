"""Many models in one call: the same as one after the other, whatever becomes of the others."""

import numpy as np
import pytest

import jaxlr
from jaxlr import FitStatus


def problem(n=2000, d=4, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    y = (rng.random(n) < 1 / (1 + np.exp(-X @ rng.standard_normal(d) + 0.3))).astype(float)
    return X, y


def assert_same(fits, k, fit, tolerance=1e-10):
    np.testing.assert_allclose(fits.params.w[k], fit.params.w, rtol=tolerance, atol=tolerance)
    assert fits.params.b[k] == pytest.approx(fit.params.b, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(
    ("n", "dtype", "tol", "equal"),
    [(2001, np.float64, 1e-12, 1e-10), (80_001, np.float32, 1e-8, 1e-6)],  # three equal folds
)
def test_penalties_and_folds_are_those_of_a_loop(n, dtype, tol, equal):
    X, y = problem(n, dtype=dtype)
    l2 = np.array([0.0, 1e-3, 1.0])
    fold = np.arange(n) % 3
    fits = jaxlr.fit_many(X, y, l2=np.tile(l2, 3), folds=(fold, np.repeat([0, 1, 2], 3)), tol=tol)
    assert fits
    assert len(fits) == 9
    for k in range(9):
        rows = fold != k // 3
        assert_same(fits, k, jaxlr.fit(X[rows], y[rows], l2=l2[k % 3], tol=tol), equal)


def test_labels_weights_classes_and_starts_are_those_of_a_loop():
    X, y = problem()
    rng = np.random.default_rng(1)
    Y, S = rng.random((len(y), 3)), rng.integers(0, 4, (len(y), 3))
    offset = rng.standard_normal(len(y))
    fits = jaxlr.fit_many(X, Y, sample_weight=S, offset=offset, tol=1e-12)
    for k in range(3):
        one = jaxlr.fit(X, Y[:, k], sample_weight=S[:, k], offset=offset, tol=1e-12)
        assert_same(fits, k, one)
    classes = rng.integers(5, 8, len(y))
    fits = jaxlr.fit_many(X, classes, classes=[5, 6, 7], tol=1e-12)
    names = np.array(["five", "six", "seven"])
    named = jaxlr.fit_many(X, names[classes - 5], classes=names, tol=1e-12)
    np.testing.assert_array_equal(named.params.w, fits.params.w)
    for k in range(3):
        assert_same(fits, k, jaxlr.fit(X, 1.0 * (classes == 5 + k), tol=1e-12))
    init = jaxlr.Params(rng.standard_normal((4, X.shape[1])), np.zeros(4))
    fits = jaxlr.fit_many(X, y, init=init, tol=1e-12)
    for k in range(4):
        assert_same(fits, k, jaxlr.fit(X, y, tol=1e-12))


@pytest.mark.parametrize(
    ("intercept", "sizes"),
    [(True, [40, 200]), pytest.param(False, [40, 60], marks=pytest.mark.thorough)],
)
def test_data_sets_of_their_own_are_those_of_a_loop(intercept, sizes):
    rng = np.random.default_rng(2)
    sizes = rng.choice(sizes, 25)
    X = [rng.standard_normal((n, 3)) * [1e3, 1, 1e-3] for n in sizes]
    y = [(rng.random(n) < 0.4).astype(float) for n in sizes]
    s = [rng.random(n) for n in sizes]
    settings = {"l2": 1e-3, "fit_intercept": intercept, "tol": 1e-12}
    fits = jaxlr.fit_many(X, y, sample_weight=s, **settings)
    for k in range(25):
        assert_same(fits, k, jaxlr.fit(X[k], y[k], sample_weight=s[k], **settings), 1e-8)


def test_a_model_that_fails_touches_no_other():
    X, y = problem()
    Y = np.stack([y, y * 0, (X[:, 0] > 0) * 1.0, 1 - y], axis=1)
    fits = jaxlr.fit_many(X, Y, tol=1e-12)
    assert not fits
    assert [c.status for c in fits.certificates] == [
        FitStatus.CONVERGED, FitStatus.SEPARATED, FitStatus.SEPARATED, FitStatus.CONVERGED,
    ]  # fmt: skip
    assert fits.counts() == {FitStatus.CONVERGED: 2, FitStatus.SEPARATED: 2}
    alone = jaxlr.fit(X, y, tol=1e-12)
    assert_same(fits, 0, alone)
    np.testing.assert_allclose(fits.params.w[3], -alone.params.w, rtol=1e-10)


def test_many_small_models_are_solved_in_parts(monkeypatch):
    from jaxlr.solve import problems

    X, y = problem()
    l2 = np.logspace(-3, 0, 4)
    together = jaxlr.fit_many(X, y, l2=l2, tol=1e-12)
    monkeypatch.setattr(problems, "_BYTES_AT_A_TIME", 2500)  # one model
    np.testing.assert_allclose(
        jaxlr.fit_many(X, y, l2=l2, tol=1e-12).params.w, together.params.w, rtol=1e-10
    )


BAD = {
    "the number of models is not clear": {"l2": [0, 1.0], "classes": [0, 1, 2]},
    r"sample_weight is -1.0 in row 3, column 1": {
        "sample_weight": np.where(np.arange(100).reshape(50, 2) == 7, -1.0, 1)
    },
    "largest sample_weight of model 0 is 1e[+]30": {"sample_weight": np.full((50, 2), 1e30)},
    "sample_weight of model 1 is 0 everywhere": {"sample_weight": np.tile([1, 0], (50, 1))},
    r"folds has fold of shape \(3,\)": {"folds": ([0, 1, 2], [0, 1])},
    r"folds must be a pair \(fold, left_out\)": {"folds": 4},
    "l2 is empty": {"l2": []},
    "classes is empty": {"classes": []},
    "tol is -1": {"tol": -1},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    X, y = problem(n=50)
    with pytest.raises(ValueError, match=message):
        jaxlr.fit_many(X, y, **BAD[message])


def test_bad_data_sets_are_named():
    X, y = problem(n=50)
    for broken, message in (
        (np.where(X[3, 1] == X, np.inf, X), "data set 1: X is inf in row 3, column 1"),
        (X[:, :2], r"data set 1: X has shape \(50, 2\): it must be \(rows, 4\)"),
        (X[:0], "data set 1: X has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxlr.fit_many([X, broken], [y, y])
    with pytest.raises(ValueError, match="X has 2 data sets, but y has 1"):
        jaxlr.fit_many([X, X], [y])
    with pytest.raises(ValueError, match="empty sequence"):
        jaxlr.fit_many([], [])
    with pytest.raises(ValueError, match="shared rows"):
        jaxlr.fit_many([X, X], [y, y], classes=[0, 1])


def test_cross_validation_is_that_of_a_loop():
    from sklearn import metrics

    X, y = problem(n=300)
    l2 = np.array([1e-4, 1e-2, 1.0])
    s = np.random.default_rng(3).random(300)
    cv = jaxlr.cross_validate(X, y, l2=l2, folds=3, sample_weight=s, tol=1e-10)
    assert sorted(np.unique(cv.fold)) == [0, 1, 2]
    ones = [y[cv.fold == f].sum() for f in range(3)]
    assert np.ptp(ones) <= 1
    for f in range(3):
        out = cv.fold == f
        for k, penalty in enumerate(l2):
            fit = jaxlr.fit(X[~out], y[~out], l2=penalty, sample_weight=s[~out], tol=1e-10)
            a = 1 / (1 + np.exp(-(X[out] @ fit.params.w + fit.params.b)))
            weight = {"sample_weight": s[out]}
            expected = (
                metrics.log_loss(y[out], a, **weight),
                metrics.accuracy_score(y[out], a >= 0.5, **weight),
                metrics.roc_auc_score(y[out], a, **weight),
            )
            found = [score.folds[k, f] for score in (cv.log_loss, cv.accuracy, cv.auc)]
            np.testing.assert_allclose(found, expected, rtol=1e-7)
    np.testing.assert_allclose(cv.log_loss.mean, cv.log_loss.folds.mean(axis=1))
    error = cv.log_loss.folds.std(axis=1, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(cv.log_loss.standard_error, error)
    assert cv.best == np.argmin(cv.log_loss.mean)
    limit = cv.log_loss.mean[cv.best] + error[cv.best]
    assert cv.l2[cv.one_standard_error] == max(l2[cv.log_loss.mean <= limit])
    kept = cv.fold != 0
    first = jaxlr.fit(X[kept], y[kept], l2=l2[0], sample_weight=s[kept], tol=1e-12)
    assert_same(cv.fits, 0, first, 1e-7)
    refit = jaxlr.fit(X, y, l2=l2[cv.best], sample_weight=s, tol=1e-10)
    np.testing.assert_allclose(cv.refit.params.w, refit.params.w, rtol=1e-7)


def test_cross_validation_of_soft_labels_and_given_folds():
    X, _ = problem(n=300)
    y = np.random.default_rng(4).random(300)
    fold = np.repeat([7, 9, 11], 100)
    cv = jaxlr.cross_validate(X, y, l2=[0.1], folds=fold, choose="one standard error")
    named = jaxlr.cross_validate(X, y, l2=[0.1], folds=np.repeat(["a", "b", "c"], 100))
    np.testing.assert_array_equal(named.log_loss.folds, cv.log_loss.folds)
    assert np.isnan(cv.auc.mean).all()
    assert np.isfinite(cv.log_loss.mean).all()
    for folds, message in (
        (1, "folds is 1"),
        (fold[:5], "folds has shape"),
        (fold * 0, "one fold"),
        (np.where(fold == 9, np.nan, fold), "folds is nan in row"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxlr.cross_validate(X, y, l2=[0.1], folds=folds)


def test_auc_is_the_mean_of_the_folds_that_have_it():
    X, y = problem(n=300)
    fold = np.repeat([0, 1, 2], 100)
    y[fold == 1] = 1
    cv = jaxlr.cross_validate(X, y, l2=[0.1], folds=fold)
    assert np.isnan(cv.auc.folds[0]).tolist() == [False, True, False]
    assert cv.auc.mean[0] == pytest.approx(cv.auc.folds[0, [0, 2]].mean())


def test_area_under_the_curve_with_ties_and_weights():
    from sklearn.metrics import roc_auc_score

    from jaxlr.solve.validation import _auc

    rng = np.random.default_rng(5)
    z, y, s = rng.integers(0, 6, 200) / 2, rng.integers(0, 2, 200), rng.random(200)
    assert _auc(z, y, s) == pytest.approx(roc_auc_score(y, z, sample_weight=s), rel=1e-12)
    assert np.isnan(_auc(z, y * 0, s))


def test_bootstrap_intervals_are_those_of_drawing_rows():
    X, y = problem(n=300)
    boot = jaxlr.bootstrap(X, y, replicates=400, seed=1)
    rng = np.random.default_rng(1)
    first = rng.integers(300, size=300)
    alone = jaxlr.fit(X[first], y[first], tol=1e-10)
    np.testing.assert_allclose(boot.replicates.params.w[0], alone.params.w, rtol=1e-4)
    errors = boot.fit.standard_errors()
    np.testing.assert_allclose(boot.standard_error.w, errors.w, rtol=0.2)
    inside = (boot.lower.w < boot.fit.params.w) & (boot.fit.params.w < boot.upper.w)
    assert inside.all()
    np.testing.assert_allclose(boot.upper.w - boot.lower.w, 3.92 * errors.w, rtol=0.25)
    again = jaxlr.bootstrap(X, y, replicates=400, seed=1)
    assert again.lower.w.tobytes() == boot.lower.w.tobytes()
    with pytest.raises(ValueError, match="nothing to resample"):
        jaxlr.bootstrap(X, (X[:, 0] > 0) * 1.0)
