"""m examples: `core` mapped over the rows, block by block, so that X is read once.

For each block of rows: z, L and dz of every row by ``vmap`` of `core`, then the sum of
``dw_i = x_i dz_i`` over the rows as one product, ``dz X``, while the block is still in cache::

    J = sum_i s_i L_i / sum_i s_i + l2/2 ||w||^2
    dw = sum_i s_i dz_i x_i / sum_i s_i + l2 w        db = sum_i s_i dz_i / sum_i s_i

With K classes z and dz of a row are vectors, and dw is (K, d).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlr import core, shard
from jaxlr.batch.blocks import sum_over_rows
from jaxlr.batch.checks import check_features, check_params, check_penalty, check_rows
from jaxlr.batch.models.rows import Rows
from jaxlr.batch.sparse import SparseX, is_sparse, take_sparse
from jaxlr.batch.sparse.sums import sparse_probabilities, sparse_sums
from jaxlr.core import Params


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
        ``w`` (d,) and ``b`` (); or (K, d) and (K,): K classes.
    X : array_like or sparse, shape (m, d)
        Features, finite; integers and booleans are taken in the type of ``w``. SciPy's sparse
        arrays stay sparse: they are laid out anew in each call, which takes as long as some dozens
        of products; `jaxlr.batch.sparse.take_sparse` does it once. Of many classes rows are taken
        block by block, so that no memory of n K numbers is needed.
    y : array_like, shape (m,)
        Labels in [0, 1]. Of K classes: numbers from 0 to K - 1, or shares of each, shape (m, K).
    sample_weight : array_like, shape (m,), optional
        Finite weights, at least 0, of which only the ratios matter; the largest between 1e-20
        and 1e20. Without it every example weighs the same.
    l2 : float
        Penalty on ``w``, at least 0.

    Returns
    -------
    J : Array, shape ()
        Objective in nats, in at least float32.
    grads : Params
        dw in ``.w`` and db in ``.b``, of the shapes and types of ``params``.

    Raises
    ------
    ValueError
        If shapes do not fit, rows are missing, or a value is no number or out of range; the
        message names the first such value. Inside ``jax.jit``, where values are not yet known,
        only shapes and types are checked.
    TypeError
        If ``params`` are not floating point.

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
    >>> J, grads = loss_and_grads(core.zeros(2, n_classes=3), X, y=jnp.array([2, 0]))
    >>> print(f"{J:.4f}", grads.w.shape)  # log 3
    1.0986 (3, 2)
    """
    params, X, y, s = check_rows(params, X, y, sample_weight, sparse=True)
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
    params, X, y, s = check_rows(params, X, y, sample_weight, sparse=True)
    return compiled_mean_loss(params, X, y, s, check_penalty(l2), mesh=shard.mesh_of(X))


def probabilities(params: Params, X: ArrayLike) -> Array:
    """Probability of label 1, or of each class, in every row: ``a_i = sigma(w . x_i + b)``.

    Parameters
    ----------
    params : Params
        ``w`` (d,) and ``b`` (); or (K, d) and (K,): K classes.
    X : array_like or sparse, shape (m, d)
        Features, finite; SciPy's sparse arrays stay sparse.

    Returns
    -------
    a : Array, shape (m,) or (m, K)
        In [0, 1], in the type of ``w``.

    Raises
    ------
    ValueError, TypeError
        For ``params`` and ``X`` as `loss_and_grads`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(probabilities(core.zeros(2), jnp.ones((3, 2))))
    [0.5 0.5 0.5]
    """
    params = check_params(params)
    d = params.w.shape[-1]
    if is_sparse(X):
        K = len(params.w) if params.w.ndim == 2 else None
        taken = take_sparse(X, d=d, by_columns=False, n_classes=K)
        return sparse_probabilities(params, taken)
    return _probabilities(params, check_features(X, d=d))


class Sums(NamedTuple):
    """Sums over rows, before they are divided: of the weights, the losses and the gradients."""

    s: Array
    L: Array
    grads: Params | None


def objective(
    params: Params, X: Array, y: Array, s: Array | None, l2: ArrayLike, *, mesh: Mesh | None
) -> tuple[Array, Params]:
    """`loss_and_grads` for rows already checked, to be compiled into a larger function."""
    wide = widen(params, X)
    total = _sum(_gradient_sums, wide, Rows(X, y, s), mesh)
    J, grads = penalised(wide.w, total, l2)
    return J, Params(grads.w.astype(params.w.dtype), grads.b.astype(params.b.dtype))


def penalised(w: Array, total: Sums, l2: ArrayLike) -> tuple[Array, Params]:
    """Mean loss and gradient of all rows out of their sums, and the penalty."""
    grads: Params = jax.tree.map(lambda v: v / total.s, total.grads)
    dw, db = grads.w + l2 * w, grads.b
    return total.L / total.s + l2 / 2 * _squared_norm(w), Params(dw, db)


@jax.jit
def sums_of_rows(params: Params, X: Array, y: Array, s: Array) -> Sums:
    """Sum over some of the rows, already checked, to be added to the sums of others."""
    return _sum(_gradient_sums, widen(params, X), Rows(X, y, s), None)


@jax.jit
def scores_of_rows(params: Params, X: Array, y: Array) -> tuple[Array, Array]:
    """Loss (m,) and ``z = w . x + b`` (m,) of each row, already checked."""

    def of_row(params: Params, x: Array, y: Array) -> tuple[Array, Array]:
        return core.forward(params, x, y)[0], core.linear(params, x)

    return jax.vmap(of_row, in_axes=(None, 0, 0))(widen(params, X), X, y)


def mean_loss(
    params: Params, X: Array, y: Array, s: Array | None, l2: ArrayLike, *, mesh: Mesh | None
) -> Array:
    """`loss` for rows already checked, to be compiled into a larger function."""
    wide = widen(params, X)
    total = _sum(_loss_sums, wide, Rows(X, y, s), mesh)
    return total.L / total.s + l2 / 2 * _squared_norm(wide.w)


_objective = jax.jit(objective, static_argnames="mesh")
compiled_mean_loss = jax.jit(mean_loss, static_argnames="mesh")
_probabilities = jax.jit(jax.vmap(core.probability, in_axes=(None, 0)))


def _sum(
    sums: Callable[[Params, Rows], Sums], params: Params, rows: Rows, mesh: Mesh | None
) -> Sums:
    X, y, s, *_ = rows
    if isinstance(X, SparseX):
        return Sums(*sparse_sums(params, X, y, s))
    dtype = params.w.dtype
    rows = Rows(X, y, None if s is None else s.astype(dtype))
    # Of a row: x, and of K classes z, dz, the odds and the label.
    numbers = X.shape[1] + (0 if params.b.ndim == 0 else 5 * params.b.size)
    return sum_over_rows(sums, params, rows, mesh=mesh, row_bytes=numbers * dtype.itemsize)


def _gradient_sums(params: Params, rows: Rows) -> Sums:
    X, y, s, *_ = rows
    L, cache = jax.vmap(core.forward, in_axes=(None, 0, 0))(params, X, y)
    dz = jax.vmap(core.slope)(cache)
    if s is not None:
        s = s.astype(L.dtype)
        L, dz = s * L, jax.vmap(jnp.multiply)(s, dz)
    # Row by row this is core.backward; summed over the rows, dz_i x_i is one product.
    dw = jnp.tensordot(dz, X.astype(dz.dtype), (0, 0), precision=lax.Precision.HIGHEST)
    return Sums(_total_weight(L, s), L.sum(), Params(dw, dz.sum(0)))


def _loss_sums(params: Params, rows: Rows) -> Sums:
    X, y, s, *_ = rows
    L, _ = jax.vmap(core.forward, in_axes=(None, 0, 0))(params, X, y)
    if s is not None:
        s = s.astype(L.dtype)
        L = s * L
    return Sums(_total_weight(L, s), L.sum(), None)


def _total_weight(L: Array, s: Array | None) -> Array:
    return jnp.asarray(L.size, L.dtype) if s is None else s.sum()


def widen(params: Params, X: Array) -> Params:
    """Parameters in the type of the computation: float64 if either has it, else float32."""
    double = np.dtype(np.float64) in (params.w.dtype, X.dtype)
    wide = jnp.float64 if double else jnp.float32
    return Params(params.w.astype(wide), params.b.astype(wide))


def _squared_norm(w: Array) -> Array:
    return jnp.vdot(w, w, precision=lax.Precision.HIGHEST)
