"""``jaxlr check``: hand-written derivatives before the judge, yours or ours on data of yours."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import OmitArgPrefixes, Positional, arg

from jaxlr.batch import check_penalty
from jaxlr.check import NodeCheck, Report, Verdict
from jaxlr.cli.function import EXIT_CODES, FunctionOptions, judge
from jaxlr.cli.modules import CallError, is_name
from jaxlr.cli.show import number, print_error, print_line, print_table, ulp_number
from jaxlr.core import Params
from jaxlr.data import BUILT_IN, DataError, Dataset, load
from jaxlr.extras import MissingExtraError
from jaxlr.run import check_gradient_at, check_nodes_at, check_seed
from jaxlr.run.config import ColumnSettings, check_missing
from jaxlr.train import check_count

_COORDINATES_SHOWN = 12
_POINTS = {"zeros": 0.0, "random parameters": 1.0, "large parameters": 30.0}
_SAID = {
    Verdict.PASS: "all checks passed",
    Verdict.WRONG: "CHECKS FAILED",
    Verdict.UNDECIDED: "UNDECIDED: nothing is wrong, but the oracles do not agree everywhere",
}
_ALL = "rounding"  # in place of a number of units that is larger than the value itself


@dataclass(frozen=True)
class DataOptions(ColumnSettings):
    """With DATA: which rows are taken, and how."""

    rows: int = 1000
    """Rows to check on, chosen at random if there are more."""
    l2: float = 0.0
    """Penalty: l2/2 ||w||^2."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the computation that is checked."""

    def check(self) -> None:
        """Check the settings before any data is read."""
        check_missing(self.missing)
        check_count("rows", self.rows)
        check_penalty(self.l2)


@dataclass(frozen=True)
class Check:
    """Check hand-written derivatives: your own function's, or those of the logistic regression.

    MODULE:FUNCTION is a function of yours with a custom_vjp or custom_jvp (or, with --gradient-of,
    one that returns gradients), judged by oracles that share no code:

    jaxlr check ops.py:softplus --args float32[9]

    DATA is what `jaxlr train` reads. On its rows every node of the logistic regression's graph and
    every coordinate of its gradient, weighted where the rows are, is compared with autodiff, at
    three points: zeros, where training starts; random parameters; and ones so large that most rows
    are saturated.

    Exit codes: 0 passed; 1 wrong; 2 bad call, no verdict; 3 vacuous, the check could not have
    failed; 4 undecided.
    """

    subject: Annotated[Positional[str], arg(metavar="MODULE:FUNCTION|DATA")] = BUILT_IN
    """A function (ops:softplus, ops.py:softplus), a file, folder or URL of rows, or built-in
    data."""
    seed: int = 0
    """Of all that is random."""
    data: OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    function: OmitArgPrefixes[FunctionOptions] = field(default_factory=FunctionOptions)

    def __post_init__(self) -> None:
        """Check the options: here, for tyro tells what is raised here and in no part of it."""
        check_seed(self.seed)
        if is_name(self.subject):
            _refuse(self.data, "DATA")
            self.function.check()
        else:
            _refuse(self.function, "MODULE:FUNCTION")
            self.data.check()

    def run(self) -> int:
        """Print what was found; the exit codes are those above."""
        try:
            if is_name(self.subject):
                return judge(self.subject, self.function, self.seed)
            return _CheckOfData(self.subject, self.seed, self.data).run()
        except (CallError, DataError, MissingExtraError) as error:
            print_error(str(error))
            return 2


def _refuse(options: DataOptions | FunctionOptions, subject: str) -> None:
    """Raise if any of the options, which go only with ``subject``, was given."""
    for option in fields(options):
        if getattr(options, option.name) != option.default:
            raise ValueError(f"--{option.name.replace('_', '-')} goes only with {subject}")


@dataclass(frozen=True)
class _CheckOfData:
    """The logistic regression's derivatives on rows of ``name``."""

    name: str
    seed: int
    options: DataOptions

    def run(self) -> int:
        """Print a table for each point; the exit code of the worst verdict."""
        with jax.enable_x64(self.options.dtype == "float64"):
            rng = np.random.default_rng(self.seed)
            sample = self._sample(rng)
            # Of the order of 1 in z, whatever the scales of the features.
            spread = np.maximum(np.std(sample.rows.X, axis=0, dtype=np.float64), 1e-30)
            direction = rng.standard_normal(len(spread)) / spread / np.sqrt(len(spread))
            found = [
                self._check_at(name, sample, factor * direction, factor)
                for name, factor in _POINTS.items()
            ]
        verdict = next(v for v in (Verdict.WRONG, Verdict.UNDECIDED, Verdict.PASS) if v in found)
        print_line(_SAID[verdict])
        return EXIT_CODES[verdict]

    def _sample(self, rng: np.random.Generator) -> "_Sample":
        rows = load(self.name, dtype=self.options.dtype, **self.options.columns_settings())
        index = rows.draw(self.options.rows, rng)
        return _Sample(rows.rows(index), index)

    def _check_at(self, name: str, sample: "_Sample", w: np.ndarray, b: float) -> Verdict:
        rows = sample.rows
        X, y = jax.device_put(rows.X), jax.device_put(rows.y)
        params = Params(jnp.asarray(w, X.dtype), jnp.asarray(b, X.dtype))
        nodes = check_nodes_at(params, X, y)
        report = check_gradient_at(params, X, y, sample_weight=rows.weight, l2=self.options.l2)
        dtype = self.options.dtype
        print_line(f"\n{rows.name}: {len(y)} rows, {dtype}, at {name}; autodiff in float64\n")
        table = _node_rows(nodes, sample.numbers) + _coordinate_rows(report, rows.features)
        header = ("node, worst row", "by hand", "autodiff", "ULP", "allowed", "verdict")
        print_table(header, table, left=(0, 5))
        if any(_ALL in row for row in table):
            print_line(f"{_ALL}: what it explains is more than the value itself")
        more = len(report.coordinates) - _COORDINATES_SHOWN
        if more > 0:
            print_line(f"and {more} coordinates that are nearer")
        return report.verdict if all(node.passed for node in nodes) else Verdict.WRONG


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
