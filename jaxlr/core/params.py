"""What both graphs share: parameters, the linear predictor z, the nodes, and the step."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike


class Params(NamedTuple):
    """Parameters of the model, and equally the gradients that belong to them.

    For two classes ``w`` has shape (d,) and ``b`` (); for K classes, ``w`` (K, d) and ``b`` (K,).
    A gradient is a `Params` with dw in ``.w`` and db in ``.b``, so that every tool for PyTrees
    (`jax.tree.map`, optax) takes both.
    """

    w: Array
    b: Array


class Cache(NamedTuple):
    """What `backward` and `curvature` read of the forward pass: the input, the label, the odds.

    ``x`` (d,) is None where the pass began at z; ``y``, ``p`` and ``q`` are () or (K,).
    """

    x: Array | None
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


def zeros(d: int, dtype: DTypeLike | None = None, *, n_classes: int | None = None) -> Params:
    """Parameters to start from, all zero.

    Parameters
    ----------
    d : int
        Number of features.
    dtype : dtype, optional
        JAX's default for floating point.
    n_classes : int, optional
        K, at least 2; without it two classes, with one row of parameters.

    Returns
    -------
    Params
        w (d,) and b (), or of K classes (K, d) and (K,).

    Raises
    ------
    ValueError
        If ``n_classes`` is below 2.

    Examples
    --------
    >>> zeros(2).w.shape, zeros(2, n_classes=3).w.shape
    ((2,), (3, 2))
    """
    if n_classes is not None and n_classes < 2:
        raise ValueError(f"n_classes is {n_classes}: it must be at least 2")
    K = () if n_classes is None else (n_classes,)
    return Params(w=jnp.zeros((*K, d), dtype), b=jnp.zeros(K, dtype))


def update(params: Params, grads: Params, alpha: ArrayLike) -> Params:
    """One step of gradient descent.

    ``w <- w - alpha dw;  b <- b - alpha db``

    Parameters
    ----------
    params, grads : Params
        ``w`` and dw (d,), ``b`` and db () of two classes, or (K, d) and (K,) of K, as `backward`
        returned them.
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


def linear(params: Params, x: ArrayLike) -> Array:
    """Linear predictor of one example: ``z = w . x + b``, () or (K,), in at least float32.

    The product is asked for in full precision: left to themselves, GPUs round the factors of
    a float32 product to about three digits (TF32), and TPUs to bfloat16.
    """
    (w, b), x = one_example(params, x)
    w, b, x = wide(w), wide(b), wide(x)
    return jnp.dot(w, x, precision=lax.Precision.HIGHEST) + b


def one_example(params: Params, x: ArrayLike) -> tuple[Params, Array]:
    """Arrays of the type of w and of shapes that fit each other; an error where they do not."""
    w = jnp.asarray(params.w)
    if not jnp.issubdtype(w.dtype, jnp.floating):
        raise TypeError(f"w has dtype {w.dtype}: parameters must be floating point")
    b, x = jnp.asarray(params.b, w.dtype), jnp.asarray(x, w.dtype)
    if w.ndim not in (1, 2) or x.shape != w.shape[-1:] or b.shape != w.shape[:-1]:
        raise ValueError(
            "one example x must have the shape (d,) of w, and b (); for K classes w is (K, d) and "
            f"b (K,): x has shape {x.shape} and w has shape {w.shape}, b {b.shape}. For m examples "
            "X (m, d) use jaxlr.loss_and_grads"
        )
    return Params(w, b), x


def wide(v: Array) -> Array:
    """At least float32, where numbers of half precision are computed with."""
    return v.astype(jnp.float32) if jnp.finfo(v.dtype).bits < 32 else v
