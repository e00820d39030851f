"""scikit-learn: the model as its LogisticRegression, and as a file of skops, without pickle."""

from typing import TYPE_CHECKING

import numpy as np

from jaxlr.export.parameters import check_names
from jaxlr.extras import extra
from jaxlr.run import Model

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


def to_sklearn(model: Model) -> "LogisticRegression":
    """Return the model as a fitted ``sklearn.linear_model.LogisticRegression``.

    Parameters
    ----------
    model : Model
        For raw features.

    Returns
    -------
    LogisticRegression
        With coef_ (1, d), intercept_ (1,), classes_ (2,), feature_names_in_ (d,) and
        n_features_in_, in float64. As ever there, classes_ are sorted and column k of
        ``predict_proba`` is that of ``classes_[k]``: where label 1 of the model is the first in
        sorted order, signs are turned.

    Notes
    -----
    Its settings (C, solver) are scikit-learn's own defaults and say nothing of how the model was
    trained; ``fit`` would train it anew. At exactly 1/2 ``predict`` takes the first of classes_.

    Examples
    --------
    >>> names = {"features": ("x",), "labels": ("no", "yes")}
    >>> model = Model(np.array([2.0]), np.array(-2.0), np.zeros(1), np.ones(1), **names)
    >>> estimator = to_sklearn(model)
    >>> print(estimator.coef_, estimator.intercept_, estimator.classes_)
    [[2.]] [-2.] ['no' 'yes']
    """
    with extra("data"):
        from sklearn.linear_model import LogisticRegression
    sign = 1.0 if model.labels[0] <= model.labels[1] else -1.0
    estimator = LogisticRegression()
    fitted = {
        "coef_": sign * model.w[None, :],
        "intercept_": sign * np.reshape(model.b, 1),
        "classes_": np.array(sorted(model.labels)),
        "feature_names_in_": np.array(model.features, object),
        "n_features_in_": len(model.features),
    }
    for name, value in fitted.items():
        setattr(estimator, name, value)
    return estimator


def to_skops(model: Model) -> bytes:
    """Write what `to_sklearn` returns as a file of skops, which is no pickle.

    Parameters
    ----------
    model : Model
        For raw features.

    Returns
    -------
    bytes
        ``skops.io.load`` reads the file, and needs to be told to trust nothing.

    Raises
    ------
    ExportError
        If a name is no Unicode text.

    Examples
    --------
    >>> import skops.io
    >>> names = {"features": ("x",), "labels": ("no", "yes")}
    >>> model = Model(np.array([2.0]), np.array(-2.0), np.zeros(1), np.ones(1), **names)
    >>> skops.io.loads(to_skops(model)).coef_
    array([[2.]])
    """
    with extra("skops"):
        from skops import io
    check_names(model)
    return io.dumps(to_sklearn(model))
