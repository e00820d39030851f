"""What the rows must be like: shapes, types and values, checked before anything is traced."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxlr.core import Params


def check_rows(
    params: Params, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Params, Array, Array, Array | None]:
    """Put the rows on the device and check them, as `loss_and_grads` describes."""
    params = check_params(params)
    X = check_features(params, X)
    y = jnp.asarray(y)
    s = None if sample_weight is None else jnp.asarray(sample_weight)
    _check_column("y", y, X)
    _check_values(
        "y",
        y,
        _is_label,
        "labels must be in [0, 1]. Map {-1, 1} by (y + 1) / 2, and class names to 0 and 1",
    )
    if s is not None:
        _check_column("sample_weight", s, X)
        _check_values(
            "sample_weight",
            s,
            _is_weight,
            "weights must be finite and at least 0",
        )
        if _is_known(s) and not np.asarray(s).any():
            raise ValueError("sample_weight is 0 everywhere: no example is left")
    return params, X, y, s


def check_params(params: Params) -> Params:
    """Parameters as arrays, of shapes (d,) and ()."""
    w = jnp.asarray(params.w)
    b = jnp.asarray(params.b, w.dtype) if jnp.ndim(params.b) == 0 else jnp.asarray(params.b)
    if w.ndim != 1 or b.ndim != 0:
        raise ValueError(f"params must be w (d,) and b (): w is {w.shape} and b is {b.shape}")
    return Params(w, b)


def check_features(params: Params, X: ArrayLike) -> Array:
    """X on the device, of shape (m, d), at least one row, and finite."""
    if hasattr(X, "tocsr"):
        raise ValueError("X is sparse, which is not supported yet: pass X.toarray()")
    rows = X if isinstance(X, Array) else np.asarray(X)
    if not (jnp.issubdtype(rows.dtype, jnp.number) or jnp.issubdtype(rows.dtype, jnp.bool_)):
        raise ValueError(f"X has dtype {rows.dtype}: features must be numbers")
    # Without a copy where the memory is aligned; jnp.asarray would copy.
    return _check_matrix(params, rows if isinstance(rows, Array) else jax.device_put(rows))


def _check_matrix(params: Params, X: Array) -> Array:
    if X.ndim != 2:
        hint = ": for one example use jaxlr.core.forward, or X[None]" if X.ndim == 1 else ""
        raise ValueError(f"X must have shape (m, d) and has shape {X.shape}{hint}")
    if len(X) == 0:
        raise ValueError(f"X has shape {X.shape}: there is no example in it")
    if X.shape[1] != len(params.w):
        raise ValueError(f"X has {X.shape[1]} features (columns), but w has {len(params.w)}")
    _check_values("X", X, jnp.isfinite, "features must be finite: impute or drop them")
    return X


def check_penalty(l2: ArrayLike) -> ArrayLike:
    """Penalty, one finite number of at least 0."""
    if jnp.ndim(l2) != 0:
        raise ValueError(f"l2 must be one number and has shape {jnp.shape(l2)}")
    if _is_known(l2) and not 0 <= float(l2) < float("inf"):  # pyright: ignore[reportArgumentType]
        raise ValueError(f"l2 is {l2}: it must be finite and at least 0")
    return l2


def _check_column(name: str, v: Array, X: Array) -> None:
    if v.shape == (len(X), 1):
        raise ValueError(
            f"{name} has shape {v.shape}, a column: it would spread to ({len(X)}, {len(X)}) "
            f"against the rows. Pass {name}.ravel()"
        )
    if v.shape != (len(X),):
        raise ValueError(f"{name} has shape {v.shape}, but X has {len(X)} rows: pass ({len(X)},)")


def _check_values(name: str, v: Array, ok: Callable[[Array], Array], rule: str) -> None:
    """Raise ValueError naming the first value of ``v`` that is not ``ok``."""
    if v.dtype == bool or not _is_known(v):
        return
    with jax.ensure_compile_time_eval():  # also where other arguments are being traced
        if _all(v, ok):
            return
    index = tuple(int(i) for i in np.argwhere(~np.asarray(ok(v)))[0])
    place = ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column"), index, strict=False))
    raise ValueError(f"{name} is {np.asarray(v)[index]} in {place} (counted from 0): {rule}")


def _is_label(y: Array) -> Array:
    return (y >= 0) & (y <= 1)


def _is_weight(s: Array) -> Array:
    return (s >= 0) & jnp.isfinite(s)


@partial(jax.jit, static_argnums=1)
def _all(v: Array, ok: Callable[[Array], Array]) -> Array:
    return ok(v).all()


def _is_known(v: ArrayLike) -> bool:
    return not isinstance(v, Tracer)
