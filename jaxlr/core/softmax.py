"""K classes: the softmax and its loss, at the linear predictors z (K,), by hand.

The graph of `binary` with a vector z. The label y is a class number, or (K,) with y_k the share
of class k::

    a_k = exp(z_k) / sum_j exp(z_j)          dz_k = sum_j da_j a_j ([j = k] - a_k) = a_k - y_k
    L   = -sum_k y_k log a_k                 da_k = -y_k / a_k

    curvature   d2z_jk = a_j ([j = k] - a_k)

How it is computed. ``p_k : q_k`` are the odds of class k against all others, scaled so that the
largest p is 1, that of the class t with the largest z::

    e_k = exp(z_k - z_t)                     p_k = e_k
    rest = sum_{k != t} e_k                  q_t = rest,    q_k = 1 + (rest - e_k)

    a_k = p_k / (p_k + q_k)                  dz_k  = ((1 - y_k) p_k - y_k q_k) / (p_k + q_k)
    1 - a_k = q_k / (p_k + q_k)              d2z_kk = p_k q_k / (p_k + q_k)^2
    L = sum_k y_k (z_t - z_k) + log1p(rest)

``dz`` and the diagonal of ``d2z`` are the lines of `binary`, class by class: what is left of 1
where a class is nearly certain is the sum of the others, never a rounded difference.

References
----------
T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 4.4.
D. Bohning, *Multinomial Logistic Regression Algorithm*, 1992, for the curvature.
"""

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike


def label(y: ArrayLike, z: Array) -> Array:
    """Label y of one example as shares of the K classes, in the type of z."""
    y = jnp.asarray(y)
    if y.ndim == 0:
        # Booleans are numbers of classes, too; and 8 bits cannot count them all.
        number = y if jnp.issubdtype(y.dtype, jnp.floating) else y.astype(jnp.int32)
        return (jnp.arange(len(z), dtype=number.dtype) == number).astype(z.dtype)
    if y.shape != z.shape:
        raise ValueError(
            f"y has shape {y.shape}: the label of one example x is the number of its class, or "
            f"{z.shape} shares of the classes"
        )
    return y.astype(z.dtype)


def odds(z: Array) -> tuple[Array, Array]:
    """Odds p : q of each class against all others, (K,) each, the largest p scaled to 1."""
    top = _top(z)
    e = jnp.exp(z - _at(top, z))
    rest = jnp.sum(jnp.where(top, 0, e))
    return e, jnp.where(top, rest, 1 + (rest - e))


def loss(z: Array, y: Array, p: Array, q: Array) -> Array:
    """Cross-entropy: ``L = -sum_k y_k log a_k``."""
    top = _top(z)
    behind = jnp.where(y == 0, 0, y * (_at(top, z) - z))
    return jnp.sum(behind) + jnp.log1p(_at(top, q))


def curvature(p: Array, q: Array) -> Array:
    """Second derivative of the loss at z: ``d2z = diag(a) - a a'``, (K, K), whatever the label."""
    a = p / (p + q)
    alike = jnp.eye(len(a), dtype=jnp.bool_)
    return jnp.where(alike, jnp.diag(p * q / (p + q) ** 2), -jnp.multiply.outer(a, a))


def curvature_product(p: Array, q: Array, v: Array) -> Array:
    """Product ``d2z v`` (K,) without the matrix: ``a (v - a . v)``."""
    a = p / (p + q)
    return a * (v - jnp.dot(a, v, precision=lax.Precision.HIGHEST))


def slope_of_a(z: Array, y: Array) -> Array:
    """Differentiate the loss by a: ``da_k = -y_k / a_k``, from z, not from a."""
    p, q = odds(z)
    return jnp.where(y > 0, -y * ((p + q) / p), 0)


def _top(z: Array) -> Array:
    """Whether a class is the one of the largest z, the first of several."""
    return jnp.arange(len(z)) == jnp.argmax(z)


def _at(top: Array, v: Array) -> Array:
    """Value of v at the class that is ``top``."""
    return jnp.sum(jnp.where(top, v, 0))
