"""``jaxlr check``: the hand-written derivatives before the judge, on data of yours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import Positional, arg

from jaxlr.batch import check_penalty
from jaxlr.check import NodeCheck, Report
from jaxlr.cli.show import number, print_line, print_table, ulp_number
from jaxlr.core import Params
from jaxlr.data import BUILT_IN, Dataset, load
from jaxlr.run import check_gradient_at, check_nodes_at, check_seed
from jaxlr.train import check_count

_COORDINATES_SHOWN = 12
_POINTS = {"zeros": 0.0, "random parameters": 1.0, "large parameters": 30.0}
_ALL = "rounding"  # in place of a number of units that is larger than the value itself


@dataclass(frozen=True)
class Check:
    """Check the hand-written derivatives against autodiff, on your data.

    Every node of the graph and every coordinate of the gradient, at three points: zeros, where
    training starts; random parameters; and ones so large that most rows are saturated. Exits
    with 1 if anything is wrong.
    """

    data: Annotated[Positional[str], arg(metavar="DATA")] = BUILT_IN
    """A CSV file with a header, or the name of the built-in data set."""
    target: str | None = None
    """Column of the labels; needed for a file."""
    positive: str | None = None
    """The label to predict, label 1. Without it: the later label in sorted order."""
    exclude: tuple[str, ...] = ()
    """Columns that are no features."""
    rows: int = 1000
    """Rows to check on, chosen at random if there are more."""
    l2: float = 0.0
    """Penalty: l2/2 ||w||^2."""
    seed: int = 0
    """For the choice of rows and the random parameters."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the computation that is checked."""

    def __post_init__(self) -> None:
        """Check the settings before any data is read."""
        check_count("rows", self.rows)
        check_penalty(self.l2)
        check_seed(self.seed)

    def run(self) -> int:
        """Print a table for each point; 1 if anything is wrong."""
        with jax.enable_x64(self.dtype == "float64"):
            rng = np.random.default_rng(self.seed)
            sample = self._sample(rng)
            # Of the order of 1 in z, whatever the scales of the features.
            spread = np.maximum(np.std(sample.rows.X, axis=0, dtype=np.float64), 1e-30)
            direction = rng.standard_normal(len(spread)) / spread / np.sqrt(len(spread))
            passed = [
                self._check_at(name, sample, factor * direction, factor)
                for name, factor in _POINTS.items()
            ]
        print_line("all checks passed" if all(passed) else "CHECKS FAILED")
        return 0 if all(passed) else 1

    def _sample(self, rng: np.random.Generator) -> "_Sample":
        rows = load(
            self.data,
            target=self.target,
            exclude=self.exclude,
            positive=self.positive,
            dtype=self.dtype,
        )
        index = np.sort(rng.choice(len(rows.y), min(self.rows, len(rows.y)), replace=False))
        return _Sample(rows.rows(index), index)

    def _check_at(self, name: str, sample: "_Sample", w: np.ndarray, b: float) -> bool:
        rows = sample.rows
        X, y = jax.device_put(rows.X), jax.device_put(rows.y)
        params = Params(jnp.asarray(w, X.dtype), jnp.asarray(b, X.dtype))
        nodes = check_nodes_at(params, X, y)
        report = check_gradient_at(params, X, y, l2=self.l2)
        print_line(f"\n{rows.name}: {len(y)} rows, {self.dtype}, at {name}; autodiff in float64\n")
        table = _node_rows(nodes, sample.numbers) + _coordinate_rows(report, rows.features)
        header = ("node, worst row", "by hand", "autodiff", "ULP", "allowed", "verdict")
        print_table(header, table, left=(0, 5))
        if any(_ALL in row for row in table):
            print_line(f"{_ALL}: what it explains is more than the value itself")
        more = len(report.coordinates) - _COORDINATES_SHOWN
        if more > 0:
            print_line(f"and {more} coordinates that are nearer")
        return bool(report) and all(node.passed for node in nodes)


class _Sample(NamedTuple):
    """Rows of the data, and their numbers in it, from 0."""

    rows: Dataset
    numbers: np.ndarray


def _node_rows(nodes: Sequence[NodeCheck], numbers: np.ndarray) -> list[tuple[str, ...]]:
    return [
        (
            f"{node.node}, row {numbers[node.row] + 1}",
            number(node.hand),
            number(node.autodiff),
            ulp_number(node.ulp),
            ulp_number(node.allowed),
            "pass" if node.passed else "wrong",
        )
        for node in nodes
    ]


def _coordinate_rows(report: Report, features: tuple[str, ...]) -> list[tuple[str, ...]]:
    paths = [f".w[{j}]" for j in range(len(features))] + [".b"]
    names = [f"dw {feature}" for feature in features] + ["db"]
    name_of = dict(zip(paths, names, strict=True))
    return [
        (
            name_of[c.path],
            number(c.hand),
            number(c.autodiff),
            ulp_number(c.ulp),
            _ALL if c.allowed > abs(c.autodiff) else ulp_number(c.allowed_ulp),
            c.verdict.value,
        )
        for c in report.ranked()[:_COORDINATES_SHOWN]
    ]
