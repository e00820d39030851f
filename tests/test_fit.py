"""To the optimum: published numbers, other libraries, hard problems, and those without answer."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest
from jax.experimental.sparse import BCOO

import jaxlr
from jaxlr import FitStatus


def problem(n=5000, d=6, seed=0, dtype=np.float64):
    # Each shape takes a second or two to compile: tests have their own only where they need it.
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    y = (rng.random(n) < 1 / (1 + np.exp(-X @ rng.standard_normal(d) + 0.3))).astype(float)
    return X, y


def on_device(X, dtype=None):
    """Rows of which NumPy does not take the products, as it does of few rows that are its own."""
    with jax.enable_x64(True):
        return jnp.asarray(X, dtype)


def in_order(params, intercept):
    """Parameters as the published ones stand: the intercept first, last, or not there."""
    parts = {"first": (params.b, params.w), "last": (params.w, params.b), "none": (params.w,)}
    return np.concatenate([np.atleast_1d(v) for v in parts[intercept]])


THOROUGH = pytest.mark.thorough
PUBLISHED = [pytest.param(v, marks=THOROUGH if v.name == "lbw" else ()) for v in published.ALL]


@pytest.mark.parametrize("item", PUBLISHED, ids=lambda item: item.name)
def test_published_coefficients_and_errors_come_out(item):
    X, successes, trials, weights, offset = published.arrays(item)
    s = trials * weights
    fill = max(0, 32 - len(X))  # rows of weight 0: what has 32 rows compiles once for each width
    fit = jaxlr.fit(
        np.pad(X, ((0, fill), (0, 0))), np.pad(successes / trials, (0, fill)),
        sample_weight=np.pad(s, (0, fill)), offset=np.pad(offset, (0, fill)),
        fit_intercept=item.intercept != "none", tol=1e-12,
    )  # fmt: skip
    found = in_order(fit.params, item.intercept)
    np.testing.assert_allclose(found, np.array(item.mp_coef, float), rtol=1e-10)
    np.testing.assert_allclose(found, item.coef, rtol=max(1e-8, item.agree_coef))
    errors = in_order(fit.standard_errors(), item.intercept)
    np.testing.assert_allclose(errors, np.array(item.mp_se, float), rtol=1e-10)
    if item.se is not None:
        np.testing.assert_allclose(errors, item.se, rtol=max(1e-6, item.agree_se))
    loglik = -fit.certificate.objective * s.sum()
    assert loglik == pytest.approx(float(item.mp_loglik), rel=1e-12)
    if item.robust_se is not None:
        robust = in_order(fit.standard_errors("sandwich"), item.intercept)
        robust *= np.sqrt(item.robust_factor)
        np.testing.assert_allclose(robust, item.robust_se, rtol=max(1e-6, item.agree_robust))


@pytest.mark.parametrize("l2", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("intercept", [True, False])
def test_it_is_where_scikit_learn_arrives(l2, intercept):
    from sklearn.linear_model import LogisticRegression

    X, y = problem()
    s = np.random.default_rng(1).random(len(y))
    fit = jaxlr.fit(X, y, l2=l2, sample_weight=s, fit_intercept=intercept, tol=1e-11)
    C = 1 / (l2 * s.sum()) if l2 else np.inf
    theirs = LogisticRegression(
        C=C, fit_intercept=intercept, tol=1e-12, max_iter=1000, solver="newton-cholesky"
    ).fit(X, y, sample_weight=s)
    np.testing.assert_allclose(fit.params.w, theirs.coef_[0], rtol=1e-7, atol=1e-9)
    assert fit.params.b == pytest.approx(float(np.ravel(theirs.intercept_)[0]), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(
    ("n", "d", "method", "dtype"),
    [
        *product([300], [3], ["newton", "lbfgs"], [np.float64]),
        *product([60_000], [6], ["newton", "lbfgs"], [np.float32]),
        pytest.param(5000, 300, "lbfgs", np.float64, marks=THOROUGH),
        pytest.param(5000, 300, "newton", np.float32, marks=THOROUGH),  # seconds to compile
        pytest.param(60_000, 6, "newton", np.float64, marks=THOROUGH),
        pytest.param(60_000, 6, "lbfgs", np.float64, marks=THOROUGH),
        pytest.param(300, 3, "newton", np.float32, marks=THOROUGH),
        pytest.param(300, 3, "lbfgs", np.float32, marks=THOROUGH),
    ],
)
def test_the_certificate_says_what_is_so(n, d, method, dtype):
    X, y = problem(n, d, dtype=dtype)
    tol = 1e-6 if dtype == np.float32 else 1e-10
    assert_certified(X, jaxlr.fit(on_device(X), y, l2=0.01, tol=tol, method=method), y, method, tol)


@pytest.mark.parametrize("method", ["newton", "lbfgs"])
@pytest.mark.parametrize(("n", "d", "dtype"), [(300, 3, np.float64), (200_000, 6, np.float32)])
def test_so_does_that_of_rows_on_the_host(n, d, method, dtype):
    X, y = problem(n, d, dtype=dtype)
    tol = 1e-6 if dtype == np.float32 else 1e-10
    assert_certified(X, jaxlr.fit(X, y, l2=0.01, tol=tol, method=method), y, method, tol)


def assert_certified(X, fit, y, method, tol):
    n, d = X.shape
    c = fit.certificate
    assert fit, c.describe()
    assert c.method == method
    # Once more in NumPy and float64.
    wide, w, b = X.astype(float), fit.params.w, float(fit.params.b)
    z = wide @ w + b
    J = np.mean(np.logaddexp(0, z) - y * z) + 0.005 * w @ w
    dz = (1 / (1 + np.exp(-z)) - y) / n
    g = np.append(dz @ wide + 0.01 * w, dz.sum())
    assert c.objective == pytest.approx(J, rel=1e-12)
    assert c.raw_gradient == pytest.approx(abs(g).max(), abs=1e-13)
    assert abs(g).max() <= 2 * tol
    design = np.c_[wide, np.ones(n)]
    a = 1 / (1 + np.exp(-z))
    H = (design.T * (a * (1 - a) / n)) @ design + 0.01 * np.diag(np.append(np.ones(d), 0))
    gap = g @ np.linalg.solve(H, g) / 2
    assert gap / 10 <= c.gap <= 10 * gap + 1e-25
    assert fit.history.steps[-1] == c.steps
    assert fit.history.gradient[-1] == c.gradient


def test_samples_spare_reads_of_all_rows():
    X, y = problem(n=200_000, dtype=np.float32)
    order = np.argsort(y, kind="stable")
    for rows, labels in ((X, y), (on_device(X[order]), y[order])):
        c = jaxlr.fit(rows, labels).certificate
        assert c.status is FitStatus.CONVERGED
        assert c.reads <= 6


def test_same_input_same_bits():
    X, y = problem(n=60_000, dtype=np.float32)
    for rows in (X, on_device(X)):
        one, two = jaxlr.fit(rows, y), jaxlr.fit(rows, y)
        assert one.params.w.tobytes() == two.params.w.tobytes()
        assert one.certificate.gradient == two.certificate.gradient


def test_rows_on_the_host_compile_nothing_for_their_shape():
    def seconds(n, d, **settings):
        X, y = problem(n, d)
        fit = jaxlr.fit(X, y, sample_weight=np.ones(n), offset=np.zeros(n), **settings)
        assert fit, fit.certificate.describe()
        return fit.certificate.compile_seconds

    for first in ((40, 2), (9000, 2)):  # pieces of two sizes
        seconds(*first)
    assert [seconds(201, 3), seconds(302, 5, l2=0.1), seconds(9001, 7, method="lbfgs")] == [0, 0, 0]


@pytest.mark.parametrize(("n", "dtype"), [(5000, np.float64), (60_000, np.float32)])
def test_the_unit_of_a_feature_changes_nothing(n, dtype):
    X, y = problem(n, dtype=dtype)
    scale = np.array([1e6, 1e-6, 1, 1e3, 1e-3, 1])
    plain, scaled = jaxlr.fit(X, y, tol=1e-9), jaxlr.fit((X * scale).astype(dtype), y, tol=1e-9)
    assert plain
    assert scaled
    assert scaled.certificate.steps <= 2 * plain.certificate.steps
    a, b = (
        1 / (1 + np.exp(-(v @ f.params.w + f.params.b)))
        for v, f in ((X.astype(float), plain), ((X * scale).astype(dtype).astype(float), scaled))
    )
    assert abs(a - b).max() <= 1e-6


def test_a_penalised_optimum_is_that_of_the_features_as_they_are():
    from scipy.optimize import minimize

    X, y = problem(n=300, d=3)
    X = X * [1e3, 1.0, 1e-3] + [5e3, 0, 0]

    def J(t):
        z = X @ t[:3] + t[3]
        return np.mean(np.logaddexp(0, z) - y * z) + 0.05 * t[:3] @ t[:3]

    fit = jaxlr.fit(X, y, l2=0.1, tol=1e-12)
    here = np.append(fit.params.w, fit.params.b)
    assert fit.certificate.objective == pytest.approx(J(here), rel=1e-13)
    assert minimize(J, here, method="Nelder-Mead").fun >= J(here) - 1e-14


def test_weights_are_repetitions_and_only_their_proportions_count():
    X, y = problem()
    s = np.random.default_rng(0).permutation(np.tile([0, 0, 1, 3], 1250))  # 5000 rows again
    weighted = jaxlr.fit(X, y, sample_weight=1.0 * s, tol=1e-12)
    repeated = jaxlr.fit(np.repeat(X, s, axis=0), np.repeat(y, s), tol=1e-12)
    removed = jaxlr.fit(X[s > 0], y[s > 0], sample_weight=s[s > 0], tol=1e-12)
    times_7 = jaxlr.fit(X, y, sample_weight=7.0 * s, tol=1e-12)
    for other in (repeated, removed, times_7):
        np.testing.assert_allclose(other.params.w, weighted.params.w, rtol=1e-10)
    np.testing.assert_allclose(repeated.covariance(), weighted.covariance(), rtol=1e-9)
    np.testing.assert_allclose(
        repeated.covariance("sandwich"), weighted.covariance("sandwich"), rtol=1e-9
    )


def in_values_of(X, dtype):
    """X with what a type rounds away gone; in that type where its code is compiled anyway."""
    X = X.astype(dtype)
    return X if X.shape == (5000, 6) else X.astype(np.float64)


NO_OPTIMUM = {
    "separable": lambda X, y: (X, (X @ np.arange(1.0, 7) > 0.1).astype(float), {}),
    "more columns than rows": lambda X, y: (X[:5], np.array([0, 1, 1, 0, 1.0]), {}),
    "a column that tells some rows": lambda X, y: (
        np.c_[X[:, 1:], np.arange(len(y)) < 30], np.where(np.arange(len(y)) < 30, 1, y), {},
    ),
    "one label": lambda X, y: (X, y * 0, {}),
    "one label, penalised": lambda X, y: (X, y * 0 + 1, {"l2": 0.1}),
    "one label that weighs anything": lambda X, y: (X, y, {"sample_weight": y}),
    "one row": lambda X, y: (X[:1], y[:1], {"l2": 1.0}),
}  # fmt: skip


def in_both_types(cases, *narrow):
    """Each case in float64, some in float32 too: there what is decided is the same."""
    marks = {case: () if case in narrow else THOROUGH for case in cases}
    wide = [pytest.param(case, np.float64, id=f"{case}-float64") for case in cases]
    return wide + [
        pytest.param(case, np.float32, id=f"{case}-float32", marks=marks[case]) for case in cases
    ]


@pytest.mark.parametrize(
    ("case", "dtype"), in_both_types(NO_OPTIMUM, "separable", "a column that tells some rows")
)
def test_where_there_is_no_optimum_it_says_so(case, dtype):
    X, y, settings = NO_OPTIMUM[case](*problem())
    fit = jaxlr.fit(in_values_of(X, dtype), y, **settings)
    c = fit.certificate
    assert c.status is FitStatus.SEPARATED
    assert not fit
    assert np.isfinite(fit.params.w).all()
    assert abs(fit.params.w).max(initial=0) < 1e4
    with pytest.raises(ValueError, match="no covariance"):
        fit.covariance()
    if case == "a column that tells some rows":
        assert c.runaway == (5,)
        names = [*"abcde", "dose"]
        assert "by 'dose'" in c.describe(names)
        assert "Add a penalty" in c.describe(names)
    assert c.one_label == ("one" in case)
    assert ("same label" in c.describe()) == c.one_label


OPTIMA = {
    "soft labels": lambda X, y: (X, np.random.default_rng(0).random(len(y)), {}),
    "labels of one half": lambda X, y: (X, y * 0 + 0.5, {}),
    "one row with a soft label": lambda X, y: (X[:1], np.array([0.3]), {}),
    "no feature": lambda X, y: (X[:, :0], y, {}),
    "collinear and constant columns": lambda X, y: (
        np.c_[X[:, :3], X[:, :2] @ [1, 2], np.ones(len(y)), np.zeros(len(y))], y, {},
    ),
    "more columns than rows, penalised": lambda X, y: (X[:5], y[:5], {"l2": 0.01}),
    "separable, penalised": lambda X, y: (X, (X[:, 0] > 0).astype(float), {"l2": 1e-4}),
    "wild weights": lambda X, y: (
        X, y, {"sample_weight": 10 ** np.random.default_rng(0).uniform(-10, 10, len(y))},
    ),
    "far from the origin": lambda X, y: (X + 1000, y, {}),
    "one label without intercept": lambda X, y: (X, y * 0, {"fit_intercept": False}),
    "a large offset": lambda X, y: (X, y, {"offset": np.linspace(-20, 20, len(y))}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "dtype"), in_both_types(OPTIMA, "collinear and constant columns", "wild weights")
)
def test_hard_problems_end_well(case, dtype):
    X, y, settings = OPTIMA[case](*problem())
    fit = jaxlr.fit(in_values_of(X, dtype), y, **settings)
    assert fit, fit.certificate.describe()
    assert fit.certificate.gradient <= 1e-6


def rare_column(n, rows, labels, d=6, seed=0):
    """Ordinary columns, and at the end one that is 1 in a few rows, whose labels are given."""
    rng = np.random.default_rng(seed)
    X = np.c_[rng.standard_normal((n, d - 1)), np.zeros(n)]
    y = (rng.random(n) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    index = rng.choice(n, rows, replace=False)
    X[index, -1], y[index] = 1, labels
    return X, y


@pytest.mark.parametrize("d", [6, pytest.param(21, marks=THOROUGH)])
def test_a_column_that_no_sample_sees_is_fitted(d):
    X, y = rare_column(200_000, 3, [0, 1, 1], d)
    units = 1, np.r_[np.ones(d - 1), 1e6]
    fits = [jaxlr.fit((X * unit).astype(np.float32), y) for unit in units]
    for fit, unit in zip(fits, (1.0, 1e6), strict=True):
        assert fit, fit.certificate.describe()
        assert fit.certificate.reads < 15
        assert 0.3 < fit.params.w[-1] * unit < 2
    z = X[:, :-1] @ fits[0].params.w[:-1] + fits[0].params.b
    seen = X[:, -1] == 1
    a = 1 / (1 + np.exp(-(z[seen] + fits[0].params.w[-1])))
    assert a.sum() == pytest.approx(2, abs=1e-2)  # as many ones are expected as there are


@pytest.mark.parametrize(
    ("n", "d", "rows", "dtype"),
    [
        (60_000, 6, 2, np.float64),
        (200_000, 6, 5, np.float32),
        *(pytest.param(20_000, 21, rows, np.float64, marks=THOROUGH) for rows in (1, 2, 5)),
        pytest.param(200_000, 21, 5, np.float32, marks=THOROUGH),
    ],
)
def test_a_rare_column_of_one_label_has_no_optimum(n, d, rows, dtype):
    X, y = rare_column(n, rows, 1, d)
    certificate = jaxlr.fit(X.astype(dtype), y).certificate
    assert certificate.status is FitStatus.SEPARATED
    assert certificate.runaway == (d - 1,)


def test_steep_labels_that_overlap_have_an_optimum():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5000, 6))
    y = (rng.random(5000) < 1 / (1 + np.exp(-30 * X[:, 0]))).astype(float)
    fit = jaxlr.fit(X, y)
    assert fit, fit.certificate.describe()
    assert fit.params.w[0] > 20


@pytest.mark.parametrize("dtype", [np.float32])
def test_rows_of_weight_0_are_removed_rows_where_there_are_many(dtype):
    X, y = problem(n=200_000, dtype=dtype)
    s = np.zeros(len(y))
    s[np.random.default_rng(1).choice(len(y), 60, replace=False)] = 1
    some, alone = jaxlr.fit(X, y, sample_weight=s), jaxlr.fit(X[s > 0], y[s > 0])
    assert some
    assert some.certificate.reads < 20
    np.testing.assert_allclose(some.params.w, alone.params.w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64])
def test_few_rows_of_one_label_among_many(dtype):
    X, y = problem(n=60_000, dtype=dtype)
    y[:] = np.arange(len(y)) < 20
    fit = jaxlr.fit(X, y)
    assert fit
    assert fit.certificate.reads < 40


def test_a_start_from_where_no_way_leads_down_is_left():
    X, y = problem()
    far = jaxlr.Params(np.full(6, 1e3), np.float64(0))
    np.testing.assert_allclose(
        jaxlr.fit(X, y, init=far, tol=1e-10).params.w, jaxlr.fit(X, y, tol=1e-10).params.w
    )
    shifted = jaxlr.fit(X, y, offset=np.full(5000, 1e6), tol=1e-6)
    assert shifted
    assert shifted.params.b == pytest.approx(jaxlr.fit(X, y).params.b - 1e6, rel=1e-9)


def test_values_whose_squares_overflow_are_refused():
    X, y = problem(n=50, d=3)
    for factor in (1e200, 1e-200):
        with pytest.raises(ValueError, match="column 1, or so large or small"):
            jaxlr.fit(X * [1, factor, 1], y)


def test_a_fit_cannot_be_traced_and_says_so():
    X, y = problem(n=50, d=3)
    with pytest.raises(TypeError, match=r"X is being traced.*fit_many"):
        jax.jit(lambda X: jaxlr.fit(X, y).params.w)(X)


def test_two_threads_fit_what_one_does():
    from concurrent.futures import ThreadPoolExecutor

    X, y = problem()
    alone = jaxlr.fit(X, y)
    with ThreadPoolExecutor(2) as pool:
        for fit in pool.map(lambda _: jaxlr.fit(X, y), range(4)):
            assert fit.params.w.tobytes() == alone.params.w.tobytes()


def test_covariance_names_collinear_and_constant_columns():
    X, y = problem(n=300, d=2)
    with pytest.raises(ValueError, match=r"constant columns \(2\)"):
        jaxlr.fit(np.c_[X, np.zeros(300)], y).covariance()
    with pytest.raises(ValueError, match=r"collinear columns \(0, 1, 2\)"):
        jaxlr.fit(np.c_[X, X @ [1, 2]], y).covariance()


def test_steps_run_out():
    X, y = problem()
    fit = jaxlr.fit(X, y, max_steps=2)
    assert fit.certificate.status is FitStatus.STOPPED
    assert "not converged" in fit.certificate.describe()
    again = jaxlr.fit(X, y, init=fit.params, tol=1e-12)
    np.testing.assert_allclose(again.params.w, jaxlr.fit(X, y, tol=1e-12).params.w, rtol=1e-9)


BAD = {
    "X is nan in row 1, column 2": lambda X, y: (np.where(X[1, 2] == X, np.nan, X), y, {}),
    "y is 2.0 in row 0": lambda X, y: (X, y * 0 + 2, {}),
    "l2 is -1": lambda X, y: (X, y, {"l2": -1.0}),
    r"offset has shape \(3,\)": lambda X, y: (X, y, {"offset": np.ones(3)}),
    "offset is not finite in row 4": lambda X, y: (X, y, {"offset": np.r_[:4, np.nan, 5 : len(y)]}),
    r"init has w \(2,\)": lambda X, y: (X, y, {"init": jaxlr.zeros(2)}),
    "init is tuple": lambda X, y: (X, y, {"init": (X[0], 0.0)}),
    "tol is 0": lambda X, y: (X, y, {"tol": 0}),
    "max_steps is 0": lambda X, y: (X, y, {"max_steps": 0}),
    "method is 'magic'": lambda X, y: (X, y, {"method": "magic"}),
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    X, y, settings = BAD[message](*problem())
    with pytest.raises(ValueError, match=message):
        jaxlr.fit(X, y, **settings)


def test_the_global_precision_is_neither_needed_nor_touched():
    X, y = problem()
    assert not jax.config.jax_enable_x64
    fit = jaxlr.fit(X, y, tol=1e-12)
    assert fit.certificate.gradient <= 1e-12
    assert not jax.config.jax_enable_x64
    with jax.enable_x64(True):
        same = jaxlr.fit(X, y, tol=1e-12)
    assert same.params.w.tobytes() == fit.params.w.tobytes()


def test_a_start_from_where_the_way_is_too_long_is_given_up():
    rng = np.random.default_rng(6)
    X = rng.standard_normal((200, 2))
    y = X @ [1, -1] + rng.logistic(size=200) > 0
    far = jaxlr.fit(X, y, l2=0.01, init=jaxlr.Params(np.full(2, 1e4), np.zeros(())))
    assert far
    np.testing.assert_allclose(far.params.w, jaxlr.fit(X, y, l2=0.01).params.w, rtol=1e-5)


@pytest.mark.parametrize("on_device", [np.asarray, jnp.asarray])
def test_few_steps_at_a_time_arrive_too(on_device):
    """Once a start from where the steps did not suffice was given up for 0, each time anew."""
    rng = np.random.default_rng(8)
    X = rng.standard_normal((40_000, 30), np.float32)  # a sample is solved first, but from a start
    y = X @ rng.standard_normal(30, np.float32) + rng.logistic(size=len(X)) > 0
    params, objectives = None, []
    for _ in range(4):
        fit = jaxlr.fit(on_device(X), y, init=params, max_steps=2, l2=0.01)
        params = fit.params
        objectives.append(fit.certificate.objective)
    assert fit, fit.certificate.describe()
    assert objectives[0] > objectives[1] >= objectives[-1]


def test_a_scalar_in_the_place_of_rows_is_refused_by_its_shape():
    for l1 in (0.0, 0.1):
        with pytest.raises(ValueError, match=r"X must have shape \(m, d\) and has shape \(\)"):
            jaxlr.fit(5.0, [1], l1=l1)


@pytest.mark.parametrize("kind", [">f8", np.longdouble])
def test_numbers_that_jax_does_not_have_are_taken_as_those_that_it_has(kind):
    X = np.random.default_rng(7).standard_normal((50, 2))
    y = np.arange(50) % 2
    expected = jaxlr.fit(X, y).params.w
    assert np.array_equal(jaxlr.fit(X.astype(kind), y.astype(kind)).params.w, expected)


def test_a_sparse_matrix_of_jax_is_refused_by_name():
    with pytest.raises(ValueError, match=r"X is a BCOO: sparse matrices are taken of SciPy"):
        jaxlr.fit(BCOO.fromdense(jnp.eye(3)), [0, 1, 0])


def test_a_constant_column_beside_the_intercept():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    y = X[:, 0] + rng.logistic(size=90) > 0
    without = jaxlr.fit(X, y)
    for value in (
        1.0,
        7.0,
        0.1,
    ):  # of which centring leaves rounding, that once passed for a column
        fit = jaxlr.fit(np.column_stack([np.full(90, value), X]), y)
        assert fit
        np.testing.assert_allclose(fit.params.w[1:], without.params.w, rtol=1e-4)
        assert abs(fit.params.w[0]) < 1
