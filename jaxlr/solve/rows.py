"""What the solver is given, checked and put in its place."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlr import batch
from jaxlr.batch import Rows
from jaxlr.core import Params
from jaxlr.solve.objective import draw
from jaxlr.solve.scaling import Scaling

_ROWS_MEASURED = 4096  # for the means and deviations of the features


def take_rows(
    X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, offset: ArrayLike | None
) -> Rows:
    """Check one data set, and put it on the device. X may hold NaN: see `check_finite`."""
    X, y, s = batch.check_data(X, y, sample_weight, finite=False)
    if offset is not None:
        offset = jnp.asarray(offset)
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
    classes: ArrayLike | None,
) -> Rows:
    """Check one data set for many models; labels and weights may have a column for each."""
    rows = take_rows(X, np.zeros(np.shape(X)[:1], bool), None, offset)
    y = np.asarray(y)
    if classes is None:
        _check_columns("y", y, rows.X, (y >= 0) & (y <= 1), "labels must be in [0, 1]")
    else:
        _check_columns("y", y, rows.X, np.isfinite(y), "it must be finite")
    if sample_weight is None:
        return rows._replace(y=jnp.asarray(y))
    s = np.asarray(sample_weight)
    rule = "weights must be finite and at least 0"
    _check_columns("sample_weight", s, rows.X, (s >= 0) & np.isfinite(s), rule)
    empty = ~(s.reshape(len(s), -1) > 0).any(axis=0)
    if empty.any():
        raise ValueError(f"sample_weight is 0 everywhere for model {int(np.argmax(empty))}")
    return rows._replace(y=jnp.asarray(y), s=jnp.asarray(s))


def take_data_sets(
    X: Sequence[ArrayLike], y: Sequence[ArrayLike], sample_weight: Sequence[ArrayLike] | None
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Check K data sets; rows X (n_k, d), labels and weights (n_k,) of each, on the host."""
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
    _check_columns("X", X, X, np.isfinite(X), "features must be finite")
    _check_columns("y", y, X, (y >= 0) & (y <= 1), "labels must be in [0, 1]")
    rule = "weights must be finite and at least 0"
    _check_columns("sample_weight", s, X, (s >= 0) & np.isfinite(s), rule)
    if not s.any():
        raise ValueError("sample_weight is 0 everywhere")
    return X.astype(dtype, copy=False), y.astype(dtype), s.astype(np.float64)


def _check_columns(name: str, v: Any, X: Any, ok: Any, rule: str) -> None:
    if v.ndim not in (1, 2) or len(v) != len(X):
        raise ValueError(
            f"{name} has shape {v.shape}: it must be ({len(X)},), or ({len(X)}, K) for K models"
        )
    if not ok.all():
        place = tuple(int(i) for i in np.argwhere(~ok)[0])
        where = f"row {place[0]}" + (f", column {place[1]}" if v.ndim == 2 else "")
        raise ValueError(f"{name} is {v[place]} in {where} (counted from 0): {rule}")


def take_penalties(l2: ArrayLike, K: int) -> np.ndarray:
    """Check the penalties of K models: (K,)."""
    l2 = np.asarray(l2, np.float64)
    if l2.ndim > 1 or l2.size not in (1, K):
        raise ValueError(f"l2 has shape {l2.shape}: pass one number, or one for each of {K} models")
    if not (np.isfinite(l2) & (l2 >= 0)).all():
        raise ValueError(f"l2 is {l2}: it must be finite and at least 0")
    return np.broadcast_to(l2, (K,))


def measure(rows: Rows, *, intercept: bool) -> Scaling:
    """Measure the scales of the features on a few of the rows that weigh something."""
    few = draw(len(rows.X), _ROWS_MEASURED).numbers
    X = np.asarray(rows.X if few is None else rows.X[few])
    weight = np.ones(len(X))
    if rows.s is not None:
        s = np.asarray(rows.s if few is None else rows.s[few]).reshape(len(X), -1)
        some = np.any(s > 0, axis=1)
        weight = np.where(some, 1.0, 0.0) if np.any(some) else weight
    return Scaling.of(X[None], weight[None], intercept=intercept)


def start(init: Params | None, K: int, scaling: Scaling) -> np.ndarray:
    """Where K models start, in standardised parameters (K, p)."""
    if init is None:
        return np.zeros((K, scaling.size))
    d = scaling.scale.shape[1]
    w, b = np.asarray(init.w, np.float64), np.asarray(init.b, np.float64)
    if w.shape not in ((d,), (K, d)) or b.shape not in ((), (K,)):
        raise ValueError(f"init has w {w.shape} and b {b.shape}: they must be ({d},) and ()")
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise ValueError("init is not finite")
    return scaling.from_raw(np.broadcast_to(w, (K, d)), np.broadcast_to(b, (K,)))
