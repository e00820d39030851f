"""`jaxlr.estimator.LogisticRegressionCV` against scikit-learn's."""

import pickle

import numpy as np
import pytest
from estimators import problem, same
from sklearn import config_context, linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from jaxlr.estimator import LogisticRegressionCV

PLAIN = {"l1_ratios": (0,), "use_legacy_attributes": False, "scoring": "neg_log_loss"}
TIGHT = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 1000}
CS = [0.01, 0.1, 1.0, 10.0]


def both(X, y, fit=None, **options):
    options = {**PLAIN, "Cs": CS, "cv": 3, **options}
    ours = LogisticRegressionCV(**options).fit(X, y, **(fit or {}))
    return ours, linear_model.LogisticRegressionCV(**options, **TIGHT).fit(X, y, **(fit or {}))


def alike(ours, theirs):
    """Every attribute of the search: shape, type and value."""
    for name in ("C_", "Cs_", "l1_ratio_", "l1_ratios_"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert np.shape(a) == np.shape(b), name
        assert type(a) is type(b), name
        np.testing.assert_array_equal(a, b, name)
    for name in ("scores_", "coefs_paths_"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert type(a) is type(b), name
        a, b = ([*v.values()] if isinstance(v, dict) else [v] for v in (a, b))
        size = max(abs(v).max() for v in b)
        for one, other in zip(a, b, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * size, err_msg=name)
    if isinstance(theirs.scores_, dict):
        assert list(ours.scores_) == list(theirs.scores_) == list(ours.coefs_paths_)
    assert ours.n_iter_.shape == theirs.n_iter_.shape
    assert ours.n_iter_.dtype == theirs.n_iter_.dtype
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.coef_.dtype == theirs.coef_.dtype
    same(ours, theirs)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("refit", [False, True])
def test_attributes_are_those_of_scikit_learn(K, legacy, refit):
    X, y = problem(21, K=K)
    names = np.array(["b", "a", "c"])[y]
    ours, theirs = both(X, names, use_legacy_attributes=legacy, refit=refit)
    alike(ours, theirs)
    assert len(ours.certificates_) == 3 * len(CS)
    assert all(certificate.converged for certificate in ours.certificates_)
    assert (ours.certificate_ is not None) == refit
    assert ours.score(X, names) == pytest.approx(theirs.score(X, names), rel=1e-6)


@pytest.mark.parametrize("K", [2, pytest.param(3, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("legacy", [False, True])
def test_shares_of_l1(K, legacy):
    X, y = problem(28, K=K)
    # With a C so small that nothing but the intercept is left, saga stops before it has that.
    options = {**PLAIN, "Cs": [0.5, 2.0], "cv": 2, "l1_ratios": (0.0, 0.4, 1.0)}
    options["use_legacy_attributes"] = legacy
    ours = LogisticRegressionCV(**options).fit(X, y)
    tight = {"solver": "saga", "tol": 1e-12, "max_iter": 100_000}
    alike(ours, linear_model.LogisticRegressionCV(**options, **tight).fit(X, y))


@pytest.mark.thorough
def test_shares_of_l1_on_the_device(monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    X, y = problem(28)
    options = {**PLAIN, "Cs": [0.1, 1.0], "cv": 2, "l1_ratios": (0.0, 0.4)}
    ours = LogisticRegressionCV(**options).fit(X, y)
    tight = {"solver": "saga", "tol": 1e-12, "max_iter": 100_000}
    alike(ours, linear_model.LogisticRegressionCV(**options, **tight).fit(X, y))


@pytest.mark.parametrize("scoring", [None, "roc_auc", "neg_brier_score", "f1"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scorers_and_weights(scoring, weighted):
    X, y = problem(22)
    s = np.linspace(0.2, 3, len(y)) if weighted else None
    options = {"scoring": scoring, "class_weight": "balanced" if weighted else None}
    ours, theirs = both(X, y, {"sample_weight": s}, **options)
    alike(ours, theirs)


def own_scorer(model, X, y):
    return -abs(model.coef_).sum() + model.C


SPLITTERS = {
    "partition": KFold(4, shuffle=True, random_state=0),
    "overlapping": ShuffleSplit(3, random_state=0),
    "numbers": [(np.arange(40), np.arange(40, 60)), (np.arange(20, 60), np.arange(20))],
    "masks": [(np.arange(60) < 40, np.arange(60) >= 45), (np.arange(60) > 19, np.arange(60) < 20)],
}


@pytest.mark.parametrize("cv", SPLITTERS)
def test_any_splitter_and_any_scorer(cv):
    ours, theirs = both(*problem(23), cv=SPLITTERS[cv], scoring=own_scorer)
    alike(ours, theirs)


MORE = [("overlapping", 2), ("partition", 3)]
FOLDS = [("partition", 2), *(pytest.param(*v, marks=pytest.mark.thorough) for v in MORE)]


@pytest.mark.parametrize(("cv", "K"), FOLDS)
def test_folds_on_the_device(cv, K, monkeypatch):
    monkeypatch.setattr("jaxlr.estimator.solving.suits_host", lambda *shape: False)
    ours, theirs = both(*problem(23, K=K), cv=SPLITTERS[cv])
    alike(ours, theirs)


def test_splitters_and_scorers_get_what_is_routed_to_them():
    X, y = problem(24)
    groups, s = np.arange(60) % 6, np.linspace(0.1, 2, 60)
    with config_context(enable_metadata_routing=True):
        options = {
            "cv": GroupKFold(3),
            "scoring": get_scorer("neg_log_loss").set_score_request(sample_weight=True),
        }
        ours, theirs = both(X, y, {"groups": groups, "sample_weight": s}, **options)
    alike(ours, theirs)


def test_params_without_routing_are_an_error():
    with pytest.raises(ValueError, match="metadata"):
        LogisticRegressionCV(**PLAIN).fit(*problem(0), groups=np.zeros(60))


def test_folds_that_lack_a_class():
    X, y = problem(25, K=3)
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    with pytest.warns(ConvergenceWarning, match=r"4 of 13 fits.*no row .* has the label 2"):
        ours = LogisticRegressionCV(**PLAIN, Cs=CS, cv=KFold(3)).fit(X, y)
    theirs = linear_model.LogisticRegressionCV(**PLAIN, Cs=CS, cv=KFold(3)).fit(X, y)
    assert np.isfinite(ours.coefs_paths_).all()
    assert ours.scores_.shape == theirs.scores_.shape
    same(ours, linear_model.LogisticRegression(C=ours.C_, **TIGHT).fit(X, y))


def test_folds_where_nothing_weighs_anything():
    X, y = problem(25)
    s = np.ones(60)
    s[:20] = 0
    search = LogisticRegressionCV(**{**PLAIN, "scoring": None}, Cs=CS, cv=KFold(3))
    for scoring in (None, "accuracy"):
        with pytest.raises(ValueError, match="no row to test on in fold 0 weighs anything"):
            search.set_params(scoring=scoring).fit(X, y, s)
    with pytest.raises(ValueError, match="no row to train on in fold 0 weighs anything"):
        search.fit(X, y, 1 - s)
    for cv, message in (([], "no folds"), ([(np.arange(60), [])], "fold 0 has no row to test on")):
        with pytest.raises(ValueError, match=message):
            search.set_params(cv=cv).fit(X, y)


def test_deprecations_and_bad_grids():
    X, y = problem(26)
    with pytest.warns(FutureWarning) as seen:
        ours = LogisticRegressionCV(Cs=2, cv=2).fit(X, y)
    for name in ("l1_ratios", "scoring", "use_legacy_attributes"):
        assert any(name in str(warning.message) for warning in seen), name
    assert isinstance(ours.scores_, dict)
    assert ours.scores_[1].shape == (2, 2)
    bad_Cs = [{"Cs": Cs} for Cs in ([0.0, 1.0], [1.0, np.nan], [], [[1.0]])]
    for bad in (*bad_Cs, {"l1_ratios": (2,)}, {"l1_ratios": ()}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            LogisticRegressionCV(**{**PLAIN, **bad}).fit(X, y)
    weights = {0: 1.0, 7: 2.0}
    with pytest.raises(ValueError, match="classes"):
        LogisticRegressionCV(**PLAIN, class_weight=weights).fit(X, y)


def test_pickle_clone_and_both_ways_to_scikit_learn():
    X, y = problem(27)
    ours = LogisticRegressionCV(**PLAIN, Cs=CS, cv=3).fit(X.astype(np.float32), y)
    assert clone(ours).get_params() == ours.get_params()
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.predict_proba(X), ours.predict_proba(X))
    theirs = ours.to_sklearn()
    assert type(theirs) is linear_model.LogisticRegressionCV
    np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-14)
    back = LogisticRegressionCV.from_sklearn(theirs)
    np.testing.assert_array_equal(back.scores_, ours.scores_)
    assert back.C_ == ours.C_
