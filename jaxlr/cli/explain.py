"""``jaxlr explain``: the computation graph of one example, with every number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tyro.conf import Positional, arg

from jaxlr import core
from jaxlr.check import logistic, ulp
from jaxlr.cli.show import number, print_line, print_table, ulp_number
from jaxlr.core import Params
from jaxlr.data import DataError, Dataset, load, open_stream
from jaxlr.run import Model, RunConfig
from jaxlr.train import check_alpha, check_count

_BOTH = ("by hand", "autodiff", "ULP")
_OF_A_RUN = ("row", "data")
_MADE_UP = ("x", "y", "w", "b")


class _Example(NamedTuple):
    """One example to explain; ``raw`` holds its features before they were standardised."""

    title: str
    features: tuple[str, ...]
    w: np.ndarray
    b: float
    x: np.ndarray
    y: float
    alpha: float
    raw: np.ndarray | None = None


@dataclass(frozen=True)
class Explain:
    """Show the computation graph of one example, forward and back, with every number.

    Without arguments: an example of two made-up features. With a run folder: one row of its
    data, with its trained parameters, standardised as training had it.
    """

    run_folder: Annotated[Positional[str | None], arg(metavar="RUN")] = None
    """A run folder that `jaxlr train` wrote."""
    row: int | None = None
    """Row of the run's data, counted from 1; the first without it."""
    data: str | None = None
    """Another source to take the row from."""
    x: tuple[float, ...] | None = None
    """Features, where no run folder is given; 1 -2 without it."""
    y: float | None = None
    """Label in [0, 1], where no run folder is given; 1 without it."""
    w: tuple[float, ...] | None = None
    """Weights, where no run folder is given; 0.5 0.25 without it."""
    b: float | None = None
    """Intercept, where no run folder is given; 0.1 without it."""
    alpha: float | None = None
    """Learning rate of the step at the end; that of the run, or 0.1, without it."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the computation by hand."""

    def __post_init__(self) -> None:
        """Check that the arguments go together, and can be computed with."""
        out_of_place = _MADE_UP if self.run_folder else _OF_A_RUN
        for name in out_of_place:
            if getattr(self, name) is not None:
                only = "without" if self.run_folder else "with"
                raise ValueError(f"--{name} goes only {only} a run folder")
        if self.row is not None:
            check_count("row", self.row)
        if self.alpha is not None:
            check_alpha(self.alpha)
        if not self.run_folder:
            self._check_made_up(self._made_up())

    def run(self) -> int:
        """Print the graph, and the step that follows from it."""
        example = self._row_of(self.run_folder) if self.run_folder else self._made_up()
        with jax.enable_x64(self.dtype == "float64"):
            with np.errstate(over="ignore"):  # told below
                w, b, x = (np.asarray(v, self.dtype) for v in (example.w, example.b, example.x))
            params, x = Params(jnp.asarray(w), jnp.asarray(b)), jnp.asarray(x)
            if not all(np.isfinite(v).all() for v in (x, *params, core.linear(params, x))):
                raise DataError(f"{example.title}: x, w or z = w . x + b overflows in {self.dtype}")
            print_line(f"{example.title}: label y = {example.y:g}")
            print_line(f"by hand in {self.dtype}, autodiff in float64; ULP: last places apart\n")
            _print_graph(example, params, x)
        return 0

    def _made_up(self) -> _Example:
        x = np.array((1.0, -2.0) if self.x is None else self.x)
        return _Example(
            title="a made-up example",
            features=tuple(str(j + 1) for j in range(len(x))),
            w=np.array((0.5, 0.25) if self.w is None else self.w),
            b=0.1 if self.b is None else self.b,
            x=x,
            y=1.0 if self.y is None else self.y,
            alpha=0.1 if self.alpha is None else self.alpha,
        )

    def _check_made_up(self, example: _Example) -> None:
        if len(example.w) != len(example.x):
            raise ValueError(f"--w has {len(example.w)} values and --x has {len(example.x)}")
        if not 0 <= example.y <= 1:
            raise ValueError(f"--y is {example.y:g}: it must be in [0, 1]")
        for name in ("x", "w", "b"):
            with np.errstate(over="ignore"):
                values = np.asarray(getattr(example, name), self.dtype)
            if not np.isfinite(values).all():
                raise ValueError(f"--{name} must be finite in {self.dtype}")

    def _row_of(self, folder: str) -> _Example:
        model, config = Model.load(folder), RunConfig.load(folder)
        i = (self.row or 1) - 1
        rows = _rows(self.data or config.data, model, config, i)
        if rows.features != model.features:
            raise DataError(f"{rows.name} has other features than the model in {folder}")
        w, b = model.standardized()
        x, y = rows.X[0], float(rows.y[0])
        name = f" ({rows.labels[int(y)]})" if y in (0, 1) else ""
        return _Example(
            title=f"{rows.name}, row {i + 1}{name}, with the model in {folder}",
            features=model.features,
            w=w,
            b=b,
            x=(x - model.mean) / model.scale,
            y=y,
            alpha=getattr(config, "alpha", 0.1) if self.alpha is None else self.alpha,
            raw=x if config.standardize else None,
        )


def _rows(source: str, model: Model, config: RunConfig, i: int) -> Dataset:
    """Read row i alone, where the model knows how; else all rows."""
    if model.encoding is not None:
        stream = open_stream(
            source,
            encoding=model.encoding,
            target=config.target,
            weight=config.weight,
            dtype=np.float64,
        )
        _check_row(i, stream.n, stream.name)
        return stream.take([i])
    rows = load(
        source,
        target=config.target,
        exclude=config.exclude,
        positive=model.labels[1],
        dtype=np.float64,
    )
    _check_row(i, len(rows.y), rows.name)
    return rows.rows(np.array([i]))


def _check_row(i: int, n: int, name: str) -> None:
    if i >= n:
        raise DataError(f"--row is {i + 1}, but {name} has rows 1 to {n}")


def _print_graph(example: _Example, params: Params, x: jax.Array) -> None:
    y, dtype = example.y, params.w.dtype
    hand, machine = core.trace(params, x, y), logistic.nodes(params, x, y)

    def node(name: str, formula: str, by_hand: Any, by_machine: Any) -> list[str]:
        off = ulp_number(float(ulp.distance(by_hand, by_machine, dtype)))
        return [name, formula, number(by_hand), number(by_machine), off]

    def print_nodes(title: str, nodes: Sequence[Sequence[str]]) -> None:
        print_table((title, "", *_BOTH), nodes, left=(0, 1))

    _print_features(example, params, x)
    print_nodes(
        "forward",
        [
            node("z", f"w . x + b, b = {number(params.b)}", hand.z, machine["z"]),
            node("a", "sigma(z)", hand.a, machine["a"]),
            node("L", "-y log a - (1 - y) log(1 - a)", hand.L, machine["L"]),
        ],
    )
    print_nodes(
        "backward",
        [
            node("da", "-y / a + (1 - y) / (1 - a)", hand.da, machine["da"]),
            node("dz", "da a (1 - a) = a - y", hand.dz, machine["dz"]),
            node("db", "dz", hand.db, machine["db"]),
        ],
    )
    gradients = zip(example.features, hand.dw, machine["dw"], strict=True)
    dw = [node(f"dw {feature}", "x dz", *values) for feature, *values in gradients]
    print_table(("dw = x dz", *_BOTH), [[name, *numbers] for name, _, *numbers in dw])
    _print_step(example, params, x, Params(hand.dw, hand.db))


def _print_features(example: _Example, params: Params, x: jax.Array) -> None:
    columns = {"x": x, "w": params.w, "w x": params.w * x}
    if example.raw is not None:
        columns = {"raw": example.raw, **columns}
    rows = zip(example.features, *columns.values(), strict=True)
    print_table(("feature", *columns), [(name, *map(number, values)) for name, *values in rows])


def _print_step(example: _Example, params: Params, x: jax.Array, grads: Params) -> None:
    after = core.update(params, grads, example.alpha)
    loss_before, loss_after = (core.forward(p, x, example.y)[0] for p in (params, after))
    moves = [
        *zip([f"w {name}" for name in example.features], params.w, after.w, strict=True),
        ("b", params.b, after.b),
        ("L", loss_before, loss_after),
    ]
    header = (f"update, alpha = {example.alpha:g}", "before", "after")
    print_table(header, [(name, *map(number, values)) for name, *values in moves])
