"""The heart: logistic regression on ONE example, forward and back, by hand.

Forward, top to bottom; backward, bottom to top (``dv`` means dL/dv)::

    z = w . x + b                           dw = x dz           db = dz
    a = sigma(z)                            dz = da a (1 - a) = (1 - y) a - y (1 - a)
    L = -y log a - (1 - y) log(1 - a)       da = -y / a + (1 - y) / (1 - a)

    update      w <- w - alpha dw           b <- b - alpha db
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

This file holds no transform: one example has no batch, no compilation and no device. `batch`
maps it over rows, and `check` proves it against autodiff.

References
----------
A. Ng, *Neural Networks and Deep Learning*, "Logistic Regression Gradient Descent".
T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 4.4.1.
M. Machler, *Accurately Computing log(1 - exp(-|a|))*, 2012, for ``log1p(exp(-|z|))``.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike


class Params(NamedTuple):
    """Parameters of the model, and equally the gradients that belong to them.

    ``w`` has shape (d,), ``b`` has shape (). A gradient is a `Params` with dw in ``.w`` and db
    in ``.b``, so that every tool for PyTrees (`jax.tree.map`, optax) takes both.
    """

    w: Array
    b: Array


class Cache(NamedTuple):
    """What `backward` and `curvature` read of the forward pass: the input, the label, the odds."""

    x: Array
    y: Array
    p: Array
    q: Array


class Trace(NamedTuple):
    """Every node of the computation graph, in the order of the lesson."""

    z: Array
    a: Array
    L: Array
    da: Array
    dz: Array
    dw: Array
    db: Array


def zeros(d: int, dtype: DTypeLike | None = None) -> Params:
    """Parameters to start from: d weights and an intercept, all zero.

    Examples
    --------
    >>> zeros(2).w.shape
    (2,)
    """
    return Params(w=jnp.zeros(d, dtype), b=jnp.zeros((), dtype))


def forward(params: Params, x: ArrayLike, y: ArrayLike) -> tuple[Array, Cache]:
    """Cross-entropy loss of one example, and the cache that `backward` reads.

    ``z = w . x + b;  a = sigma(z);  L = -y log a - (1 - y) log(1 - a)``

    Parameters
    ----------
    params : Params
        ``w`` (d,) and ``b`` (), array_like, in any floating-point type; results have the type of
        ``w``.
    x : array_like, shape (d,)
        Features of one example.
    y : array_like, shape ()
        Label in [0, 1]; anything between 0 and 1 is a soft label.

    Returns
    -------
    L : Array, shape ()
        Loss in nats, at least 0.
    cache : Cache
        For `backward` and `curvature`.

    Raises
    ------
    ValueError
        If ``x`` and ``y`` are not one example and its label, or ``params`` not (d,) and ().
    TypeError
        If ``w`` is not floating point.

    Notes
    -----
    bfloat16 and float16 are computed in float32 and rounded once, at the end.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> params = Params(w=jnp.array([0.5, -0.25]), b=jnp.array(0.0))
    >>> L, cache = forward(params, x=jnp.array([1.0, 2.0]), y=1)
    >>> print(f"{L:.4f}")  # z = 0, so L = log 2
    0.6931
    """
    params, x = _one_example(params, x)
    z = linear(params, x)
    y = jnp.asarray(y, z.dtype)
    if y.ndim:
        raise ValueError(f"y has shape {y.shape}: the label of one example x is one number")
    p, q = odds(z)
    L = (1 - y) * jnp.maximum(z, 0) + y * jnp.maximum(-z, 0) + jnp.log1p(p * q)
    return L.astype(x.dtype), Cache(x, y, p, q)


def backward(cache: Cache) -> Params:
    """Gradient of the loss of one example: dw and db.

    ``dz = a - y;  dw = x dz;  db = dz``

    Parameters
    ----------
    cache : Cache
        As `forward` returned it.

    Returns
    -------
    Params
        dw (d,) in ``.w``, db () in ``.b``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> params = Params(w=jnp.array([0.5, -0.25]), b=jnp.array(0.0))
    >>> L, cache = forward(params, x=jnp.array([1.0, 2.0]), y=1)
    >>> grads = backward(cache)  # a = 1/2, so dz = -1/2
    >>> print(grads.w, grads.b)
    [-0.5 -1. ] -0.5
    """
    x, dz = _wide(cache.x), slope(cache)
    dw = x * dz
    db = dz
    return Params(dw.astype(cache.x.dtype), db.astype(cache.x.dtype))


def update(params: Params, grads: Params, alpha: ArrayLike) -> Params:
    """One step of gradient descent.

    ``w <- w - alpha dw;  b <- b - alpha db``

    Parameters
    ----------
    params, grads : Params
        ``w`` and dw (d,), ``b`` and db (), as `backward` returned them.
    alpha : array_like, shape ()
        Learning rate.

    Returns
    -------
    Params
        The next parameters.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> params = Params(w=jnp.array([0.5, -0.25]), b=jnp.array(0.0))
    >>> grads = Params(w=jnp.array([-0.5, -1.0]), b=jnp.array(-0.5))
    >>> print(update(params, grads, alpha=1.0).w)
    [1.   0.75]
    """
    (w, b), (dw, db) = params, grads
    w = w - alpha * dw
    b = b - alpha * db
    return Params(w, b)


def slope(cache: Cache) -> Array:
    """First derivative of the loss at z: ``dz = a - y``, without the subtraction.

    Returned in at least float32, for the products that follow.
    """
    _, y, p, q = cache
    return ((1 - y) * p - y * q) / (p + q)


def curvature(cache: Cache) -> Array:
    """Second derivative of the loss at z: ``d2z = a (1 - a)``, the same for every label.

    Returned in at least float32, for the products that follow.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> params = Params(w=jnp.array([0.0]), b=jnp.array(0.0))
    >>> L, cache = forward(params, x=jnp.array([3.0]), y=0)
    >>> print(curvature(cache))  # a = 1/2
    0.25
    """
    _, _, p, q = cache
    return p * q / (p + q) ** 2


def probability(params: Params, x: ArrayLike) -> Array:
    """Probability of label 1 for one example: ``a = sigma(w . x + b)``, in the type of ``w``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(probability(Params(w=jnp.array([2.0]), b=jnp.array(-2.0)), jnp.array([1.0])))
    0.5
    """
    params, x = _one_example(params, x)
    p, q = odds(linear(params, x))
    return (p / (p + q)).astype(x.dtype)


def trace(params: Params, x: ArrayLike, y: ArrayLike) -> Trace:
    """Every node of the computation graph of one example, forward and back.

    Parameters and errors are those of `forward`.

    Returns
    -------
    Trace
        ``z, a, L`` going forward and ``da, dz, dw, db`` going back; ``dw`` has shape (d,), the
        others ().

    Notes
    -----
    ``da`` comes from z, as ``-y (1 + exp(-z)) + (1 - y) (1 + exp(z))``: a rounded ``a`` of
    exactly 1 would make it infinite long before it is. It still overflows where ``exp(|z|)``
    does (|z| > 88.7 in float32); ``dz`` never does.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> nodes = trace(Params(w=jnp.array([1.0]), b=jnp.array(0.0)), jnp.array([0.0]), 0)
    >>> for name, value in nodes._asdict().items():
    ...     print(name, value)
    z 0.0
    a 0.5
    L 0.6931472
    da 2.0
    dz 0.5
    dw [0.]
    db 0.5
    """
    L, cache = forward(params, x, y)
    z, y = linear(params, x), cache.y
    # A label of exactly 0 or 1 switches its half off, also where that half overflows.
    da_1 = jnp.where(y > 0, -y * (1 + jnp.exp(-z)), 0)
    da_0 = jnp.where(y < 1, (1 - y) * (1 + jnp.exp(z)), 0)
    dw, db = backward(cache)
    nodes = Trace(z, probability(params, x), L, da_1 + da_0, slope(cache), dw, db)
    return Trace(*(node.astype(L.dtype) for node in nodes))


def linear(params: Params, x: ArrayLike) -> Array:
    """Linear predictor of one example: ``z = w . x + b``, in at least float32.

    The product is asked for in full precision: left to themselves, GPUs round the factors of
    a float32 product to about three digits (TF32), and TPUs to bfloat16.
    """
    (w, b), x = _one_example(params, x)
    w, b, x = _wide(w), _wide(b), _wide(x)
    return jnp.dot(w, x, precision=lax.Precision.HIGHEST) + b


def odds(z: Array) -> tuple[Array, Array]:
    """Odds p : q of label 1 against label 0, the larger of the two scaled to 1.

    ``min(z, -z)`` is ``-|z|`` to the bit, and its derivative at z = 0, where training starts,
    is the right one for whoever differentiates through `forward` by machine.
    """
    e = jnp.exp(jnp.minimum(z, -z))
    return jnp.where(z >= 0, 1, e), jnp.where(z >= 0, e, 1)


def _one_example(params: Params, x: ArrayLike) -> tuple[Params, Array]:
    """Arrays of the type of w and of shapes ((d,), ()), (d,); an error where they are not."""
    w = jnp.asarray(params.w)
    if not jnp.issubdtype(w.dtype, jnp.floating):
        raise TypeError(f"w has dtype {w.dtype}: parameters must be floating point")
    b, x = jnp.asarray(params.b, w.dtype), jnp.asarray(x, w.dtype)
    if w.ndim != 1 or x.shape != w.shape or b.ndim:
        raise ValueError(
            f"one example x must have the shape (d,) of w, and b (): x has shape {x.shape} and w "
            f"has shape {w.shape}, b {b.shape}. For m examples X (m, d) use jaxlr.loss_and_grads"
        )
    return Params(w, b), x


def _wide(v: Array) -> Array:
    return v.astype(jnp.float32) if jnp.finfo(v.dtype).bits < 32 else v
