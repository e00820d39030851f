"""Two classes: the logistic function and its loss, at the linear predictor z, by hand.

Forward, left to right; backward, right to left (``dv`` means dL/dv)::

    a = sigma(z)                             dz = da a (1 - a) = (1 - y) a - y (1 - a)
    L = -y log a - (1 - y) log(1 - a)        da = -y / a + (1 - y) / (1 - a)

    curvature   d2z = a (1 - a)

How it is computed. ``p : q`` are the odds of label 1 against label 0, scaled so that the
larger of the two is 1; nothing overflows, and neither a nor 1 - a is ever a rounded
difference::

    e = exp(-|z|)                           p, q = (1, e) if z >= 0 else (e, 1)

    a = p / (p + q)                         dz  = ((1 - y) p - y q) / (p + q)
    1 - a = q / (p + q)                     d2z = p q / (p + q)^2
    L = (1 - y) max(z, 0) + y max(-z, 0) + log1p(p q)

``dz`` is the lesson's line stopped one step before ``a - y``. That last step is right on paper
and loses digits in floating point: at y = 1 it is exactly 0 from z = 16.64 on in float32.

References
----------
A. Ng, *Neural Networks and Deep Learning*, "Logistic Regression Gradient Descent".
T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 4.4.1.
M. Machler, *Accurately Computing log(1 - exp(-|a|))*, 2012, for ``log1p(exp(-|z|))``.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def label(y: ArrayLike, z: Array) -> Array:
    """Label y of one example, (), in the type of z."""
    y = jnp.asarray(y, z.dtype)
    if y.ndim:
        raise ValueError(f"y has shape {y.shape}: the label of one example x is one number")
    return y


def odds(z: Array) -> tuple[Array, Array]:
    """Odds p : q of label 1 against label 0, the larger of the two scaled to 1.

    ``min(z, -z)`` is ``-|z|`` to the bit, and its derivative at z = 0, where training starts,
    is the right one for whoever differentiates through `forward` by machine.
    """
    e = jnp.exp(jnp.minimum(z, -z))
    return jnp.where(z >= 0, 1, e), jnp.where(z >= 0, e, 1)


def loss(z: Array, y: Array, p: Array, q: Array) -> Array:
    """Cross-entropy: ``L = -y log a - (1 - y) log(1 - a)``."""
    return (1 - y) * jnp.maximum(z, 0) + y * jnp.maximum(-z, 0) + jnp.log1p(p * q)


def curvature(p: Array, q: Array) -> Array:
    """Second derivative of the loss at z: ``d2z = a (1 - a)``, the same for every label."""
    return p * q / (p + q) ** 2


def slope_of_a(z: Array, y: Array) -> Array:
    """Differentiate the loss by a: ``da = -y / a + (1 - y) / (1 - a)``, from z, not from a."""
    # A label of exactly 0 or 1 switches its half off, also where that half overflows.
    da_1 = jnp.where(y > 0, -y * (1 + jnp.exp(-z)), 0)
    da_0 = jnp.where(y < 1, (1 - y) * (1 + jnp.exp(z)), 0)
    return da_1 + da_0


def curvature_product(p: Array, q: Array, v: Array) -> Array:
    """Product ``d2z v`` with a number v."""
    return curvature(p, q) * v
