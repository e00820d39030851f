"""scikit-learn's face: its logistic regressions, solved to a certified optimum."""

from jaxlr.extras import extra

with extra("sklearn"):
    from jaxlr.estimator.crossvalidated import LogisticRegressionCV
    from jaxlr.estimator.logistic import LogisticRegression

__all__ = ["LogisticRegression", "LogisticRegressionCV"]
