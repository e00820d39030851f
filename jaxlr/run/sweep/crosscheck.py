"""The gradient of many models on the rows at hand, before the judge."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxlr.check import Report, check_point, logistic
from jaxlr.core import Params
from jaxlr.data import Dataset
from jaxlr.run.crosscheck import odd_point
from jaxlr.train import objectives


def check_gradient_of_many(rows: Dataset, l2: float, rng: np.random.Generator) -> Report:
    """Judge the gradient of one of two models on some rows, where nothing is zero."""
    params, X, y = odd_point(rows, rng)
    return check_point(logistic.loss, _gradient_of_second, params, X, y, None, l2)


def _gradient_of_second(params: Params, X: Array, y: Array, s: Array | None, l2: Any) -> Params:
    """Gradient of the second of two models; the first is another one."""
    both = jax.tree.map(lambda v: jnp.stack([-v, v]), params)
    penalties = jnp.full(2, l2, both.w.dtype)
    _, grads = objectives(both, X, y, s, penalties)
    return jax.tree.map(lambda v: v[1], grads)
