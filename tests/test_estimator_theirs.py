"""scikit-learn's own tests of its logistic regression, with jaxlr's classes in their place.

What does not apply is in `docs/sklearn.md`, each with its reason; it is skipped here.
"""

import re
from collections.abc import Collection
from pathlib import Path
from unittest import mock

import pytest
from sklearn import linear_model

from jaxlr import estimator

OURS = {
    "LogisticRegression": estimator.LogisticRegression,
    "LogisticRegressionCV": estimator.LogisticRegressionCV,
}
with mock.patch.multiple(linear_model, **OURS):
    from sklearn.linear_model.tests import test_logistic as theirs

pytestmark = [pytest.mark.filterwarnings("ignore"), theirs.pytestmark]
PAGE = (Path(__file__).parents[1] / "docs" / "sklearn.md").read_text()
SKIPPED = dict(re.findall(r"^\| `(test_\S+)` \| (.+) \|$", PAGE, re.MULTILINE))
SLOW = {
    "test_LogisticRegressionCV_elasticnet_attribute_shapes",
    "test_LogisticRegressionCV_no_refit",
    "test_logreg_l1",
    "test_saga_vs_liblinear",
    "test_scores_attribute_layout_elasticnet",
    "test_LogisticRegressionCV_GridSearchCV_elastic_net",
    "test_elastic_net_versus_sgd",
    "test_logistic_cv_multinomial_score",
    "test_logistic_cv_sparse",
    "test_logistic_regression_sample_weights",
    "test_multinomial_cv_iris",
    "test_n_iter",
}


@pytest.fixture(params=[42])
def global_random_seed(request):
    """Seed of scikit-learn's own configuration of pytest."""
    return request.param


@pytest.fixture(autouse=True)
def applies(request):
    """Skip one case of a test, `test[case]` on the page, where the others apply."""
    for pattern, reason in SKIPPED.items():
        name, _, case = pattern.rstrip("]").partition("[")
        if request.node.originalname == name and case in request.node.name.split("[")[-1]:
            pytest.skip(reason)


def listed(mark):
    """Parametrize by lists: generators are what pytest warns of."""
    if mark.name != "parametrize" or isinstance(mark.args[1], Collection):
        return mark
    return pytest.mark.parametrize(mark.args[0], list(mark.args[1]), **mark.kwargs).mark


def test_the_page_names_tests_that_exist():
    assert len(SKIPPED) > 5
    for pattern in SKIPPED:
        assert callable(getattr(theirs, pattern.partition("[")[0])), pattern


for name, test in vars(theirs).items():
    if name.startswith("test_") and name not in SKIPPED:
        test.pytestmark = [listed(mark) for mark in getattr(test, "pytestmark", [])]
        globals()[name] = pytest.mark.thorough(test) if name in SLOW else test
