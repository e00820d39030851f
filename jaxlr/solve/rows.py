"""What the solver is given, checked and put in its place."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.batch import Rows


def check_settings(tol: float, max_steps: int, method: str = "auto") -> None:
    """Raise ValueError where a setting of the solver is out of range."""
    if not 0 < tol < float("inf"):
        raise ValueError(f"tol is {tol}: it must be finite and above 0")
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}: it must be at least 1")
    if method not in ("auto", "newton", "lbfgs"):
        raise ValueError(f"method is {method!r}: it must be 'auto', 'newton' or 'lbfgs'")


def check_classes(n_classes: int | None) -> None:
    """Raise ValueError where the number of classes is none."""
    whole = isinstance(n_classes, int | np.integer) and not isinstance(n_classes, bool)
    if n_classes is not None and not (whole and n_classes >= 2):
        raise ValueError(f"n_classes is {n_classes}: it must be a whole number, at least 2")


def check_not_traced(**arguments: Any) -> None:
    """Raise TypeError inside jax.jit or jax.vmap: a solver decides by values, step by step."""
    for name, value in arguments.items():
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            raise TypeError(
                f"{name} is being traced: fits cannot run inside jax.jit, jax.vmap or the like. "
                "For many models use jaxlr.fit_many"
            )


def take_rows(
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    offset: ArrayLike | None,
    n_classes: int | None = None,
    *,
    sparse: bool = False,
    keep: Callable[[np.ndarray], bool] | None = None,
) -> Rows:
    """Check one data set, and put it on the device, but for X where ``keep`` says so of it.

    Whether X is finite, the solver will see.
    """
    if n_classes is not None and np.ndim(y) != 1:
        raise ValueError(f"y has shape {np.shape(y)}: pass the number of each row's class, (n,)")
    X, y, s = batch.check_data(
        X, y, sample_weight, n_classes=n_classes, finite=False, sparse=sparse, keep=keep
    )
    if offset is not None and n_classes is not None:
        raise ValueError("offset is for two classes: added to all of K alike it changes nothing")
    if offset is not None:
        offset = shard.copied(offset)
        if offset.shape != (len(X),):
            raise ValueError(f"offset has shape {offset.shape}, but X has {len(X)} rows")
        if not np.isfinite(offset).all():
            row = int(np.argmin(np.isfinite(offset)))
            raise ValueError(f"offset is not finite in row {row} (counted from 0)")
    return Rows(X, y, s, offset)


def take_many_rows(
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    offset: ArrayLike | None,
    n_classes: int | None,
    *,
    named: bool,
) -> Rows:
    """Check one data set for many models; labels and weights may have a column for each.

    Where classes are ``named``, labels are any numbers.
    """
    no_label = np.zeros(np.shape(X)[:1], bool)
    rows = take_rows(X, no_label, None, offset, n_classes, sparse=True)
    y = shard.on_host(y)
    if named:
        _check_columns("y", y, rows.X, np.isfinite(y), "class numbers must be finite")
    elif n_classes is None:
        _check_columns("y", y, rows.X, (y >= 0) & (y <= 1), batch.LABELS)
    else:
        ok = (y >= 0) & (y < n_classes) & (np.floor(y) == y)
        _check_columns("y", y, rows.X, ok, batch.CLASSES.format(n_classes - 1))
    if sample_weight is None:
        return rows._replace(y=shard.placed_like(y, rows.X))
    s = shard.on_host(sample_weight)
    _check_columns("sample_weight", s, rows.X, (s >= 0) & np.isfinite(s), batch.WEIGHTS)
    batch.check_largest(s)
    return rows._replace(y=shard.placed_like(y, rows.X), s=shard.placed_like(s, rows.X))


def check_finite(J: Any, rows: Rows) -> None:
    """Raise ValueError where X is not finite, which shows in the objectives J; it says where."""
    if not np.isfinite(J).all():
        batch.check_features(rows.X, sparse=True)


def take_names(of_rows: ArrayLike, chosen: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Names of classes or folds, of all rows and those chosen, as numbers where they are text.

    A name that no row has becomes -1.
    """
    of_rows, chosen = np.asarray(of_rows), np.asarray(chosen)
    if of_rows.dtype.kind not in "OSUT":
        return of_rows, chosen
    names, numbers = np.unique(of_rows, return_inverse=True)
    known = {name: number for number, name in enumerate(names.tolist())}
    return numbers, np.array([known.get(name, -1) for name in chosen.tolist()], int)


def take_data_sets(
    X: Sequence[ArrayLike], y: Sequence[ArrayLike], sample_weight: Sequence[ArrayLike] | None
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Check K data sets; rows X (n_k, d), labels and weights (n_k,) of each, on the host."""
    if any(map(batch.is_sparse, X)):
        raise ValueError("X is sparse: data sets of their own must be dense, pass X.toarray()")
    for name, v in (("y", y), ("sample_weight", sample_weight)):
        if v is not None and len(v) != len(X):
            raise ValueError(f"X has {len(X)} data sets, but {name} has {len(v)}")
    arrays = [np.asarray(x) for x in X]
    dtype = np.float64 if any(x.dtype == np.float64 for x in arrays) else np.float32
    weights = [np.ones(len(x)) for x in arrays] if sample_weight is None else sample_weight
    found = []
    for k, one in enumerate(zip(arrays, y, weights, strict=True)):
        try:
            X_k, y_k, s_k = map(np.asarray, one)
            found.append(_check_data_set(X_k, y_k, s_k, arrays[0].shape[-1], dtype))
        except ValueError as error:
            raise ValueError(f"data set {k}: {error}") from error
    return found


def _check_data_set(
    X: np.ndarray, y: np.ndarray, s: np.ndarray, d: int, dtype: type
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if X.ndim != 2 or X.shape[1] != d or len(X) == 0:
        raise ValueError(f"X has shape {X.shape}: it must be (rows, {d}), with a row or more")
    if y.shape != (len(X),) or s.shape != (len(X),):
        raise ValueError(f"X has {len(X)} rows, but y has shape {y.shape} and weights {s.shape}")
    _check_columns("X", X, X, np.isfinite(X), batch.FEATURES)
    _check_columns("y", y, X, (y >= 0) & (y <= 1), batch.LABELS)
    _check_columns("sample_weight", s, X, (s >= 0) & np.isfinite(s), batch.WEIGHTS)
    batch.check_largest(s)
    return X.astype(dtype, copy=False), y.astype(dtype), s.astype(np.float64)


def _check_columns(name: str, v: Any, X: Any, ok: Any, rule: str) -> None:
    if v.ndim not in (1, 2) or len(v) != len(X):
        raise ValueError(
            f"{name} has shape {v.shape}: it must be ({len(X)},), or ({len(X)}, K) for K models"
        )
    if not ok.all():
        raise batch.fault(name, v, batch.first_false(ok), rule)


def take_penalties(given: ArrayLike, K: int, name: str = "l2") -> np.ndarray:
    """Check the penalties of K models: (K,)."""
    try:
        v = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {given!r}: it must be a number, or one a model") from error
    if v.ndim > 1 or v.size not in (1, K):
        raise ValueError(
            f"{name} has shape {v.shape}: pass one number, or one for each of {K} models"
        )
    if not (np.isfinite(v) & (v >= 0)).all():
        raise ValueError(f"{name} is {v}: it must be finite and at least 0")
    return np.broadcast_to(v, (K,))
