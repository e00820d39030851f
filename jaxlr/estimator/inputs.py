"""What users hand over, as arrays that scikit-learn and the solver both take."""

from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from jaxlr import shard

_FEW = 2e6  # numbers
_TABLES = "__dataframe__", "tocsr"  # what scikit-learn reads without our help


class Labelled(NamedTuple):
    """Rows as the solver takes them.

    ``X`` (n, d) is dense or CSR, in float64 or float32; ``codes`` (n,) number the sorted
    ``classes`` (K,); weights ``s`` (n,) are float64, or None where all are 1.
    """

    X: Any
    codes: np.ndarray
    s: np.ndarray | None
    classes: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows n and features d."""
        return self.X.shape

    @property
    def weights(self) -> np.ndarray:
        """Weights (n,), also where all are 1."""
        return np.ones(len(self.codes)) if self.s is None else self.s

    @property
    def total(self) -> float:
        """Sum of the weights: what scikit-learn's C is counted in."""
        return float(len(self.codes) if self.s is None else self.s.sum())

    @property
    def y(self) -> np.ndarray:
        """Labels (n,), as they were given."""
        return self.classes[self.codes]

    def lacking(self, numbers: Any = ...) -> list[Any]:
        """Labels that none of these rows has, as far as they weigh anything."""
        weight = np.bincount(self.codes[numbers], self.weights[numbers], len(self.classes))
        return self.classes[weight == 0].tolist()

    def dense(self) -> "Labelled":
        """Write out a sparse X."""
        return self if isinstance(self.X, np.ndarray) else self._replace(X=self.X.toarray())

    def part(self, numbers: Any) -> "Labelled":
        """Take some of the rows, by their numbers or a mask; the classes stay those of all."""
        s = None if self.s is None else self.s[numbers]
        return self._replace(X=self.X[numbers], codes=self.codes[numbers], s=s)


def rounded_up(rows: Labelled) -> Labelled:
    """Weigh all rows, and add some of weight 0: what is compiled serves all of about one size.

    At most a sixteenth more.
    """
    n = len(rows.codes)
    step = max(1, (1 << (n - 1).bit_length()) // 32)
    more = -n % step
    if isinstance(rows.X, jax.Array):
        return rows
    s = rows.weights
    if more == 0:
        return rows._replace(s=s)
    codes = np.append(rows.codes, rows.codes[:more])
    return rows._replace(X=_longer(rows.X, more), codes=codes, s=np.append(s, np.zeros(more)))


def _longer(X: Any, more: int) -> Any:
    """Add rows to X, empty ones where it is sparse.

    The copy of a dense X costs what JAX would spend on its own: its memory begins where JAX wants
    it.
    """
    n, d = X.shape
    if not isinstance(X, np.ndarray):
        pointer = np.append(X.indptr, np.repeat(X.indptr[-1:], more))
        return type(X)((X.data, X.indices, pointer), shape=(n + more, d))
    longer = shard.aligned_empty((n + more, d), X.dtype)
    longer[:n], longer[n:] = X, X[:more]
    return longer


def on_host(v: Any) -> Any:
    """Take an array of another library, through DLPack where it has no other way to NumPy.

    scikit-learn alone would turn the float32 of some into float64.

    Examples
    --------
    >>> class Other:
    ...     def __dlpack__(self, **how):
    ...         return np.arange(3.0).__dlpack__(**how)
    ...
    ...     def __dlpack_device__(self):
    ...         return np.arange(3.0).__dlpack_device__()
    >>> print(on_host(Other()))
    [0. 1. 2.]
    """
    if isinstance(v, np.ndarray) or any(hasattr(v, name) for name in _TABLES):
        return v
    if not hasattr(v, "__dlpack__"):
        return v
    return np.asarray(v) if hasattr(v, "__array__") else np.from_dlpack(v)


def take(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Labelled:
    """Check rows and labels as scikit-learn does; sets ``n_features_in_`` and their names."""
    if stays_on_device(X):
        X, y = _take_on_device(estimator, X, y)
    else:
        X, y = validate_data(
            estimator,
            on_host(X),
            on_host(y),
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            order="C",
        )
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs samples of at least 2 classes in the data, but y "
            f"contains only one class: {classes[0]!r}"
        )
    s = None
    if sample_weight is not None:
        s = _check_sample_weight(
            on_host(sample_weight), codes, dtype=np.float64, ensure_non_negative=True
        )
    return Labelled(X, codes, s, classes)


def stays_on_device(X: Any) -> bool:
    """Whether rows are too many to bring from an accelerator, as small data is."""
    if not isinstance(X, jax.Array) or X.ndim != 2 or X.size <= _FEW:
        return False
    return any(device.platform != "cpu" for device in X.devices())


def _take_on_device(estimator: Any, X: jax.Array, y: Any) -> tuple[jax.Array, np.ndarray]:
    """Check all but whether features are finite: that the solver will see."""
    rows: Any = X
    validate_data(estimator, rows, skip_check_array=True)
    y = column_or_1d(np.asarray(on_host(y)), warn=True)
    check_consistent_length(y, X)
    return X if X.dtype in (np.float64, np.float32) else X.astype(np.float32), y


def weigh_classes(rows: Labelled, class_weight: Any) -> Labelled:
    """Multiply the weights by those of the classes: "balanced", or a number for each label."""
    if class_weight is None:
        return rows
    with np.errstate(divide="ignore"):  # a class without weight, "balanced", has an infinite one
        weights = compute_class_weight(
            class_weight, classes=rows.classes, y=rows.y, sample_weight=rows.s
        )
    s = weights[rows.codes].astype(np.float64)
    if rows.s is not None:
        s = np.multiply(s, rows.s, where=rows.s > 0, out=np.zeros_like(s))
    if not (np.isfinite(s).all() and (s >= 0).all() and s.any()):
        raise ValueError(
            f"class_weight is {class_weight!r}: the weights of classes must be finite, at least 0, "
            "and not 0 for all rows that weigh anything"
        )
    return rows._replace(s=s)
