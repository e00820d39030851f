"""m examples: `core` mapped over the rows, block by block, so that X is read once.

For each block of rows: z, L and dz of every row by ``vmap`` of `core`, then the sum of
``dw_i = x_i dz_i`` over the rows as one product, ``dz X``, while the block is still in cache::

    J = sum_i s_i L_i / sum_i s_i + l2/2 ||w||^2
    dw = sum_i s_i dz_i x_i / sum_i s_i + l2 w        db = sum_i s_i dz_i / sum_i s_i

The sums of the blocks are added with their rounding errors carried along (Knuth's two-sum), so
that a million rows in float32 lose no more than one block of them does.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import ArrayLike, DTypeLike

from jaxlr import core, shard
from jaxlr.core import Params

# Bytes of X in one block. On a CPU a block should still be in a core's cache when it is read
# for the second time, and smaller where every core has a block of its own; on an accelerator it
# should be a share of the last-level cache, and large enough to hide the cost of a loop turn.
_BLOCK_BYTES_CPU, _BLOCK_BYTES_CPU_SPLIT, _BLOCK_BYTES_OTHER = 1 << 20, 1 << 18, 1 << 25


def loss_and_grads(
    params: Params,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    l2: ArrayLike = 0.0,
) -> tuple[Array, Params]:
    """Mean loss over m examples and its gradient, in one read of X.

    ``J = sum_i s_i L_i / sum_i s_i + l2/2 ||w||^2``; the intercept is never penalised.

    Parameters
    ----------
    params : Params
        ``w`` (d,) and ``b`` ().
    X : array_like, shape (m, d)
        Features, finite; integers and booleans are taken in the type of ``w``.
    y : array_like, shape (m,)
        Labels in [0, 1].
    sample_weight : array_like, shape (m,), optional
        Finite weights, at least 0 and not all 0. Without it every example weighs the same.
    l2 : float
        Penalty on ``w``, at least 0.

    Returns
    -------
    J : Array, shape ()
        Objective in nats, in at least float32.
    grads : Params
        dw (d,) in ``.w`` and db () in ``.b``, in the types of ``params``.

    Raises
    ------
    ValueError
        If shapes do not fit, rows are missing, or a value is out of range; the message names
        the first such value. Inside ``jax.jit``, where values are not yet known, only shapes
        are checked.

    Notes
    -----
    Compiled once for each combination of shapes and types. The checks read X a second time;
    in a hot loop of your own call ``jax.jit(jaxlr.loss_and_grads)``, which has no values to check.
    Rows placed by `split_rows` are summed on their own devices.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> X = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> J, grads = loss_and_grads(core.zeros(2), X, y=jnp.array([1.0, 0.0]))
    >>> print(f"{J:.4f}", grads.w, grads.b)
    0.6931 [0.5 0.5] 0.0
    """
    params, X, y, s = check_rows(params, X, y, sample_weight)
    return _objective(params, X, y, s, check_penalty(l2), mesh=shard.mesh_of(X))


def loss(
    params: Params,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    l2: ArrayLike = 0.0,
) -> Array:
    """Mean loss over m examples without its gradient; otherwise as `loss_and_grads`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(f"{loss(core.zeros(1), jnp.ones((3, 1)), jnp.array([0, 1, 1])):.4f}")
    0.6931
    """
    params, X, y, s = check_rows(params, X, y, sample_weight)
    return compiled_mean_loss(params, X, y, s, check_penalty(l2), mesh=shard.mesh_of(X))


def probabilities(params: Params, X: ArrayLike) -> Array:
    """Probability of label 1 for every row of ``X``: ``a_i = sigma(w . x_i + b)``, shape (m,).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(probabilities(core.zeros(2), jnp.ones((3, 2))))
    [0.5 0.5 0.5]
    """
    params = check_params(params)
    X = check_features(params, X)
    return _probabilities(params, X)


class Sums(NamedTuple):
    """Sums over rows, before they are divided: of the weights, the losses and the gradients."""

    s: Array
    L: Array
    grads: Params | None


def objective(
    params: Params, X: Array, y: Array, s: Array | None, l2: ArrayLike, *, mesh: Mesh | None
) -> tuple[Array, Params]:
    """`loss_and_grads` for rows already checked, to be compiled into a larger function."""
    w, _ = wide = _widen(params, X)
    total = _sum_over_rows(_gradient_sums, wide, (X, y, s), mesh)
    grads: Params = jax.tree.map(lambda v: v / total.s, total.grads)
    dw, db = grads.w + l2 * w, grads.b
    J = total.L / total.s + l2 / 2 * _squared_norm(w)
    return J, Params(dw.astype(params.w.dtype), db.astype(params.b.dtype))


def mean_loss(
    params: Params, X: Array, y: Array, s: Array | None, l2: ArrayLike, *, mesh: Mesh | None
) -> Array:
    """`loss` for rows already checked, to be compiled into a larger function."""
    wide = _widen(params, X)
    total = _sum_over_rows(_loss_sums, wide, (X, y, s), mesh)
    return total.L / total.s + l2 / 2 * _squared_norm(wide.w)


_objective = jax.jit(objective, static_argnames="mesh")
compiled_mean_loss = jax.jit(mean_loss, static_argnames="mesh")
_probabilities = jax.jit(jax.vmap(core.probability, in_axes=(None, 0)))


Rows = tuple[Array, Array, Array | None]  # X (m, d), y (m,), s (m,) or None


def _gradient_sums(params: Params, rows: Rows) -> Sums:
    X, y, s = rows
    L, cache = jax.vmap(core.forward, in_axes=(None, 0, 0))(params, X, y)
    dz = jax.vmap(core.slope)(cache)
    if s is not None:
        L, dz = s * L, s * dz
    # Row by row this is core.backward; summed over the rows, x_i dz_i is one product.
    dw = jnp.dot(dz, cache.x, precision=lax.Precision.HIGHEST)
    return Sums(_total_weight(L, s), L.sum(), Params(dw, dz.sum()))


def _loss_sums(params: Params, rows: Rows) -> Sums:
    X, y, s = rows
    L, _ = jax.vmap(core.forward, in_axes=(None, 0, 0))(params, X, y)
    if s is not None:
        L = s * L
    return Sums(_total_weight(L, s), L.sum(), None)


def _total_weight(L: Array, s: Array | None) -> Array:
    return jnp.asarray(L.size, L.dtype) if s is None else s.sum()


def _sum_over_rows(
    sums: Callable[[Params, Rows], Sums], params: Params, rows: Rows, mesh: Mesh | None
) -> Sums:
    """Sum over all rows on all devices, block by block on each."""
    X, y, s = rows
    rows = X, y, None if s is None else s.astype(params.w.dtype)
    block = _block_rows(X, params.w.dtype, mesh)
    blockwise = partial(_sum_over_blocks, sums, block)
    return shard.sum_over_devices(blockwise, mesh)(params, rows)


def _sum_over_blocks(
    sums: Callable[[Params, Rows], Sums], block: int, params: Params, rows: Rows
) -> Sums:
    m = len(rows[0])
    blocks = (m - 1) // block  # whole blocks for the loop; the last 1 to `block` rows start it
    total = sums(params, jax.tree.map(lambda v: v[blocks * block :], rows))
    if blocks == 0:
        return total

    def add_block(i: Array, carry: tuple[Sums, Sums]) -> tuple[Sums, Sums]:
        total, lost = carry
        part = sums(params, jax.tree.map(lambda v: _rows_from(v, i * block, block), rows))
        longer = jax.tree.map(jnp.add, total, part)
        return longer, jax.tree.map(_add_lost, lost, total, part, longer)

    nothing = jax.tree.map(lambda v: v * 0, total)
    return jax.tree.map(jnp.add, *lax.fori_loop(0, blocks, add_block, (total, nothing)))


def _rows_from(v: Array, start: Array, size: int) -> Array:
    return lax.dynamic_slice_in_dim(v, start, size)


def _add_lost(lost: Array, a: Array, b: Array, rounded: Array) -> Array:
    """Add to ``lost`` what ``rounded = a + b`` lost of a + b (Knuth's two-sum)."""
    b_got = rounded - a
    return lost + ((a - (rounded - b_got)) + (b - b_got))


def _block_rows(X: Array, dtype: DTypeLike, mesh: Mesh | None) -> int:
    if jax.default_backend() != "cpu":
        size = _BLOCK_BYTES_OTHER
    else:
        size = _BLOCK_BYTES_CPU if mesh is None else _BLOCK_BYTES_CPU_SPLIT
    return max(8, size // (max(1, X.shape[1]) * jnp.dtype(dtype).itemsize) // 8 * 8)


def _widen(params: Params, X: Array) -> Params:
    """Parameters in the type of the computation: float64 if either has it, else float32."""
    double = np.dtype(np.float64) in (params.w.dtype, X.dtype)
    wide = jnp.float64 if double else jnp.float32
    return Params(params.w.astype(wide), params.b.astype(wide))


def _squared_norm(w: Array) -> Array:
    return jnp.dot(w, w, precision=lax.Precision.HIGHEST)


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
    dtype = np.asarray(X).dtype if not isinstance(X, Array) else X.dtype
    if not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)):
        raise ValueError(f"X has dtype {dtype}: features must be numbers")
    X = jnp.asarray(X)
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
    return not isinstance(v, jax.core.Tracer)
