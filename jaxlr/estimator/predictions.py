"""What a fitted model says of new rows, and its way to and from scikit-learn's own classes."""

from copy import deepcopy
from typing import Any, Self

import numpy as np
from sklearn import linear_model
from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxlr.estimator.inputs import on_host
from jaxlr.estimator.probability import log_probabilities, probabilities


class Predictions(linear_model.LogisticRegression):
    """Predictions of a fitted linear classifier: ``coef_``, ``intercept_`` and ``classes_``."""

    def decision_function(self, X: Any) -> np.ndarray:
        """Linear predictors: (n,) for two classes, where above 0 is ``classes_[1]``; else (n, K).

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n, d)
            Features.

        Returns
        -------
        ndarray, shape (n,) or (n, K)

        Raises
        ------
        NotFittedError
            If there was no `fit` yet.
        ValueError
            If X is not finite, or has other features than `fit` saw; as all predictions do.
        """
        check_is_fitted(self)
        kinds = [np.float64, np.float32]  # as for fit: others become the first
        X = validate_data(self, on_host(X), accept_sparse="csr", dtype=kinds, reset=False)
        z = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        return z.ravel() if z.shape[1] == 1 else z

    def predict(self, X: Any) -> np.ndarray:
        """Labels (n,): the class with the largest linear predictor.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n, d)
            Features.

        Returns
        -------
        ndarray, shape (n,)
            Of the type of ``classes_``.
        """
        z = self.decision_function(X)
        return self.classes_[(z > 0).astype(np.intp) if z.ndim == 1 else z.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, K) of ``classes_``.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n, d)
            Features.

        Returns
        -------
        ndarray, shape (n, K)
            In [0, 1]; rows add to 1.
        """
        return probabilities(self.decision_function(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the probabilities (n, K), in full accuracy where these round to 0 or 1.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n, d)
            Features.

        Returns
        -------
        ndarray, shape (n, K)
            At most 0.
        """
        return log_probabilities(self.decision_function(X))

    def to_sklearn(self) -> linear_model.LogisticRegression:
        """Return the same model as scikit-learn's own class, with equal predictions."""
        return copy_model(self, theirs_of(type(self)))

    @classmethod
    def from_sklearn(cls, model: linear_model.LogisticRegression) -> Self:
        """Take over parameters and coefficients of a model of scikit-learn's own class.

        Parameters
        ----------
        model : sklearn.linear_model.LogisticRegression
            Fitted or not. A fitted one brings no certificate.

        Returns
        -------
        LogisticRegression or LogisticRegressionCV
            Of this class, with equal predictions.

        Raises
        ------
        TypeError
            If it is of another class of scikit-learn.
        """
        theirs = theirs_of(cls)
        if theirs_of(type(model)) is not theirs:
            raise TypeError(
                f"model is a {type(model).__name__}: {cls.__name__} takes a {theirs.__name__}"
            )
        return copy_model(model, cls)

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do: sparse X, and many classes under every solver's name."""
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_class = True
        return tags


def theirs_of(kind: type) -> Any:
    """Return the class of scikit-learn that an estimator is of, or derived from."""
    return next((k for k in kind.__mro__ if k.__module__.startswith("sklearn.")), None)


def copy_model(model: Any, kind: Any) -> Any:
    """Make an estimator of another class with the same parameters and fitted attributes."""
    known = kind().get_params(deep=False)
    params = {k: v for k, v in model.get_params(deep=False).items() if k in known}
    made = kind(**{name: clone(value, safe=False) for name, value in params.items()})
    for name, value in vars(model).items():
        if name.endswith("_") and not name.startswith(("_", "certificate")):
            setattr(made, name, deepcopy(value))
    return made
