"""The gradient of many models on the rows at hand, before the judge."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxlr.check import Report, check_point, logistic
from jaxlr.core import Params
from jaxlr.data import Dataset
from jaxlr.run.config import TrainConfig
from jaxlr.train import objectives

_ROWS_CHECKED = 256


def check_gradient_of_many(rows: Dataset, config: TrainConfig) -> Report:
    """Judge the gradient of one of two models on a sample of rows, where nothing is zero."""
    m, d = rows.X.shape
    rng = np.random.default_rng(config.seed)
    index = np.sort(rng.choice(m, min(m, _ROWS_CHECKED), replace=False))
    w = rng.standard_normal(d) / np.sqrt(d)
    params = Params(jnp.asarray(w, rows.X.dtype), jnp.asarray(0.5, rows.X.dtype))
    X, y = jax.device_put(rows.X[index]), jax.device_put(rows.y[index])
    return check_point(logistic.loss, _gradient_of_second, params, X, y, None, config.l2)


def _gradient_of_second(params: Params, X: Array, y: Array, s: Array | None, l2: Any) -> Params:
    """Gradient of the second of two models; the first is another one."""
    both = jax.tree.map(lambda v: jnp.stack([-v, v]), params)
    penalties = jnp.full(2, l2, both.w.dtype)
    _, grads = objectives(both, X, y, s, penalties)
    return jax.tree.map(lambda v: v[1], grads)
