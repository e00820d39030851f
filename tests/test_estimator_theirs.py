"""scikit-learn's own tests of its logistic regression, with jaxlr's classes in their place."""

import warnings
from collections.abc import Collection
from unittest import mock

import pytest
from sklearn import linear_model

from jaxlr import estimator

OURS = {
    "LogisticRegression": estimator.LogisticRegression,
    "LogisticRegressionCV": estimator.LogisticRegressionCV,
}
with mock.patch.multiple(linear_model, **OURS), warnings.catch_warnings():
    warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)
    from sklearn.linear_model.tests import test_logistic as theirs

pytestmark = [pytest.mark.filterwarnings("default"), theirs.pytestmark]


@pytest.fixture(params=[42])
def global_random_seed(request):
    return request.param


def listed(mark):
    """Parametrize by lists: generators are what pytest warns of."""
    if mark.name != "parametrize" or isinstance(mark.args[1], Collection):
        return mark
    return pytest.mark.parametrize(mark.args[0], list(mark.args[1]), **mark.kwargs).mark


for name, test in vars(theirs).items():
    if name.startswith("test_"):
        if hasattr(test, "pytestmark"):
            test.pytestmark = [listed(mark) for mark in test.pytestmark]
        globals()[name] = test
