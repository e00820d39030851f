"""The scalar nodes of logistic regression, computed by hand, against autodiff in float64."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxlr.check import logistic, ulp

# Units in the last place that each node may be off, of the sum of the absolute values of its
# terms where it has several (dz and da with soft labels). tests/test_core.py holds them on a grid.
# da in float32: XLA's exp is 1 off, but 5.5 next to its overflow (88.5 < z < 88.72).
ULP_BUDGETS = {
    "float32": {"a": 2.5, "L": 3.0, "da": 6.0, "dz": 2.5, "d2z": 4.5},
    "float64": {"a": 2.5, "L": 2.5, "da": 2.0, "dz": 2.5, "d2z": 4.0},
}


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


def check_nodes(
    hand: Mapping[str, ArrayLike], params: Any, X: ArrayLike, y: ArrayLike
) -> list[NodeCheck]:
    """Compare the nodes z, a, L, da, dz and d2z of n examples with autodiff in float64.

    All but z are compared at the z of the hand, so that a node answers for its own error and not
    for that of z.

    Parameters
    ----------
    hand : mapping of str to array_like, shape (n,)
        The six nodes by name, as computed by hand in float32 or float64.
    params : pair of array_like
        ``w`` (d,) and ``b`` () that they were computed with.
    X : array_like, shape (n, d)
        Features.
    y : array_like, shape (n,)
        Labels in [0, 1].

    Returns
    -------
    list of NodeCheck
        In the order of the graph.

    Raises
    ------
    ValueError
        If the nodes are in another type, which has no budgets.

    Examples
    --------
    >>> hand = {"z": 0, "a": 1 / 2, "L": np.log(2), "da": 2, "dz": 1 / 2, "d2z": 1 / 2}
    >>> hand = {name: np.array([value], np.float32) for name, value in hand.items()}
    >>> checks = check_nodes(hand, ([0.0], 0.0), X=[[1.0]], y=[0])
    >>> [(c.node, c.hand, c.autodiff) for c in checks if not c.passed]
    [('d2z', 0.5, 0.25)]
    """
    dtype = np.asarray(hand["z"]).dtype
    if dtype.name not in ULP_BUDGETS:
        raise ValueError(f"z has dtype {dtype}: nodes are judged in float32 and float64")
    w, b, X, y = (np.asarray(v, np.float64) for v in (*params, X, y))
    found = {name: np.asarray(v).astype(np.float64) for name, v in hand.items()}
    z = found["z"]
    with np.errstate(over="ignore", invalid="ignore"):
        truth = {"z": X @ w + b, **logistic.nodes_at(z, y)}
        terms = {"z": abs(X) @ abs(w) + abs(b), **_terms(z, y, truth["a"])}
        # A label scales its term of da down only when exp(|z|) has already overflowed.
        early = (np.exp(abs(z)) > np.finfo(dtype).max) & (found["da"] * truth["da"] == np.inf)
        found["da"] = np.where(early, truth["da"], found["da"])
        narrowing = np.finfo(np.float64).eps / np.finfo(dtype).eps
        # exp turns a rounding of z into |z| of its result, until from 750 on nothing is left.
        oracle_error = (8 + np.fmin(abs(z), 750)) * narrowing
        budgets = {"z": (len(w) + 1) * (1 + narrowing)} | {
            name: budget + oracle_error for name, budget in ULP_BUDGETS[dtype.name].items()
        }
        return [
            _worst_row(name, found[name], truth[name], terms.get(name, 0.0), budget, dtype)
            for name, budget in budgets.items()
        ]


def _terms(z: np.ndarray, y: np.ndarray, a: np.ndarray) -> dict[str, np.ndarray]:
    """Absolute values of the terms of dz and da, added up."""
    return {
        "dz": (1 - y) * a + y * (1 - a),
        "da": y * (1 + np.exp(-z)) + (1 - y) * (1 + np.exp(z)),
    }


def _worst_row(
    name: str,
    hand: np.ndarray,
    truth: np.ndarray,
    terms: np.ndarray | float,
    budget: np.ndarray | float,
    dtype: np.dtype,
) -> NodeCheck:
    # fmax: terms are NaN where a label of 0 or 1 meets an overflow, and there nothing cancels.
    cancelled = np.fmax(1, ulp.unit(terms, dtype) / ulp.unit(truth, dtype))
    off, allowed = ulp.distance(hand, truth, dtype), budget * cancelled
    row = int(np.argmax(np.where(np.isnan(truth), -1, off / allowed)))
    return NodeCheck(name, row, *(float(v[row]) for v in (hand, truth, off, allowed)))
