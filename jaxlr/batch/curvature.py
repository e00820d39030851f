"""Second derivatives of the objective, from the curvature of one example: d2z = a (1 - a).

For m examples, with the intercept as a last column of ones beside X::

    H   = sum_i s_i d2z_i x_i x_i' / sum_i s_i + l2 I          (the intercept has no l2)
    H v = sum_i s_i d2z_i (x_i . v) x_i / sum_i s_i + l2 v

With K classes d2z is a matrix (K, K), and H has a block for each pair of classes.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlr import core, shard
from jaxlr.batch.blocks import sum_over_rows
from jaxlr.batch.checks import check_params, check_penalty, check_rows
from jaxlr.batch.models import Models, Rows, curvature_sums
from jaxlr.batch.objective import widen
from jaxlr.core import Params


def hessian(
    params: Params,
    X: ArrayLike,
    sample_weight: ArrayLike | None = None,
    l2: ArrayLike = 0.0,
) -> Array:
    """Hessian of the mean loss over m examples, in one read of X.

    ``H = sum_i s_i a_i (1 - a_i) x_i x_i' / sum_i s_i + l2 I``; labels do not enter.

    Parameters
    ----------
    params : Params
        ``w`` (d,) and ``b`` (); or (K, d) and (K,): K classes.
    X, sample_weight, l2
        As for `loss_and_grads`.

    Returns
    -------
    H : Array, shape (d + 1, d + 1), or (K (d + 1), K (d + 1))
        In nats per unit of the parameters squared; class by class, and in each the intercept comes
        last and is not penalised. In the type of the computation, at least float32.

    Raises
    ------
    ValueError
        As `loss_and_grads`.

    References
    ----------
    T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 4.4.1.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(hessian(core.zeros(1), jnp.array([[2.0], [-2.0]])))  # a (1 - a) = 1/4
    [[1.   0.  ]
     [0.   0.25]]
    """
    params, X, s = _checked(params, X, sample_weight)
    return _hessian(params, X, s, check_penalty(l2), mesh=shard.mesh_of(X))


def hessian_product(
    params: Params,
    v: Params,
    X: ArrayLike,
    sample_weight: ArrayLike | None = None,
    l2: ArrayLike = 0.0,
) -> Params:
    """Hessian of the mean loss times a direction ``v``, in one read of X and without the matrix.

    ``H v = sum_i s_i a_i (1 - a_i) (x_i . v) x_i / sum_i s_i + l2 v``

    Parameters
    ----------
    params, v : Params
        ``w`` (d,) and ``b`` () each; or (K, d) and (K,): K classes.
    X, sample_weight, l2
        As for `loss_and_grads`.

    Returns
    -------
    Params
        The product, like ``v``.

    Raises
    ------
    ValueError
        As `loss_and_grads`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> v = Params(jnp.array([3.0]), jnp.array(4.0))
    >>> Hv = hessian_product(core.zeros(1), v, jnp.array([[2.0], [-2.0]]))
    >>> print(Hv.w, Hv.b)
    [3.] 1.0
    """
    params, X, s = _checked(params, X, sample_weight)
    v = check_params(v)
    if v.w.shape != params.w.shape:
        raise ValueError(f"v has w of shape {v.w.shape}, but params of shape {params.w.shape}")
    return _hessian_product(params, v, X, s, check_penalty(l2), mesh=shard.mesh_of(X))


def _checked(
    params: Params, X: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Params, Array, Array | None]:
    no_label = jnp.zeros(np.shape(X)[:1], jnp.bool_)  # which is class 0, too
    params, X, _, s = check_rows(params, X, no_label, sample_weight)
    return params, X, s


@partial(jax.jit, static_argnames="mesh")
def _hessian(
    params: Params, X: Array, s: Array | None, l2: ArrayLike, *, mesh: Mesh | None
) -> Array:
    w, b = widen(params, X)
    d = w.shape[-1]
    models, rows = Models(w[None], b[None]), Rows(X, jnp.zeros(len(X), jnp.bool_), s)
    total = curvature_sums(
        models, rows, None, jnp.zeros(d, w.dtype), jnp.ones(d, w.dtype), mesh=mesh
    )
    penalty = jnp.append(jnp.full(d, l2, w.dtype), jnp.zeros(1, w.dtype))
    return total.H[0] / total.s[0] + jnp.diag(jnp.tile(penalty, b.size))


@partial(jax.jit, static_argnames="mesh")
def _hessian_product(
    params: Params, v: Params, X: Array, s: Array | None, l2: ArrayLike, *, mesh: Mesh | None
) -> Params:
    wide = widen(params, X)
    v = Params(*(u.astype(wide.w.dtype) for u in v))
    total = sum_over_rows(
        _product_sums,
        (wide, v),
        Rows(X, jnp.zeros(len(X), jnp.bool_), s),
        mesh=mesh,
        row_bytes=(X.shape[1] + 5 * wide.b.size) * wide.w.dtype.itemsize,
    )
    Hv = jax.tree.map(lambda u: u / total.s, total.Hv)
    return Params(Hv.w + l2 * v.w, Hv.b)


class _ProductSums(NamedTuple):
    s: Array
    Hv: Params


def _product_sums(params_and_v: tuple[Params, Params], rows: Rows) -> _ProductSums:
    params, v = params_and_v
    _, cache = jax.vmap(core.forward, (None, 0, 0))(params, rows.X, rows.y)
    along = jax.vmap(core.linear, (None, 0))(v, rows.X)  # x_i . v, the intercept's 1 included
    s = jnp.ones(len(along), along.dtype) if rows.s is None else rows.s.astype(along.dtype)
    bend = jax.vmap(jnp.multiply)(s, jax.vmap(core.curvature_product)(cache, along))
    X = rows.X.astype(bend.dtype)
    Hw = jnp.tensordot(bend, X, (0, 0), precision=lax.Precision.HIGHEST)
    return _ProductSums(s.sum(), Params(Hw, bend.sum(0)))
