"""What the rows must be like: shapes, types and values, checked before anything is traced."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxlr import shard
from jaxlr.batch.sparse.take import is_sparse, take_sparse
from jaxlr.core import Params

LABELS = (
    "labels must be in [0, 1]. Map {-1, 1} by (y + 1) / 2, and class names to 0 and 1. For more "
    "than two classes pass parameters w (K, d), or n_classes to jaxlr.fit, fit_many or path"
)
CLASSES = "labels must be the numbers of classes, from 0 to {}"
WEIGHTS = "weights must be finite and at least 0"
FEATURES = "features must be finite: impute or drop them"
# Sums of larger weights overflow in float32, and products with smaller ones underflow.
_LARGEST_WEIGHT = 1e20
_FEW = 1_000_000  # numbers that NumPy has seen before JAX has compiled a look at so many


def check_rows(
    params: Params,
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    *,
    sparse: bool = False,
) -> tuple[Params, Array, Array, Array | None]:
    """Put the rows on the device and check them, as `loss_and_grads` describes.

    With ``sparse``, X may be a `SparseX` or become one.
    """
    params = check_params(params)
    K = len(params.w) if params.w.ndim == 2 else None
    d = params.w.shape[-1]
    return params, *check_data(X, y, sample_weight, d=d, n_classes=K, sparse=sparse)


def check_data(
    X: Any,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    *,
    d: int | None = None,
    n_classes: int | None = None,
    finite: bool = True,
    sparse: bool = False,
    keep: Callable[[np.ndarray], bool] | None = None,
) -> tuple[Array, Array, Array | None]:
    """`check_rows` where there are no parameters yet, or as many as ``d``.

    Whether X is ``finite`` takes a read of it to see; who reads it anyway can look afterwards. X of
    NumPy stays what it is where ``keep`` says so.
    """
    X = check_features(X, d=d, finite=finite, sparse=sparse, n_classes=n_classes, keep=keep)
    y = _check_labels(y, X, n_classes)
    if sample_weight is None:
        return X, y, None
    s = _check_column("sample_weight", sample_weight, X, _is_weight, WEIGHTS)
    check_largest(sample_weight)
    return X, y, s


def _check_labels(y: ArrayLike, X: Array, n_classes: int | None) -> Array:
    """Labels in [0, 1]; of K classes their numbers (n,), or the shares of each (n, K)."""
    if n_classes is None:
        return _check_column("y", y, X, _is_label, LABELS)
    if np.ndim(y) == 2 and np.shape(y)[1] > 1:
        return _check_shares(y, X, n_classes)
    rule = CLASSES.format(n_classes - 1)
    return _check_column("y", y, X, _is_class(n_classes), rule)


def _check_shares(given: ArrayLike, X: Array, n_classes: int) -> Array:
    given = _numbers("y", given, "labels")
    y = jnp.asarray(given)
    if y.shape != (len(X), n_classes):
        raise ValueError(
            f"y has shape {y.shape}: for shares of classes it must be {(len(X), n_classes)}"
        )
    y = y if jnp.issubdtype(y.dtype, jnp.floating) else y.astype(X.dtype)
    _check_values("y", y, given, _is_label, "shares of classes must be in [0, 1]")
    total = y.sum(axis=1)
    _check_values("the sum of shares in y", total, total, _is_one, "those of a row must add to 1")
    return y


def check_params(params: Params) -> Params:
    """Parameters as arrays, (d,) and (), or (K, d) and (K,), in the floating-point type of w."""
    w, b = jnp.asarray(params.w), jnp.asarray(params.b)
    if w.ndim not in (1, 2) or b.shape != w.shape[:-1] or (w.ndim == 2 and len(w) < 2):
        raise ValueError(
            "params must be w (d,) and b (), or w (K, d) and b (K,) for K classes: w is "
            f"{w.shape} and b is {b.shape}"
        )
    if not jnp.issubdtype(w.dtype, jnp.floating) or _is_complex(b):
        raise TypeError(f"w has dtype {w.dtype} and b {b.dtype}: parameters must be floating point")
    return Params(w, b.astype(w.dtype))


def check_features(
    X: Any,
    *,
    d: int | None = None,
    finite: bool = True,
    sparse: bool = False,
    n_classes: int | None = None,
    keep: Callable[[np.ndarray], bool] | None = None,
) -> Array:
    """X on the device, of shape (m, d), at least one row, and ``finite``; ``sparse`` if need be."""
    if is_sparse(X):
        if not sparse:
            raise ValueError(
                "X is sparse, which is not supported here: pass X.toarray(), or use jaxlr.fit or "
                "jaxlr.fit_many, jaxlr.loss_and_grads or jaxlr.probabilities"
            )
        found: Any = take_sparse(X, d=d, n_classes=n_classes)
        return found
    if hasattr(X, "todense"):
        raise ValueError(
            f"X is a {type(X).__name__}: sparse matrices are taken of SciPy (csr_array, csc_array)"
        )
    given = _numbers("X", X, "features")
    with np.errstate(over="ignore"):  # told below
        rows: Any = given if isinstance(given, Array) else _placed(given, keep)
    if rows.ndim != 2:
        hint = ": for one example use jaxlr.core.forward, or X[None]" if rows.ndim == 1 else ""
        raise ValueError(f"X must have shape (m, d) and has shape {rows.shape}{hint}")
    if len(rows) == 0:
        raise ValueError(f"X has shape {rows.shape}: there is no example in it")
    if d is not None and rows.shape[1] != d:
        raise ValueError(f"X has {rows.shape[1]} features (columns), but w has {d}")
    if finite:
        _check_values("X", rows, given, _is_finite, FEATURES)
    return rows


def _placed(given: np.ndarray, keep: Callable[[np.ndarray], bool] | None) -> Array | np.ndarray:
    """Rows on the device, without a copy where the memory is aligned; or on the host."""
    if keep is not None and given.ndim == 2 and keep(given):
        return np.ascontiguousarray(given, jax.dtypes.canonicalize_dtype(given.dtype))
    return shard.put(given)


def check_penalty(l2: ArrayLike) -> ArrayLike:
    """Penalty, one finite number of at least 0."""
    if jnp.ndim(l2) != 0:
        raise ValueError(f"l2 must be one number and has shape {jnp.shape(l2)}")
    if _is_known(l2) and not 0 <= float(l2) < float("inf"):  # pyright: ignore[reportArgumentType]
        raise ValueError(f"l2 is {l2}: it must be finite and at least 0")
    return l2


def _numbers(name: str, given: ArrayLike, what: str) -> Array | np.ndarray:
    """Real numbers of any type, which may come as Python objects (a mixed frame, say)."""
    v: Any = given if isinstance(given, Array) else np.asarray(given)
    if v.dtype == object and not any(isinstance(item, str | bytes) for item in v.flat):
        with suppress(TypeError, ValueError):
            v = v.astype(np.float64)
    if isinstance(v, np.ndarray) and v.dtype.kind == "f" and v.dtype.itemsize > 8:
        v = v.astype(np.float64)  # long double
    elif isinstance(v, np.ndarray) and not v.dtype.isnative:
        v = v.astype(v.dtype.newbyteorder("="))
    real = jnp.issubdtype(v.dtype, jnp.number) and not _is_complex(v)
    if not (real or jnp.issubdtype(v.dtype, jnp.bool_)):
        raise ValueError(f"{name} has dtype {v.dtype}: {what} must be numbers, and real")
    return v


def _check_column(
    name: str, given: ArrayLike, X: Array, ok: Callable[[Array], Array], rule: str
) -> Array:
    """One real number for each row of X, each of them ``ok``."""
    given = _numbers(name, given, rule.partition(" ")[0])
    with np.errstate(over="ignore"):
        v = shard.copied(given)
    if v.shape == (len(X), 1):
        raise ValueError(
            f"{name} has shape {v.shape}, a column: it would spread to ({len(X)}, {len(X)}) "
            f"against the rows. Pass {name}.ravel()"
        )
    if v.shape != (len(X),):
        raise ValueError(f"{name} has shape {v.shape}, but X has {len(X)} rows: pass ({len(X)},)")
    _check_values(name, v, given, ok, rule)
    return v


def _check_values(
    name: str, v: Array, given: Array | np.ndarray, ok: Callable[[Array], Array], rule: str
) -> None:
    """Raise ValueError naming the first value of ``v``, ``given`` on the device, not ``ok``."""
    if v.dtype == bool or not _is_known(v):
        return
    with jax.ensure_compile_time_eval():  # also where other arguments are being traced
        if _are_all(v, ok):
            return
    index = first_false(shard.on_host(ok(v)))
    given, taken = shard.on_host(given), shard.on_host(v)
    if np.isfinite(given[index]) and not np.isfinite(taken[index]):
        rule = f"too large for {v.dtype}. Scale it down, or enable JAX's 64-bit mode"
    raise fault(name, given, index, rule)


def first_false(ok: np.ndarray) -> tuple[int, ...]:
    """Index of the first place that is not ok."""
    return tuple(int(i) for i in np.argwhere(~ok)[0])


def fault(name: str, v: ArrayLike, index: tuple[int, ...], rule: str) -> ValueError:
    """Error that says what ``v`` is at an index (row, column), and what it must be."""
    place = ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column"), index, strict=False))
    return ValueError(f"{name} is {np.asarray(v)[index]} in {place} (counted from 0): {rule}")


def check_largest(sample_weight: ArrayLike) -> None:
    """Raise ValueError where weights, of shape (n,) or (n, K), are all 0 or beyond the range."""
    if not _is_known(sample_weight):
        return
    largest = np.max(shard.own_rows(sample_weight), axis=0).astype(np.float64)
    if shard.is_elsewhere(sample_weight):
        largest = shard.gather(largest).max(axis=0)
    for k, v in enumerate(np.atleast_1d(largest)):
        of_model = f" of model {k}" if np.ndim(largest) else ""
        if v == 0:
            raise ValueError(f"sample_weight{of_model} is 0 everywhere: no example is left")
        if not 1 / _LARGEST_WEIGHT <= v <= _LARGEST_WEIGHT:
            raise ValueError(
                f"the largest sample_weight{of_model} is {v:g}, beyond the range that sums of rows "
                "keep. Only ratios of weights matter: divide them all by the largest"
            )


def _is_finite(v: Any) -> Any:
    return np.isfinite(v) if isinstance(v, np.ndarray) else jnp.isfinite(v)


def _is_label(y: Array) -> Array:
    return (y >= 0) & (y <= 1)


def _is_one(total: Array) -> Array:
    return abs(total - 1) <= 1e-3  # what 16 bits leave of shares that add to 1


@cache  # the same function for the same K, for `_all` is compiled for each
def _is_class(K: int) -> Callable[[Array], Array]:
    def is_class(y: Array) -> Array:
        whole = y % 1 == 0 if jnp.issubdtype(y.dtype, jnp.floating) else True
        return (y >= 0) & (y < K) & whole

    return is_class


def _is_weight(s: Array) -> Array:
    return (s >= 0) & _is_finite(s)


def _is_complex(v: Array | np.ndarray) -> bool:
    return jnp.issubdtype(v.dtype, jnp.complexfloating)


def _are_all(v: Array, ok: Callable[[Any], Any]) -> bool:
    """Whether all values are ok: NumPy tells of few in the memory of a CPU, JAX of all others."""
    few = shard.readable(v) if v.size <= _FEW else v
    return bool(ok(few).all() if isinstance(few, np.ndarray) else _all(v, ok))


@partial(jax.jit, static_argnums=1)
def _all(v: Array, ok: Callable[[Array], Array]) -> Array:
    return ok(v).all()


def _is_known(v: ArrayLike) -> bool:
    return not isinstance(v, Tracer)
