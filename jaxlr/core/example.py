"""The graph of ONE example, forward and back: w and b to z to a to L, and dL to dw and db.

Forward, top to bottom; backward, bottom to top (``dv`` means dL/dv)::

    z = w . x + b                           dw = x dz           db = dz
    a = sigma(z)                            dz = (1 - y) a - y (1 - a)
    L = -y log a - (1 - y) log(1 - a)       da = -y / a + (1 - y) / (1 - a)

    update      w <- w - alpha dw           b <- b - alpha db

What lies between z and L is `binary` where w is (d,), and `softmax` where w is (K, d).
"""

from types import ModuleType

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxlr.core import binary, softmax
from jaxlr.core.params import Cache, Params, Trace, linear, one_example, wide


def forward(params: Params, x: ArrayLike, y: ArrayLike) -> tuple[Array, Cache]:
    """Cross-entropy loss of one example, and the cache that `backward` reads.

    ``z = w . x + b;  a = sigma(z);  L = -y log a - (1 - y) log(1 - a)``

    ``z = w x + b;  a = softmax(z);  L = -log a_y`` where ``w`` is (K, d): K classes.

    Parameters
    ----------
    params : Params
        ``w`` (d,) and ``b`` (), or (K, d) and (K,), array_like, in any floating-point type; results
        have the type of ``w``.
    x : array_like, shape (d,)
        Features of one example.
    y : array_like, shape ()
        Label in [0, 1]; anything between 0 and 1 is a soft label. Of K classes: the number of the
        class, from 0; or shape (K,), the shares of the classes, at least 0 and 1 in all.

    Returns
    -------
    L : Array, shape ()
        Loss in nats, at least 0.
    cache : Cache
        For `backward` and `curvature`.

    Raises
    ------
    ValueError
        If ``x`` and ``y`` are not one example and its label, or ``params`` are of other shapes.
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
    >>> three = Params(w=jnp.zeros((3, 2)), b=jnp.zeros(3))
    >>> print(f"{forward(three, x=jnp.array([1.0, 2.0]), y=2)[0]:.4f}")  # log 3
    1.0986
    """
    params, x = one_example(params, x)
    z = linear(params, x)
    L, cache = loss_at(z, y)
    return L.astype(x.dtype), cache._replace(x=x)


def loss_at(z: Array, y: ArrayLike) -> tuple[Array, Cache]:
    """Loss of one example at its linear predictor z: `forward` from there on.

    Parameters
    ----------
    z : Array, shape () or (K,)
        Linear predictor, in float32 or float64.
    y : array_like, shape (), or (K,) for K classes
        Label, as for `forward`.

    Returns
    -------
    L : Array, shape ()
        Loss in nats.
    cache : Cache
        Without x: `slope` and `curvature` read it, and `backward` cannot.

    Raises
    ------
    ValueError
        If y is neither one number nor the shares of the classes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> L, cache = loss_at(jnp.zeros(()), y=1)
    >>> print(f"{L:.4f} {slope(cache)}")  # a = 1/2
    0.6931 -0.5
    """
    graph = _graph(z)
    label: Array = graph.label(y, z)
    p, q = graph.odds(z)
    return graph.loss(z, label, p, q), Cache(None, label, p, q)


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
        dw (d,) or (K, d) in ``.w``, db () or (K,) in ``.b``.

    Raises
    ------
    ValueError
        If the cache is that of `loss_at`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> params = Params(w=jnp.array([0.5, -0.25]), b=jnp.array(0.0))
    >>> L, cache = forward(params, x=jnp.array([1.0, 2.0]), y=1)
    >>> grads = backward(cache)  # a = 1/2, so dz = -1/2
    >>> print(grads.w, grads.b)
    [-0.5 -1. ] -0.5
    """
    if cache.x is None:
        raise ValueError("this cache is of loss_at, which has no x: take that of forward")
    x, dz = wide(cache.x), slope(cache)
    dw = jnp.multiply.outer(dz, x)
    db = dz
    return Params(dw.astype(cache.x.dtype), db.astype(cache.x.dtype))


def slope(cache: Cache) -> Array:
    """First derivative of the loss at z: ``dz = a - y``, without the subtraction.

    Parameters
    ----------
    cache : Cache
        As `forward` or `loss_at` returned it.

    Returns
    -------
    Array, shape () or (K,)
        In at least float32, for the products that follow.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> _, cache = loss_at(jnp.zeros(2), y=0)  # a = (1/2, 1/2)
    >>> print(slope(cache))
    [-0.5  0.5]
    """
    _, y, p, q = cache
    return ((1 - y) * p - y * q) / (p + q)


def curvature(cache: Cache) -> Array:
    """Second derivative of the loss at z: ``d2z = a (1 - a)``, the same for every label.

    Parameters
    ----------
    cache : Cache
        As `forward` or `loss_at` returned it.

    Returns
    -------
    Array, shape () or (K, K)
        Of K classes the matrix ``d2z = diag(a) - a a'``; in at least float32, for the products that
        follow.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> params = Params(w=jnp.array([0.0]), b=jnp.array(0.0))
    >>> L, cache = forward(params, x=jnp.array([3.0]), y=0)
    >>> print(curvature(cache))  # a = 1/2
    0.25
    """
    return _graph(cache.p).curvature(cache.p, cache.q)


def curvature_diagonal(cache: Cache) -> Array:
    """Diagonal of the second derivative of the loss at z: ``a (1 - a)``, () or (K,).

    Parameters
    ----------
    cache : Cache
        As `forward` or `loss_at` returned it.

    Returns
    -------
    Array, shape () or (K,)
        In at least float32.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> _, cache = loss_at(jnp.zeros(2), y=0)  # a = (1/2, 1/2)
    >>> print(curvature_diagonal(cache))
    [0.25 0.25]
    """
    return binary.curvature(cache.p, cache.q)  # of a class against all others


def curvature_product(cache: Cache, v: Array) -> Array:
    """Second derivative of the loss at z times v, without a matrix.

    Parameters
    ----------
    cache : Cache
        As `forward` or `loss_at` returned it.
    v : Array, shape () or (K,)

    Returns
    -------
    Array, shape () or (K,)
        In at least float32.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> _, cache = loss_at(jnp.zeros(2), y=0)  # a = (1/2, 1/2)
    >>> print(curvature_product(cache, jnp.array([1.0, 0.0])))
    [ 0.25 -0.25]
    """
    return _graph(cache.p).curvature_product(cache.p, cache.q, v)


def probability(params: Params, x: ArrayLike) -> Array:
    """Probability of label 1 for one example, or of each class (K,), in the type of ``w``.

    ``a = sigma(w . x + b)``

    Parameters
    ----------
    params : Params
        w (d,) and b (), or w (K, d) and b (K,).
    x : array_like, shape (d,)
        Features.

    Returns
    -------
    Array, shape () or (K,)
        In [0, 1].

    Raises
    ------
    ValueError
        If shapes do not fit, as for `forward`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(probability(Params(w=jnp.array([2.0]), b=jnp.array(-2.0)), jnp.array([1.0])))
    0.5
    """
    params, x = one_example(params, x)
    z = linear(params, x)
    p, q = _graph(z).odds(z)
    return (p / (p + q)).astype(x.dtype)


def trace(params: Params, x: ArrayLike, y: ArrayLike) -> Trace:
    """Every node of the computation graph of one example, forward and back.

    Parameters and errors are those of `forward`.

    Returns
    -------
    Trace
        ``z, a, L`` going forward and ``da, dz, dw, db`` going back; ``dw`` has the shape of ``w``,
        ``L`` (), the others that of ``b``.

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
    z = linear(params, x)
    da = _graph(z).slope_of_a(z, cache.y)
    dw, db = backward(cache)
    nodes = Trace(z, probability(params, x), L, da, slope(cache), dw, db)
    return Trace(*(node.astype(L.dtype) for node in nodes))


def _graph(z: Array) -> ModuleType:
    """Choose what lies between z and L: a vector z is that of K classes."""
    return softmax if z.ndim else binary
