"""Lasso and elastic net: closed forms, scikit-learn's answers, conditions and gap by NumPy."""

import jax
import numpy as np
import pytest
from scipy import sparse

import jaxlr
from jaxlr import FitStatus
from jaxlr.solve import many
from jaxlr.solve.proximal import descent

# Each shape compiles for a second or two: one shape of a small problem serves most tests.
N, D = 300, 8


def problem(n=N, d=D, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * rng.choice([0.1, 1, 10], d) + rng.standard_normal(d)
    y = (X[:, 0] - X[:, 1] + rng.logistic(size=n) > 0).astype(float)
    return X.astype(dtype), y


def values(X, y, w, b, l1=0.0, l2=0.0, s=None, offset=0.0):
    """Objective, gradient by w of all but l1, gradient by b, in NumPy."""
    X, s = X.astype(float), np.ones(len(y)) if s is None else s
    z = X @ w + b + offset
    J = np.average(np.logaddexp(0, z) - y * z, weights=s) + l1 * abs(w).sum() + l2 / 2 * w @ w
    dz = s * (1 / (1 + np.exp(-z)) - y) / s.sum()
    return J, dz @ X + l2 * w, dz.sum()


def violation(g, w, l1):
    return np.where(w != 0, abs(g + l1 * np.sign(w)), np.maximum(abs(g) - l1, 0)).max()


def reference(X, y, l1, l2, s, intercept):
    """Where scikit-learn's saga arrives."""
    from sklearn.linear_model import LogisticRegression

    total = l1 + l2
    model = LogisticRegression(
        C=1 / (total * s.sum()), l1_ratio=l1 / total, solver="saga", tol=1e-9, max_iter=10_000,
        fit_intercept=intercept, random_state=0,
    ).fit(X, y, sample_weight=s)  # fmt: skip
    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    return model.coef_[0], float(np.ravel(model.intercept_)[0])


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("l1", "l2"), [(0.03, 0.0), (0.02, 0.05)])
def test_it_is_where_scikit_learn_arrives(l1, l2, intercept):
    X, y = problem()
    X = (X - X.mean(axis=0)) / X.std(axis=0) + 0.1  # saga is slow on anything else
    s = np.random.default_rng(1).random(N)
    fit = jaxlr.fit(X, y, l1=l1, l2=l2, sample_weight=s, fit_intercept=intercept, tol=1e-11)
    w, b = reference(X, y, l1, l2, s, intercept)
    np.testing.assert_array_equal(fit.params.w == 0, w == 0)
    assert 0 < np.sum(w == 0) < D
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-6)
    assert fit.params.b == pytest.approx(b, rel=1e-6, abs=1e-9)
    share = jaxlr.fit(
        X, y, l2=l1 + l2, l1_ratio=l1 / (l1 + l2), sample_weight=s, fit_intercept=intercept,
        tol=1e-11,
    )  # fmt: skip
    np.testing.assert_allclose(share.params.w, fit.params.w, rtol=1e-8)


def test_one_binary_feature_has_a_closed_form():
    # Two groups with a = 0.2 and 0.7: l1 takes from the slopes of both groups what it may.
    X, y = np.repeat([0.0, 1.0], 100)[:, None], np.zeros(200)
    y[:20], y[100:170] = 1, 1
    l1 = 0.05
    fit = jaxlr.fit(X, y, l1=l1, tol=1e-12)
    logit = lambda a: np.log(a / (1 - a))  # noqa: E731
    b, top = logit(0.2 + 2 * l1), logit(0.7 - 2 * l1)
    assert fit.params.b == pytest.approx(b, rel=1e-9)
    assert fit.params.w[0] == pytest.approx(top - b, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_the_certificate_says_what_is_so(l2, dtype):
    X, y = problem(dtype=dtype)
    rng = np.random.default_rng(2)
    s, offset, l1 = rng.random(N), rng.standard_normal(N), 0.02
    fit = jaxlr.fit(X, y, l1=l1, l2=l2, sample_weight=s, offset=offset, tol=1e-9)
    c = fit.certificate
    assert fit, c.describe()
    assert c.has_l1
    assert "at most" in c.describe()
    J, g, db = values(X, y, *fit.params, l1, l2, s, offset)
    assert c.objective == pytest.approx(J, rel=1e-12)
    found = max(violation(g, fit.params.w, l1), abs(db))
    assert c.raw_gradient == pytest.approx(found, abs=1e-13)
    assert c.gradient <= 1e-9
    assert 0 <= c.gap <= 1e-7
    assert fit.history.steps[-1] == c.steps
    assert fit.history.gradient[-1] == c.gradient


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_the_gap_bounds_how_far_the_optimum_is(l2, intercept):
    X, y = problem()
    settings = dict(l1=0.01, l2=l2, fit_intercept=intercept)
    best = jaxlr.fit(X, y, **settings, tol=1e-12).certificate.objective
    for init in (None, jaxlr.Params(np.full(D, 0.05), np.float64(0.3 * intercept))):
        for steps in (1, 2, 3):
            c = jaxlr.fit(X, y, **settings, init=init, tol=1e-13, max_steps=steps).certificate
            assert c.objective - best <= c.gap
            assert np.isfinite(c.gap)
            if c.status is FitStatus.STOPPED:
                assert c.gap <= 1e4 * max(c.objective - best, 1e-9)  # and says something


def test_what_is_zero_is_exactly_zero_and_nothing_else_is():
    X, y = problem()
    w = jaxlr.fit(X, y, l1=0.1).params.w
    assert 0 < np.count_nonzero(w) < D
    assert abs(w[w != 0]).min() > 1e-6


@pytest.mark.parametrize("weighted", [False, True])
def test_above_the_largest_penalty_only_the_intercept_is_left(weighted):
    from scipy.optimize import brentq

    X, y = problem()
    rng = np.random.default_rng(3)
    s = rng.random(N) if weighted else np.ones(N)
    offset = rng.standard_normal(N) if weighted else np.zeros(N)
    given = dict(sample_weight=s, offset=offset) if weighted else {}
    none = np.zeros(D)
    b = brentq(lambda b: values(X, y, none, b, s=s, offset=offset)[2], -9, 9, xtol=1e-14)
    largest = abs(values(X, y, none, b, s=s, offset=offset)[1]).max()
    path = jaxlr.path(X, y, n=3, smallest=0.9, **given, tol=1e-10)
    assert path.penalties[0] == pytest.approx(largest, rel=1e-9)
    assert path.nonzeros[0] == 0
    assert path.nonzeros[1] == 1
    fit = jaxlr.fit(X, y, l1=1.01 * largest, **given, tol=1e-10)
    assert fit
    assert not fit.params.w.any()
    assert fit.params.b == pytest.approx(b, abs=1e-9)
    assert jaxlr.fit(X, y, l1=0.99 * largest, **given).params.w.any()
    net = jaxlr.path(X, y, n=1, l1_ratio=0.25, **given)
    assert net.penalties[0] == pytest.approx(4 * largest, rel=1e-6)


def test_a_path_is_that_of_single_fits():
    X, y = problem()
    path = jaxlr.path(X, y, l1_ratio=0.7, n=6, tol=1e-10)
    assert path
    assert len(path) == 6
    assert path.nonzeros.tolist() == [np.count_nonzero(w) for w in path.params.w]
    for k in (2, 5):
        fit = jaxlr.fit(X, y, l2=path.penalties[k], l1_ratio=0.7, tol=1e-10)
        np.testing.assert_allclose(path.params.w[k], fit.params.w, rtol=1e-6, atol=1e-9)
        assert path.params.b[k] == pytest.approx(fit.params.b, rel=1e-6)
        assert path.certificates[k].objective == pytest.approx(fit.certificate.objective)
    chosen = path.penalties[[4, 1, 5]]
    again = jaxlr.path(X, y, l1_ratio=0.7, penalties=chosen, tol=1e-10)
    np.testing.assert_allclose(again.params.w, path.params.w[[4, 1, 5]], rtol=1e-6, atol=1e-9)


def test_a_path_of_many_columns_is_optimal_everywhere():
    # More columns than rows, and so many numbers that turns read some columns only.
    rng = np.random.default_rng(4)
    n, d = 700, 1500
    X = rng.standard_normal((n, d)) + rng.standard_normal((n, 1))
    y = (X[:, :20] @ rng.standard_normal(20) + rng.logistic(size=n) > 0).astype(float)
    path = jaxlr.path(X, y, n=8, smallest=0.2, tol=1e-7)
    assert path
    assert path.nonzeros[0] == 0
    assert 20 < path.nonzeros[-1] < 128
    for k in range(8):
        w, b = path.params.w[k], path.params.b[k]
        J, g, db = values(X, y, w, b, path.penalties[k])
        assert violation(g, w, path.penalties[k]) <= 3e-7
        assert abs(db) <= 3e-7
        assert path.certificates[k].objective == pytest.approx(J, rel=1e-12)
        assert path.certificates[k].gap <= 1e-4
    reads = [c.reads for c in path.certificates]
    assert max(reads[1:4]) < 3  # of all columns; steps read some
    alone = jaxlr.fit(X, y, l1=path.penalties[-1], tol=1e-7)
    assert alone
    assert alone.certificate.objective == pytest.approx(
        path.certificates[-1].objective, abs=path.certificates[-1].gap
    )


def test_many_models_are_those_of_a_loop():
    X, y = problem()
    rng = np.random.default_rng(5)
    l1, S = np.array([0.0, 0.1, 0.01]), rng.random((N, 3))
    fits = jaxlr.fit_many(X, y, l1=l1, l2=0.01, sample_weight=S, tol=1e-10)
    assert fits
    for k in range(3):
        one = jaxlr.fit(X, y, l1=l1[k], l2=0.01, sample_weight=S[:, k], tol=1e-10)
        np.testing.assert_allclose(fits.params.w[k], one.params.w, rtol=1e-6, atol=1e-9)
        assert fits.params.b[k] == pytest.approx(one.params.b, rel=1e-6)
    fold, classes = rng.integers(0, 2, N), rng.integers(5, 7, N)
    fits = jaxlr.fit_many(
        X, classes, classes=[5, 6, 6], folds=(fold, [0, 1, 1]), l2=[0.02, 0.02, 0.05],
        l1_ratio=[0.5, 1.0, 1.0], tol=1e-10,
    )  # fmt: skip
    for k, (c, out, l2, ratio) in enumerate([(5, 0, 0.02, 0.5), (6, 1, 0.02, 1), (6, 1, 0.05, 1)]):
        s = (fold != out) * 1.0
        one = jaxlr.fit(X, classes == c, sample_weight=s, l2=l2, l1_ratio=ratio, tol=1e-10)
        np.testing.assert_allclose(fits.params.w[k], one.params.w, rtol=1e-6, atol=1e-9)
    sets = jaxlr.fit_many([X, X[:280]], [y, y[:280]], l1=[0.02, 0.01], tol=1e-10)
    for k, (n, penalty) in enumerate([(N, 0.02), (280, 0.01)]):
        s = (np.arange(N) < n) * 1.0
        one = jaxlr.fit(X, y, sample_weight=s, l1=penalty, tol=1e-10)
        np.testing.assert_allclose(sets.params.w[k], one.params.w, rtol=1e-6, atol=1e-9)


def test_cross_validation_of_the_lasso():
    X, y = problem()
    penalties, fold = np.array([0.2, 0.02, 0.002]), np.arange(N) % 2
    cv = jaxlr.cross_validate(X, y, l2=penalties, l1_ratio=1.0, folds=fold, tol=1e-10)
    for k, (out, l1) in enumerate([(f, l1) for f in (0, 1) for l1 in penalties]):
        s = (fold != out) * 1.0
        w, b = jaxlr.fit(X, y, sample_weight=s, l1=l1, tol=1e-10).params
        np.testing.assert_allclose(cv.fits.params.w[k], w, rtol=1e-6, atol=1e-9)
        J, _, _ = values(X, y, w, b, s=1 - s)
        assert cv.log_loss.folds[k % 3, out] == pytest.approx(J, rel=1e-7)
    refit = jaxlr.fit(X, y, l1=penalties[cv.best], tol=1e-10)
    np.testing.assert_allclose(cv.refit.params.w, refit.params.w, rtol=1e-6, atol=1e-9)


def three_classes():
    rng = np.random.default_rng(6)
    X = rng.standard_normal((N, D))
    y = (X @ rng.standard_normal((D, 3)) / 2 + rng.gumbel(size=(N, 3))).argmax(axis=1)
    return X, y, rng.random(N)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("l1", "l2"), [(0.03, 0.0), (0.02, 0.05)])
def test_several_classes_are_where_scikit_learn_arrives(l1, l2, intercept):
    # Three, for the middle one of three coefficients is 0: of four, there are many optima.
    X, y, s = three_classes()
    given = dict(n_classes=3, sample_weight=s, fit_intercept=intercept)
    fit = jaxlr.fit(X, y, l1=l1, l2=l2, tol=1e-11, **given)
    w, b = reference(X, y, l1, l2, s, intercept)
    np.testing.assert_array_equal(fit.params.w == 0, w == 0)
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-6)
    np.testing.assert_allclose(fit.params.b, b, rtol=1e-6, atol=1e-9)
    assert fit.certificate.gap <= 1e-8
    early = jaxlr.fit(X, y, l1=l1, l2=l2, tol=1e-13, max_steps=4, **given).certificate
    assert early.objective - fit.certificate.objective <= early.gap


def test_paths_and_many_models_of_several_classes():
    X, y, s = three_classes()
    path = jaxlr.path(X, y, n_classes=3, n=5, smallest=0.1, sample_weight=s, tol=1e-10)
    assert path
    assert path.nonzeros[0] == 0
    assert path.params.w.shape == (5, 3, D)
    shares = np.array([s[y == k].sum() for k in range(3)]) / s.sum()
    largest = abs((shares - np.eye(3)[y]).T * s @ X).max() / s.sum()
    assert path.penalties[0] == pytest.approx(largest, rel=1e-8)
    fits = jaxlr.fit_many(X, y, n_classes=3, l1=path.penalties[[1, 3]], sample_weight=s, tol=1e-10)
    assert fits
    np.testing.assert_allclose(fits.params.w[1], path.params.w[3], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fits.params.b[1], path.params.b[3], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("l1", "l2"), [(1e-6, 1e-9), (1e-3, 1e-3), (1e-6, 0.0)])
def test_what_four_classes_have_in_common_costs_least(l1, l2):
    """No probability shows it, and by large features l2 alone is too small to find it."""
    X, y, s = three_classes()
    y = (y + (s < 0.3)) % 4
    w = jaxlr.fit(X[:, :2] * [500, 1], y, n_classes=4, l1=l1, l2=l2, tol=1e-10).params.w

    def cost(t):
        return l1 * abs(w + t).sum(axis=0) + l2 / 2 * ((w + t) ** 2).sum(axis=0)

    for t in np.outer(np.geomspace(1e-6, 1, 20), abs(w).max(axis=0)):
        assert (cost(0) <= np.minimum(cost(t), cost(-t)) * (1 + 1e-12)).all()


@pytest.mark.thorough
def test_four_classes_have_many_optima_and_one_is_found():
    X, y, s = three_classes()
    four = jaxlr.fit(X, (y + (s < 0.3)) % 4, n_classes=4, l1=0.01, tol=1e-9)
    assert four, four.certificate.describe()
    assert four.certificate.gap <= 1e-7


@pytest.mark.parametrize("n_classes", [None, pytest.param(3, marks=pytest.mark.thorough)])
def test_sparse_columns(n_classes):
    import scipy.sparse

    rng = np.random.default_rng(7)
    n, d, K = 900, 1300, n_classes or 1
    X = scipy.sparse.random(n, d, density=0.02, random_state=rng, format="lil")
    X[:, 0] = 0.1 * rng.standard_normal(n)  # one column that all rows have
    X = X.tocsr()
    z = X[:, :20] @ rng.standard_normal((20, K)) * 9
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1) if n_classes else (z[:, 0] > 0) * 1
    l1 = 0.004
    fit = jaxlr.fit(X, y, n_classes=n_classes, l1=l1, tol=1e-9)
    assert fit, fit.certificate.describe()
    assert 5 < np.count_nonzero(fit.params.w) < 200
    z = X @ np.atleast_2d(fit.params.w).T + fit.params.b
    e = np.exp(z)
    slopes = (
        e / e.sum(axis=1, keepdims=True) - np.eye(K)[y] if n_classes else e / (1 + e) - y[:, None]
    )
    g = (X.T @ slopes).T / n
    assert violation(g, np.atleast_2d(fit.params.w), l1) <= 1e-9
    assert abs(slopes.mean(axis=0)).max() <= 1e-9
    assert fit.certificate.gap <= 1e-7


def test_columns_that_are_equal_or_constant_are_no_obstacle():
    X, y = problem()
    odd = X.copy()
    odd[:, 2], odd[:, 3], odd[:, 4] = X[:, 0], X[:, 0] + X[:, 1], 7.0
    for l1 in (0.02, 1e-4):
        fit = jaxlr.fit(odd, y, l1=l1, tol=1e-9)
        assert fit, fit.certificate.describe()
        _, g, db = values(odd, y, *fit.params)
        assert max(violation(g, fit.params.w, l1), abs(db)) <= 1e-7
        assert fit.params.w[4] == 0
        assert fit.certificate.gap <= 1e-6
        bare = jaxlr.fit(odd, y, l1=l1, fit_intercept=False, tol=1e-9)
        assert bare, bare.certificate.describe()


def test_l1_holds_back_what_can_be_told_apart():
    X, _ = problem()
    fit = jaxlr.fit(X, (X[:, 0] > np.median(X[:, 0])) * 1.0, l1=1e-3)
    assert fit, fit.certificate.describe()
    one = jaxlr.fit(X, np.ones(N), l1=1e-3)
    assert one.certificate.status is FitStatus.SEPARATED
    assert "same label" in one.certificate.describe()
    assert jaxlr.fit(X, np.ones(N), l1=1e-3, fit_intercept=False)


def test_no_covariance_with_l1():
    X, y = problem()
    with pytest.raises(ValueError, match="with an l1 penalty"):
        jaxlr.fit(X, y, l1=0.02).covariance()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(l1=-1.0), "l1 is"),
        (dict(l1=0.1, l2=0.1, l1_ratio=0.5), "both given"),
        (dict(l2=0.1, l1_ratio=1.5), "between 0 and 1"),
        (dict(l1=0.1, method="lbfgs"), "cannot take l1"),
        (dict(l1="a"), "l1 is 'a': it must be a number"),
        (dict(l1=0.1, sample_weight=np.full(N, 1e300)), "Only ratios of weights matter"),
        (dict(l1=0.1, init=(np.zeros(D), 0.0)), "init is tuple"),
    ],
)
def test_penalties_that_mean_nothing(given, message):
    X, y = problem()
    for call in (jaxlr.fit, jaxlr.fit_many):
        with pytest.raises(ValueError, match=message):
            call(X, y, **given)


def test_paths_that_mean_nothing():
    X, y = problem()
    for given, message in (
        (dict(l1_ratio=0.0), "l1_ratio is 0.0"),
        (dict(l1_ratio=[0.5]), r"l1_ratio is \[0.5\]: it must be a number above 0"),
        (dict(n=0), "n is 0"),
        (dict(n=2.5), "n is 2.5: it must be a whole number"),
        (dict(smallest=None), "smallest is None: it must be a number"),
        (dict(penalties=["a"]), "penalties is .*: they must be numbers"),
        (dict(smallest=1.0), "smallest is 1.0"),
        (dict(penalties=[0.1, 0.0]), "above 0"),
        (dict(penalties=0.1), "penalties has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxlr.path(X, y, **given)
    with pytest.raises(ValueError, match="same label"):
        jaxlr.path(X, np.zeros(N))
    with pytest.raises(ValueError, match="no feature"):
        jaxlr.path(np.ones((N, D)), y)
    broken = X.copy()
    broken[5, 2] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        jaxlr.path(broken, y)
    with pytest.raises(ValueError, match="must be finite"):
        jaxlr.fit(broken, y, l1=0.1)


def test_a_start_from_where_no_way_leads_down_is_left():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    y = X[:, 0] + rng.logistic(size=90) > 0
    far = jaxlr.fit(X, y, l1=0.01, init=jaxlr.Params(np.full(4, 100.0), np.zeros(())))
    assert far
    np.testing.assert_allclose(far.params.w, jaxlr.fit(X, y, l1=0.01).params.w, atol=1e-5)


def test_a_share_of_no_penalty_is_told():
    with pytest.raises(ValueError, match="l1_ratio is given, but l2 is 0"):
        jaxlr.fit(np.ones((2, 1)), [0, 1], l1_ratio=0.5)


def test_more_classes_than_columns_may_come_in_at_once(monkeypatch):
    """256 columns of a class may at first; of 300 classes, none could."""
    monkeypatch.setattr(descent, "_AT_FIRST", 2)
    rng = np.random.default_rng(3)
    X = rng.standard_normal((90, 5))
    y = np.argmax(X[:, :3] + rng.gumbel(size=(90, 3)), axis=1)
    fit = jaxlr.fit(sparse.csr_array(X), y, n_classes=3, l1=0.05, max_steps=100)
    assert fit
    assert 0 < np.count_nonzero(fit.params.w) < 15
    np.testing.assert_allclose(
        fit.params.w, jaxlr.fit(X, y, n_classes=3, l1=0.05).params.w, atol=1e-5
    )


def test_where_no_bound_is_known_the_gap_is_infinite():
    """The penalty of one feature underflows, that of another does not: 0 / 0 bounds nothing."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((50, 2)) * [1e140, 1]
    y = (rng.random(50) < 0.5).astype(float)
    fit = jaxlr.fit(X, y, l1=1e-3, l2=1e-50, max_steps=1)
    assert not fit
    assert fit.certificate.gap > 1e-12


@pytest.mark.parametrize("seed", [17, 23])
def test_weights_of_many_decades_are_gone_about_by_larger_penalties(seed):
    """From 0 the way ended at a thousand times the objective, where no step was good."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((16, 3))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    s = 10 ** rng.uniform(-6, 3, 16)
    l1 = 1 / (1e3 * s.sum())
    fit = jaxlr.fit(X, y, n_classes=3, l1=l1, sample_weight=s)
    assert fit, fit.certificate.describe()
    z = X @ fit.params.w.T + fit.params.b
    a = np.exp(z - z.max(axis=1, keepdims=True))
    dz = (s / s.sum())[:, None] * (a / a.sum(axis=1, keepdims=True) - np.eye(3)[y])
    g, w = dz.T @ X, fit.params.w
    assert np.where(w != 0, abs(g + l1 * np.sign(w)), abs(g) - l1).max() <= 1e-5


def test_l_bfgs_is_refused_before_anything_is_solved(monkeypatch):
    X, y = problem()
    monkeypatch.setattr(many, "solve", None)
    with pytest.raises(ValueError, match="method is 'lbfgs': it cannot take l1"):
        jaxlr.fit_many(X, y, l1=[0.0, 0.1], method="lbfgs")


def test_without_a_column_there_is_an_intercept_and_no_path():
    X, y = np.empty((4, 0)), np.array([0, 1, 1, 1])
    assert jaxlr.fit(X, y, l1=0.1).params.b == pytest.approx(np.log(3), rel=1e-5)
    with pytest.raises(ValueError, match="without a column there is no path"):
        jaxlr.path(X, y)


def test_models_start_each_from_a_place_of_its_own():
    X, y = problem()
    l1 = np.array([0.1, 0.01])
    fits = jaxlr.fit_many(X, y, l1=l1, tol=1e-8)
    again = jaxlr.fit_many(X, y, l1=l1, init=fits.params, tol=1e-8)
    assert [c.steps for c in again.certificates] == [0, 0]
    X, y, _ = three_classes()
    fits = jaxlr.fit_many(X, y, n_classes=3, l1=l1, tol=1e-8)
    again = jaxlr.fit_many(X, y, n_classes=3, l1=l1, init=fits.params, tol=1e-8)
    assert [c.steps for c in again.certificates] == [0, 0]


@pytest.mark.filterwarnings("error")
def test_numbers_far_from_1():
    """The unit of a feature changes nothing, and where its squares have no number, that is told."""
    import scipy.sparse

    X, y = problem()
    w = jaxlr.fit(X, y, l1=0.02).params.w
    for unit in (1e-100, 1e100):
        far = jaxlr.fit(unit * X, y, l1=0.02 * unit)
        assert far
        np.testing.assert_allclose(unit * far.params.w, w, rtol=1e-6)
    for unit in (1e-200, 1e200):
        for form in (np.asarray, scipy.sparse.csr_array):
            with pytest.raises(ValueError, match="squares over- or underflow"):
                jaxlr.fit(form(unit * X), y, l1=0.02 * unit)
    assert jaxlr.fit(X, y, l1=1e-320)
    assert not jaxlr.fit(X, y, l1=1e300).params.w.any()
    far = jaxlr.fit(X, y, l1=0.02, init=jaxlr.Params(np.full(D, 1e300), np.float64(0)))
    np.testing.assert_allclose(far.params.w, w, rtol=1e-4, atol=1e-9)
    lost = jaxlr.fit(X, y, l1=0.02, offset=np.full(N, 1e300)).certificate
    assert lost.status is FitStatus.FAILED


def test_a_small_shape_compiles_little(caplog):
    X, y = problem(n=211, d=7)
    jaxlr.path(X[:, :6], y, n=3)  # what does not depend on the shape
    with jax.log_compiles(), caplog.at_level("WARNING", "jax"):
        assert jaxlr.path(X[:200], y[:200], n=20)
    compiled = {m.split()[4] for m in caplog.messages if m.startswith("Finished XLA compilation")}
    assert len(compiled) <= 3, compiled
    assert any("dual_sums" in name for name in compiled)
    assert not [name for name in compiled if "curvature" in name or "gradient" in name]
