"""Functions with rules by hand, right and wrong, for the tests of the judge."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr.check import check_derivatives

ONE_TYPE = {"dtypes": ("float32",), "order": 1, "batch_axes": None}
VECTOR = np.array([-1.5, 0.5, 2.0, 0.25], np.float32)
MATRIX = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def rule(f, backward):
    """``f`` with ``backward(*args, cotangent)`` as its rule."""
    made = jax.custom_vjp(f)
    made.defvjp(lambda *args: (f(*args), args), lambda args, c: backward(*args, c))
    return made


def quick(f, *args, **options):
    return check_derivatives(f, *args, level="quick", **options)


def square(x):
    return x * x


def dsquare(x, c):
    return (2 * x * c,)


def squared(wrong=lambda g, x: g):
    """The square, with a fault in its rule."""
    return rule(square, lambda x, c: (wrong(2 * x * c, x),))


def keep(condition, v):
    return jnp.where(condition, v, jnp.zeros_like(v))
