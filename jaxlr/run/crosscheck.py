"""The hand-written derivatives on the rows at hand, before the judge."""

from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from jaxlr import batch, core
from jaxlr.check import Report, check_gradient, logistic, ulp
from jaxlr.core import Params

# Units in the last place that each node may be off, of the sum of the absolute values of its
# terms where it has several (dz and da with soft labels). tests/test_core.py holds them on a grid.
ULP_BUDGETS = {"a": 3.0, "L": 3.0, "da": 4.0, "dz": 2.5, "d2z": 4.5}


class NodeCheck(NamedTuple):
    """One scalar node of the graph, in the row where it uses most of its budget.

    ``ulp`` is its distance from ``autodiff`` in units in the last place, ``allowed`` what
    rounding explains, in the same units.
    """

    node: str
    row: int
    hand: float
    autodiff: float
    ulp: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the node is within its budget in every row."""
        return self.ulp <= self.allowed


def check_nodes_at(params: Params, X: Array, y: Array) -> list[NodeCheck]:
    """Judge the scalar nodes of `jaxlr.trace` and the curvature, on rows X (n, d), y (n,).

    Each is compared with autodiff in float64 at the z that the hand arrived at, so that a node
    answers for its own error and not for that of z.
    """
    dtype, labels = params.w.dtype, np.asarray(y, np.float64)
    eps = float(jax.numpy.finfo(dtype).eps)
    hand = {k: np.asarray(v).astype(np.float64) for k, v in _hand_nodes(params, X, y).items()}
    z = hand["z"]
    products = np.asarray(X, np.float64) * np.asarray(params.w, np.float64)
    intercept = float(params.b)
    oracle = {"z": products.sum(axis=1) + intercept, **logistic.nodes_at(z, labels)}

    a = oracle["a"]
    with np.errstate(over="ignore", invalid="ignore"):
        terms = {
            "z": abs(products).sum(axis=1) + abs(intercept),
            "dz": (1 - labels) * a + labels * (1 - a),
            "da": labels * (1 + np.exp(-z)) + (1 - labels) * (1 + np.exp(z)),
        }
    oracle_error = (8 + abs(z)) * np.finfo(np.float64).eps / eps
    budgets = {"z": X.shape[1] + 1.0, **ULP_BUDGETS}

    checks = []
    for name, budget in budgets.items():
        off = ulp.distance(hand[name], oracle[name], dtype)
        unit = ulp.unit(oracle[name], dtype)
        cancelled = eps * terms[name] / unit if name in terms else 0.0
        allowed = budget * np.maximum(1, cancelled) + oracle_error
        used = np.nan_to_num(off / allowed)  # the oracle is NaN where it has nothing to say
        row = int(np.argmax(used))
        numbers = hand[name][row], oracle[name][row], off[row], allowed[row]
        checks.append(NodeCheck(name, row, *map(float, numbers)))
    return checks


@jax.jit
def _hand_nodes(params: Params, X: Array, y: Array) -> dict[str, Array]:
    def of_row(x: Array, y: Array) -> dict[str, Array]:
        nodes = core.trace(params, x, y)
        d2z = core.curvature(core.forward(params, x, y)[1]).astype(nodes.z.dtype)
        return {name: getattr(nodes, name) for name in ("z", "a", "L", "da", "dz")} | {"d2z": d2z}

    return jax.vmap(of_row)(X, y)


def check_gradient_at(
    params: Params, X: Array, y: Array, *, sample_weight: Array | None = None, l2: float = 0.0
) -> Report:
    """Judge `jaxlr.loss_and_grads` on rows X (n, d), y (n,) at ``params``."""

    def grads(params: Params, X: Array, y: Array, s: Array | None, l2: float) -> Params:
        return batch.loss_and_grads(params, X, y, s, l2)[1]

    return check_gradient(logistic.loss, grads, params, X, y, sample_weight, l2)
