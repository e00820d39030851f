"""scikit-learn's checks of an estimator: every one of them passes."""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from jaxlr.estimator import LogisticRegression, LogisticRegressionCV

SEARCH = {"cv": 3, "l1_ratios": (0,), "use_legacy_attributes": False, "scoring": "neg_log_loss"}
ESTIMATORS = {
    "plain": LogisticRegression(),
    "balanced": LogisticRegression(class_weight="balanced", warm_start=True),
    "search": LogisticRegressionCV(**SEARCH, Cs=2),
    "default search": LogisticRegressionCV(cv=3),  # some checks have fewer rows than 5 folds take
}
DAILY = ("plain", "search")


def cases():
    for name, estimator in ESTIMATORS.items():
        for made, check in estimator_checks_generator(estimator):
            what = check.func.__name__  # pyright: ignore[reportAttributeAccessIssue]
            marks = () if name in DAILY else pytest.mark.thorough
            yield pytest.param(made, check, id=f"{name}-{what}", marks=marks)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(cases()))
def test_check_of_scikit_learn(estimator, check):
    check(estimator)
