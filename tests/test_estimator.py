"""`jaxlr.estimator.LogisticRegression` against scikit-learn's, and what is ours alone."""

import pickle
import subprocess
import sys
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimators import problem, same
from scipy import sparse
from sklearn import config_context, linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxlr
from jaxlr import Certificate, FitStatus
from jaxlr.estimator import LogisticRegression

TIGHT = {"solver": "newton-cholesky", "tol": 1e-13, "max_iter": 1000}


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("C", [0.05, 3.0, np.inf])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_coefficients_are_those_of_scikit_learn(K, C, intercept, weighted, form):
    X, y = problem(5, K=K)
    X[abs(X) < 0.4] = 0
    s = np.random.default_rng(0).integers(0, 3, len(y)).astype(float) if weighted else None
    options = {"C": C, "fit_intercept": intercept, "class_weight": "balanced" if weighted else None}
    ours = LogisticRegression(**options).fit(form(X), y, s)
    theirs = linear_model.LogisticRegression(**options, **TIGHT).fit(X, y, s)
    same(ours, theirs)
    assert ours.certificate_.converged
    assert ours.n_iter_.shape == (1,)
    assert ours.coef_.shape == theirs.coef_.shape
    np.testing.assert_allclose(ours.predict_proba(form(X)), theirs.predict_proba(X), rtol=1e-6)
    np.testing.assert_array_equal(ours.predict(form(X)), theirs.predict(X))
    assert ours.score(form(X), y) == theirs.score(X, y)


SAGA = {"solver": "saga", "tol": 1e-12, "max_iter": 100_000}


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_lasso_and_elastic_net_are_those_of_scikit_learn(K, ratio, intercept, form):
    X, y = problem(6, K=K, d=4)
    s = np.random.default_rng(0).uniform(0, 2, len(y))
    options = {"C": 0.3, "l1_ratio": ratio, "fit_intercept": intercept}
    ours = LogisticRegression(**options).fit(form(X), y, s)
    theirs = linear_model.LogisticRegression(**options, **SAGA).fit(X, y, s)
    same(ours, theirs)
    np.testing.assert_array_equal(ours.coef_ == 0, theirs.coef_ == 0)
    assert ours.certificate_.converged
    assert ours.certificate_.gap < 1e-9
    np.testing.assert_allclose(ours.predict_proba(form(X)), theirs.predict_proba(X), rtol=1e-6)
    if ratio == 1.0:
        assert ours.sparsify().coef_.nnz == np.count_nonzero(theirs.coef_)
        np.testing.assert_array_equal(ours.predict(form(X)), theirs.predict(X))


def test_lasso_on_the_device(monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    X, y = problem(6, d=4)
    options = {"C": 0.3, "l1_ratio": 0.7}
    ours = LogisticRegression(**options).fit(X, y)
    assert ours.certificate_.method == "proximal newton"
    same(ours, linear_model.LogisticRegression(**options, **SAGA).fit(X, y))


@pytest.mark.parametrize(
    "names",
    [
        ["no", "yes"],
        [True, False],
        [-7, 300],
        [10**12, 3],
        [2.0, 5.0],
        ["a", "b", "c"],
        np.array(["x", "y"], object),
    ],
    ids=str,
)
def test_labels_of_any_kind(names):
    X, y = problem(1, K=len(names))
    names = np.asarray(names)
    labels = names[y]
    ours = LogisticRegression().fit(X, labels)
    theirs = linear_model.LogisticRegression().fit(X, labels)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.classes_.dtype == theirs.classes_.dtype
    predicted = ours.predict(X)
    np.testing.assert_array_equal(predicted, theirs.predict(X))
    assert predicted.dtype == labels.dtype


class OnlyDLPack:
    """An array of another library, of which nothing is known but DLPack."""

    def __init__(self, v):
        self.v = v

    def __dlpack__(self, **how):
        return self.v.__dlpack__(**how)

    def __dlpack_device__(self):
        return self.v.__dlpack_device__()


class Tensor(OnlyDLPack):
    """An array of a library that NumPy can read, and whose types are its own."""

    dtype = "its own"

    def __array__(self, dtype=None, copy=None):
        return self.v if dtype is None else self.v.astype(dtype)


FORMS = {
    "list": lambda v: v.tolist(),
    "pandas": lambda v: pd.DataFrame(v) if v.ndim == 2 else pd.Series(v),
    "polars": lambda v: pl.DataFrame(v, schema=["a", "b", "c"]) if v.ndim == 2 else pl.Series(v),
    "dlpack": OnlyDLPack,
    "tensor": Tensor,
    "fortran": np.asfortranarray,
}


@pytest.mark.parametrize("form", FORMS)
def test_inputs_of_any_kind(form):
    X, y = problem(2)
    s, give = np.linspace(0.5, 2, len(y)), FORMS[form]
    ours = LogisticRegression().fit(give(X), give(y), give(s))
    alike = LogisticRegression().fit(X, y, s)
    np.testing.assert_array_equal(ours.coef_, alike.coef_)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        found, expected = getattr(ours, method)(give(X)), getattr(alike, method)(X)
        np.testing.assert_allclose(found, expected, rtol=1e-13, err_msg=method)
    assert ours.score(give(X), give(y), give(s)) == alike.score(X, y, s)


def test_float32_of_other_libraries_stays_float32():
    X, y = problem(2)
    assert LogisticRegression().fit(Tensor(X.astype(np.float32)), y).coef_.dtype == np.float32


@pytest.mark.thorough  # for whoever has torch, which is too large for each run to install
def test_tensors_of_torch():
    torch = pytest.importorskip("torch")
    X, y = problem(2)
    ours = LogisticRegression().fit(torch.tensor(X).float(), torch.tensor(y))
    assert ours.coef_.dtype == np.float32
    np.testing.assert_array_equal(ours.predict(torch.tensor(X).float()), ours.predict(X))
    with pytest.raises(RuntimeError, match="detach"):
        LogisticRegression().fit(torch.tensor(X, requires_grad=True), y)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_names_of_features(frame):
    X, y = problem(2)
    data = frame({name: X[:, j] for j, name in enumerate("abc")})
    ours = LogisticRegression().fit(data, y)
    assert ours.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        ours.predict(frame({name: X[:, j] for j, name in enumerate("abd")}))


@pytest.mark.parametrize(
    ("wide", "host"),
    [
        (False, True),
        (True, True),
        (False, False),
        pytest.param(True, False, marks=pytest.mark.thorough),
    ],
)
def test_the_x64_flag_changes_nothing(wide, host, monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: host)
    X, y = problem(3)
    expected = linear_model.LogisticRegression(**TIGHT).fit(X, y)
    with jax.enable_x64(wide):
        ours = LogisticRegression().fit(X, y)
        assert jax.config.jax_enable_x64 == wide  # pyright: ignore[reportAttributeAccessIssue]
        ours32 = LogisticRegression().fit(X.astype(np.float32), y)
        of_jax = LogisticRegression().fit(jnp.asarray(X.astype(np.float32)), jnp.asarray(y))
    same(ours, expected)
    assert ours.coef_.dtype == ours.predict_proba(X).dtype == np.float64
    same(ours32, expected, rtol=1e-5)
    assert ours32.coef_.dtype == ours32.intercept_.dtype == np.float32
    assert ours32.predict_proba(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(of_jax.coef_, ours32.coef_)


@pytest.mark.parametrize("K", [2, 3])
def test_the_tails_of_log_probabilities(K):
    ours = LogisticRegression().fit(*problem(4, d=1, K=K))
    ours.coef_ = np.array([[1.0]]) if K == 2 else np.array([[1.0], [0.0], [0.0]])
    ours.intercept_ = np.zeros(len(ours.coef_))
    log_p = ours.predict_log_proba([[900.0], [-900.0], [40.0]])
    top = -1 if K == 2 else 0
    np.testing.assert_allclose(log_p[0, top], -0.0, atol=0)
    np.testing.assert_allclose(log_p[1, top], -900.0 - np.log(K - 1), rtol=1e-15)
    # log(1 / (1 + r)) with r = (K - 1) exp(-40) is -r, to more digits than these numbers have
    np.testing.assert_allclose(log_p[2, top], -(K - 1) * np.exp(-40), rtol=1e-14)
    p = ours.predict_proba([[40.0]])
    np.testing.assert_allclose(p[0, 0 if K == 2 else 1], np.exp(-40), rtol=1e-14)


def test_rows_stay_on_an_accelerator(monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.inputs.stays_on_device", lambda X: True)
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    X, y = problem(3)
    X = jnp.asarray(X, jnp.float32)
    ours = LogisticRegression().fit(X, jnp.asarray(y))
    assert ours.n_features_in_ == 3
    same(ours, LogisticRegression().fit(np.asarray(X), y), rtol=1e-6)
    with pytest.raises(ValueError, match="X is nan in row 4, column 1"):
        LogisticRegression().fit(X.at[4, 1].set(jnp.nan), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LogisticRegression().fit(X, y[1:])


@pytest.mark.parametrize("K", [2, 3])
def test_sparse_rows_on_the_device(K, monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    X, y = problem(5, K=K)
    X[abs(X) < 0.8] = 0
    ours = LogisticRegression(class_weight="balanced").fit(sparse.csr_array(X), y)
    same(ours, linear_model.LogisticRegression(class_weight="balanced", **TIGHT).fit(X, y))
    assert ours.certificate_.converged


@pytest.mark.parametrize("C", [3.0, np.inf])
def test_classes_on_the_device(C, monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    X, y = problem(5, K=3)
    same(LogisticRegression(C=C).fit(X, y), linear_model.LogisticRegression(C=C, **TIGHT).fit(X, y))


def test_there_are_no_more_steps_than_max_iter_where_units_make_tol_a_harder_one():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60_000, 40)) * 1e5  # too many to be solved to 1e-10 anyway
    y = X @ rng.standard_normal(40) / 1e5 + rng.logistic(size=len(X)) > 0
    for limit in (9, 10):  # 9 until the gradient per deviation is small, and one more
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            ours = LogisticRegression(C=np.inf, max_iter=limit, tol=1e-6).fit(X, y)
        assert ours.n_iter_[0] <= limit
        if not ours.certificate_.converged:
            assert ours.n_iter_[0] == limit
    assert ours.certificate_.raw_gradient <= 1e-6


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("far", [1e7, 3e7, 1e9])
def test_a_column_whose_mean_is_far_from_0_is_no_constant(far, form):
    """Time stamps: nanoseconds since 1970, all of a few seconds."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 2))
    y = X @ [2, -1] + rng.logistic(size=1000) > 0
    near = LogisticRegression().fit(X, y)
    moved = LogisticRegression().fit(form(X + np.array([far, 0])), y)
    assert moved.certificate_.converged
    np.testing.assert_allclose(moved.coef_, near.coef_, rtol=1e-15 * far)


def test_sums_of_a_sparse_column_that_is_far_from_0_are_refused():
    X = np.random.default_rng(1).standard_normal((300, 2)) + np.array([0, 1e9])
    with pytest.raises(ValueError, match=r"column 1 of X has a mean more than 1e\+07 times"):
        jaxlr.fit(sparse.csr_array(X), X[:, 0] > 0, l2=0.1)
    X[:, 1] = 1e9  # all alike: a column that says nothing
    assert jaxlr.fit(sparse.csr_array(X), X[:, 0] > 0, l2=0.1).params.w[1] == pytest.approx(
        0, abs=1e-20
    )


def test_l1_takes_no_more_steps_than_max_iter_and_ends_where_rounding_does():
    X, y = problem(8)
    for limit in (1, 2, 5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(l1_ratio=1, max_iter=limit).fit(X, y)
        assert 1 <= model.n_iter_[0] <= limit
    large = LogisticRegression(l1_ratio=1).fit(X * 1e13, y)  # no warning
    assert large.certificate_.converged


def test_what_was_fitted_in_bfloat16_is_predicted_in_it():
    X, y = problem(9)
    X = jnp.asarray(X, jnp.bfloat16)
    model = LogisticRegression().fit(X, y)
    assert np.array_equal(model.predict(X), model.predict(np.asarray(X, np.float64)))


def test_small_units_and_large_ones():
    """The gradient is at most tol per unit of a feature, as scikit-learn counts it."""
    X, y = problem(6)
    X = X * [1e5, 1.0, 1e-5] + [1e6, 0, 0]
    for in_rows in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if in_rows:
                patch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
            ours = LogisticRegression(C=100.0, tol=1e-6).fit(X, y)
        certificate = ours.certificate_
        assert certificate.converged
        assert max(certificate.gradient, certificate.raw_gradient) <= 1e-6
        assert ours.n_iter_ >= 3
        # The gradient, by NumPy.
        z = X @ ours.coef_[0] + ours.intercept_[0]
        dz = 1 / (1 + np.exp(-z)) - y
        dw = X.T @ dz / len(y) + ours.coef_[0] / (100.0 * len(y))
        assert abs(dw).max() <= 2e-6
        assert abs(dz.mean()) <= 2e-6


def test_too_few_iterations_warn_and_say_what_to_do():
    X, y = problem(7)
    with pytest.warns(ConvergenceWarning, match=r"Increase max_iter \(now 2\).*smaller C"):
        ours = LogisticRegression(max_iter=2, C=100.0).fit(X, y)
    assert ours.n_iter_ == [2]
    assert ours.certificate_.status is FitStatus.STOPPED
    with pytest.warns(ConvergenceWarning, match="not converged"):
        none = LogisticRegression(max_iter=0).fit(X, y)
    assert not none.coef_.any()
    assert none.n_iter_ == [0]


@pytest.mark.parametrize("K", [2, 3])
def test_labels_told_apart_without_a_penalty(K):
    X = np.arange(12.0)[:, None]
    y = np.repeat(np.arange(K), 12 // K)
    with pytest.warns(ConvergenceWarning, match=r"separated: .*column 0.*finite C"):
        ours = LogisticRegression(C=np.inf).fit(X, y)
    assert np.isfinite(ours.coef_).all()
    np.testing.assert_array_equal(ours.predict(X), y)
    assert ours.certificate_.status is FitStatus.SEPARATED


@pytest.mark.parametrize("K", [2, 3])
def test_a_balanced_class_without_weight(K):
    """Its weight is infinite times 0, which once made all coefficients NaN."""
    X, y = problem(13, K=K)
    names = np.array(["ant", "bee", "cow"])[y]
    with pytest.warns(ConvergenceWarning, match="no row that weighs anything has the label 'ant'"):
        ours = LogisticRegression(class_weight="balanced").fit(X, names, (y != 0).astype(float))
    assert np.isfinite(ours.coef_).all()
    assert not (ours.predict(X) == "ant").any()


def test_names_of_runaway_features():
    X = pd.DataFrame({"age": np.arange(10.0), "other": np.tile([0.0, 1.0], 5)})
    with pytest.warns(ConvergenceWarning, match="'age'"):
        LogisticRegression(C=np.inf).fit(X, X["age"] > 4.5)


def test_warm_start_goes_on_from_the_last_fit():
    X, y = problem(8, K=3)
    one = LogisticRegression(warm_start=True).fit(X, y)
    again = clone(one).fit(X, y).fit(X, y)
    assert again.n_iter_[0] == 0
    same(again, one, rtol=1e-12)
    with pytest.raises(ValueError, match="warm_start"):
        again.fit(X[:, :2], y)


def test_pickle_clone_and_both_ways_to_scikit_learn():
    X, y = problem(9, K=3)
    names = np.array(["a", "b", "c"])[y]
    ours = LogisticRegression(C=0.3, class_weight={"a": 2.0, "b": 1.0, "c": 1.0})
    assert clone(ours).get_params() == ours.get_params()
    ours.fit(X, names)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.predict_proba(X), ours.predict_proba(X))
    assert isinstance(again.certificate_, Certificate)
    theirs = ours.to_sklearn()
    assert type(theirs) is linear_model.LogisticRegression
    assert theirs.get_params() == ours.get_params()
    np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-15)
    np.testing.assert_array_equal(theirs.predict(X), ours.predict(X))
    back = LogisticRegression.from_sklearn(theirs)
    assert type(back) is LogisticRegression
    np.testing.assert_array_equal(back.predict_log_proba(X), ours.predict_log_proba(X))
    assert not hasattr(back, "certificate_")
    unfitted = LogisticRegression.from_sklearn(linear_model.LogisticRegression(C=7.0))
    assert unfitted.C == 7.0
    assert not hasattr(unfitted, "coef_")


def test_parameters_are_those_of_the_installed_scikit_learn():
    ours, theirs = LogisticRegression(), linear_model.LogisticRegression()
    assert ours.get_params() == theirs.get_params()
    assert isinstance(ours, linear_model.LogisticRegression)
    for bad in ({"C": -1.0}, {"solver": "newton"}, {"tol": -1.0}, {"max_iter": 1.5}):
        with pytest.raises(ValueError, match="parameter of LogisticRegression must be"):
            LogisticRegression(**bad).fit(*problem(0))


def test_deprecated_parameters_warn_as_they_do_there():
    X, y = problem(0)
    with pytest.warns(FutureWarning, match="'penalty' was deprecated"):
        none = LogisticRegression(penalty=None).fit(X, y)
    same(none, LogisticRegression(C=np.inf).fit(X, y))
    with pytest.warns(FutureWarning, match="l1_ratio=None"):
        LogisticRegression(l1_ratio=None).fit(X, y)
    with pytest.warns(FutureWarning, match="n_jobs"):
        LogisticRegression(n_jobs=2).fit(X, y)


def test_one_class_is_an_error_and_negative_weights_are():
    X, y = problem(0)
    with pytest.raises(ValueError, match="contains only one class"):
        LogisticRegression().fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        LogisticRegression().fit(X, y, -np.ones(len(y)))


def test_weights_are_routed():
    X, y = problem(10)
    s = np.linspace(0, 2, len(y))
    with config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = make_pipeline(scaler, model).fit(X, y, sample_weight=s)
        scaled = StandardScaler().fit_transform(X)
        same(model[-1], LogisticRegression().fit(scaled, y, s))
        scored = model[-1].set_score_request(sample_weight=True)
        assert len(cross_validate(scored, X, y, params={"sample_weight": s})["test_score"]) == 5


def traces(events=[]):  # noqa: B006
    """Events of tracing so far; JAX keeps its listeners for good."""
    if not events:
        events.append("")
        jax.monitoring.register_event_duration_secs_listener(
            lambda event, _, **__: events.append(event)
        )
    return sum("trace" in event or "compile" in event for event in events)


@pytest.mark.parametrize("rows", [103, 2001])
def test_a_grid_search_compiles_nothing_after_the_first_fit(rows):
    X, y = problem(11, n=rows, K=3)
    LogisticRegression().fit(X[:83], y[:83])
    before = traces()
    search = GridSearchCV(LogisticRegression(), {"C": np.logspace(-3, 3, 20)}, cv=5).fit(X, y)
    assert traces() == before
    assert search.best_score_ == search.cv_results_["mean_test_score"].max() > 0.4


def test_folds_of_about_one_size_are_compiled_once(monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    X, y = problem(12)
    LogisticRegression().fit(X[:59], y[:59])  # 64 / 32 rows more or less are one size
    before = traces()
    for n in (59, 60):
        ours = LogisticRegression().fit(X[:n], y[:n])
        theirs = linear_model.LogisticRegression(**TIGHT).fit(X[:n], y[:n])
        same(ours, theirs)
        weighted = LogisticRegression(class_weight="balanced").fit(X[:n], y[:n])
        theirs = linear_model.LogisticRegression(**TIGHT, class_weight="balanced")
        same(weighted, theirs.fit(X[:n], y[:n]))
    assert traces() == before


@pytest.mark.parametrize("l1_ratio", [0, 0.5])
def test_sparse_folds_are_compiled_once(monkeypatch, l1_ratio):
    """Their entries differ in number, in each row and column: the first fold's programs do."""
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    monkeypatch.setattr("jaxlr.batch.sparse.sizes._taken", deque())  # those of other tests
    X, y = problem(13, n=403, d=6)
    X = sparse.csr_array(np.where(np.random.default_rng(0).random(X.shape) < 0.5, X, 0))
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    model = LogisticRegression(l1_ratio=l1_ratio)
    model.fit(X[folds[0][0]], y[folds[0][0]])
    before = traces()
    search = GridSearchCV(model, {"C": [0.1, 1.0, 10.0]}, cv=folds, refit=False).fit(X, y)
    assert traces() == before
    assert len({X[train].nnz for train, _ in folds}) > 1
    assert search.best_score_ > 0.6


def test_threads_that_fit_at_once_get_what_each_would_alone():
    problems = [problem(seed, n=60 + seed, d=2 + seed % 3, K=2 + seed % 2) for seed in range(8)]
    alone = [LogisticRegression().fit(*one) for one in problems]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: LogisticRegression().fit(*one), problems * 3))
    for k, model in enumerate(together):
        np.testing.assert_array_equal(model.coef_, alone[k % 8].coef_)


def test_without_scikit_learn_it_says_what_to_install():
    code = """
import sys
sys.modules["sklearn"] = None
try:
    import jaxlr.estimator
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "this needs sklearn: pip install 'jaxlr[sklearn]'"


@pytest.mark.parametrize("weights", [{0: 0, 1: 0}, {0: -1, 1: 1}, {0: np.inf, 1: 1}])
def test_weights_of_classes_that_are_none_are_named(weights):
    X, y = problem(3)
    with pytest.raises(ValueError, match=r"class_weight is .*finite, at least 0"):
        LogisticRegression(class_weight=weights).fit(X, y)


def test_a_constant_column_and_a_start_far_away():
    X, y = problem(3)
    with_it = LogisticRegression(C=np.inf).fit(np.column_stack([np.ones(len(X)), X]), y)
    without = LogisticRegression(C=np.inf).fit(X, y)
    np.testing.assert_allclose(with_it.coef_[:, 1:], without.coef_, rtol=1e-6)
    again = LogisticRegression(C=10, warm_start=True).fit(X * 1e-4, y)
    np.testing.assert_allclose(
        again.fit(X, y).coef_, LogisticRegression(C=10).fit(X, y).coef_, rtol=1e-6
    )


class Derived(LogisticRegression):
    """A class of somebody's own."""


def test_a_derived_class_becomes_scikit_learn_s_and_another_class_is_refused():
    X, y = problem(3)
    ours = Derived().fit(X, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is linear_model.LogisticRegression
    np.testing.assert_array_equal(theirs.predict(X), ours.predict(X))
    for other in (linear_model.LogisticRegressionCV(), linear_model.Ridge()):
        with pytest.raises(TypeError, match="LogisticRegression takes a LogisticRegression"):
            LogisticRegression.from_sklearn(other)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("K", [2, 3])
def test_a_nearly_constant_column(K, form):
    """Once its penalty hid the curvature of the others, and sums over sparse rows hid its own."""
    X, y = problem(16, K=K)
    t = X[:, 2].copy()
    X[:, 2] = 1e-3 + 1e-9 * t
    without = LogisticRegression().fit(X[:, :2], y)
    ours = LogisticRegression().fit(form(X), y)
    np.testing.assert_allclose(ours.coef_[:, :2], without.coef_, rtol=1e-6)
    assert abs(ours.coef_[:, 2]).max() < 1e-6
    assert ours.n_iter_ < 10
    X[:, 2] = 1 + 1e-6 * t
    ours = LogisticRegression(C=np.inf).fit(form(X), y)
    expected = linear_model.LogisticRegression(C=np.inf, **TIGHT).fit(
        np.column_stack([X[:, :2], (X[:, 2] - 1) * 1e6]), y
    )
    np.testing.assert_allclose(ours.coef_ * [1, 1, 1e-6], expected.coef_, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("unit", "C"), [(1e200, 1.0), (1e200, np.inf), (1e-200, np.inf)])
def test_units_whose_squares_over_or_underflow(unit, C):
    """Dense rows are solved all the same, and sparse ones refused; nothing else is said."""
    X, y = problem(3)
    expected = LogisticRegression(C=np.inf).fit(X, y).coef_
    ours = LogisticRegression(C=C).fit(X * unit, y)
    np.testing.assert_allclose(ours.coef_ * unit, expected, rtol=1e-9)
    with pytest.raises(ValueError, match="so large or small that its squares over- or underflow"):
        LogisticRegression(C=C).fit(sparse.csr_array(X * unit), y)
    with pytest.raises(ValueError, match="so large or small that its squares over- or underflow"):
        LogisticRegression().fit(X * 1e-200, y)
