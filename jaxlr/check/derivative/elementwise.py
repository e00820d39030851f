"""Whether every number that a function returns depends on one element of each argument alone."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr

from jaxlr.check.graph.evaluate import CALLS, inner

# Primitives that compute each element of a result from the elements in its place.
_PLAIN = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil
    clamp convert_element_type copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1
    floor ge gt igamma igammac integer_pow is_finite le lgamma log log1p logistic lt max min mul
    name ne neg nextafter not or polygamma pow reduce_precision regularized_incomplete_beta rem
    round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor zeta
    """.split()  # noqa: SIM905 -- a list of words reads better than 80 quoted ones
)


def is_elementwise(
    f: Callable[[Sequence[Any], Sequence[Any]], Any], floats: Sequence[Any], others: Sequence[Any]
) -> bool:
    """Whether ``f(floats, others)``, of floats of one shape, works element by element."""
    shapes = {np.shape(v) for v in floats}
    if len(shapes) != 1:
        return False
    closed = jax.make_jaxpr(f)(list(floats), list(others))
    (shape,) = shapes
    return all(v.aval.shape == shape for v in closed.jaxpr.outvars) and _plain(closed, shape)


def _plain(closed: ClosedJaxpr, shape: tuple[int, ...]) -> bool:
    for eqn in closed.jaxpr.eqns:
        if eqn.primitive in CALLS:
            if not _plain(inner(eqn), shape):
                return False
        elif eqn.primitive.name == "broadcast_in_dim":
            if eqn.invars[0].aval.shape not in ((), shape):
                return False
        elif eqn.primitive.name not in _PLAIN:
            return False
    return True
