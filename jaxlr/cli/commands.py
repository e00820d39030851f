"""The commands: ``jaxlr train``, ``check``, ``explain`` and ``predict``."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional, arg, subcommand

from jaxlr import core
from jaxlr.check import logistic, ulp
from jaxlr.cli.show import TrainingProgress, console, print_error, print_table
from jaxlr.core import Params
from jaxlr.data import BUILT_IN, DataError, Dataset, load, read_features
from jaxlr.extras import extra
from jaxlr.run import (
    CONFIG_FILE,
    GradientCheckError,
    Model,
    RunFolderError,
    TrainConfig,
    check_gradient_at,
    check_nodes_at,
    run_training,
)
from jaxlr.run.folder import write_file

_COORDINATES_SHOWN = 12


def run(argv: Sequence[str]) -> int:
    """Parse ``argv``, run the command, and return the exit code."""
    commands = (
        Annotated[Train, subcommand("train")]
        | Annotated[Check, subcommand("check")]
        | Annotated[Explain, subcommand("explain")]
        | Annotated[Predict, subcommand("predict")]
    )
    command = tyro.cli(
        commands,  # pyright: ignore[reportArgumentType]
        prog="jaxlr",
        description="Logistic regression: derivatives by hand, proven by machine.",
        args=list(argv),
    )
    try:
        return command.run()
    except (DataError, RunFolderError, GradientCheckError, ValueError) as error:
        print_error(str(error))
        return 1


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a model by gradient descent and write it to a run folder.

    Without arguments: on the built-in Wisconsin breast cancer data.
    """

    data: Annotated[Positional[str], arg(metavar="DATA")] = BUILT_IN
    """A CSV file with a header, or the name of the built-in data set."""

    def run(self) -> int:
        """Train; 1 if the loss diverged, 130 if it was interrupted."""
        with TrainingProgress(self.steps) as progress:
            run = run_training(self, tell=console(stderr=True).print, callback=progress)
        _print_metrics(run.summary)
        status = run.summary["status"]
        console().print(f"{status.replace('_', ' ')}; written to {run.folder}")
        if status == "diverged":
            print_error(
                f"the loss is no longer finite after {run.summary['steps']} updates. Try a "
                "smaller --alpha, or leave --standardize on. The last good parameters are saved"
            )
            return 1
        return 130 if status == "stopped_by_callback" else 0


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

    def run(self) -> int:
        """Print a table for each point; 1 if anything is wrong."""
        if self.rows < 1:
            raise DataError(f"--rows is {self.rows}: it must be at least 1")
        with jax.enable_x64(self.dtype == "float64"):
            rows = load(
                self.data,
                target=self.target,
                exclude=self.exclude,
                positive=self.positive,
                dtype=self.dtype,
            )
            rng = np.random.default_rng(self.seed)
            index = rng.choice(len(rows.y), min(self.rows, len(rows.y)), replace=False)
            sample = rows.rows(np.sort(index))
            # Of the order of 1 in z, whatever the scales of the features.
            spread = np.maximum(np.std(sample.X, axis=0, dtype=np.float64), 1e-30)
            direction = rng.standard_normal(len(spread)) / spread / np.sqrt(len(spread))
            points = {"zeros": 0.0, "random parameters": 1.0, "large parameters": 30.0}
            passed = [
                self._check_at(name, sample, index, factor * direction, factor)
                for name, factor in points.items()
            ]
        console().print("all checks passed" if all(passed) else "CHECKS FAILED")
        return 0 if all(passed) else 1

    def _check_at(
        self, name: str, sample: Dataset, index: np.ndarray, w: np.ndarray, b: float
    ) -> bool:
        X, y = jax.device_put(sample.X), jax.device_put(sample.y)
        params = Params(jnp.asarray(w, X.dtype), jnp.asarray(b, X.dtype))
        nodes = check_nodes_at(params, X, y)
        report = check_gradient_at(params, X, y, l2=self.l2)

        paths = [f".w[{j}]" for j in range(len(w))] + [".b"]
        names = [f"dw {feature}" for feature in sample.features] + ["db"]
        name_of = dict(zip(paths, names, strict=True))
        shown = report.ranked()[:_COORDINATES_SHOWN]
        table = [
            (
                f"{n.node}, worst in row {index[n.row] + 1}",
                *_numbers(n.hand, n.autodiff),
                f"{n.ulp:.2f}",
                f"{n.allowed:.2f}",
                "pass" if n.passed else "wrong",
            )
            for n in nodes
        ] + [
            (
                name_of[c.path],
                *_numbers(c.hand, c.autodiff),
                f"{c.ulp:.2f}",
                f"{c.allowed_ulp:.2f}",
                c.verdict.value,
            )
            for c in shown
        ]
        console().print(f"{sample.name}: {len(y)} rows, {self.dtype}, at {name}")
        header = ("node", "by hand", "autodiff (float64)", "ULP off", "ULP allowed", "verdict")
        print_table(header, table, left=(0, 5))
        more = len(report.coordinates) - len(shown)
        if more:
            console().print(f"and {more} coordinates that are nearer\n")
        return bool(report) and all(n.passed for n in nodes)


@dataclass(frozen=True)
class Explain:
    """Show the computation graph of one example, forward and back, with every number.

    Without arguments: an example of two made-up features. With a run folder: one row of its
    data, with its trained parameters.
    """

    run_folder: Annotated[Positional[str | None], arg(metavar="RUN")] = None
    """A run folder that `jaxlr train` wrote."""
    row: int = 1
    """Row of the run's data, counted from 1."""
    data: str | None = None
    """Another CSV file to take the row from."""
    x: tuple[float, ...] = (1.0, -2.0)
    """Features, where no run folder is given."""
    y: float = 1.0
    """Label in [0, 1], where no run folder is given."""
    w: tuple[float, ...] = (0.5, 0.25)
    """Weights, where no run folder is given."""
    b: float = 0.1
    """Intercept, where no run folder is given."""
    alpha: float = 0.1
    """Learning rate of the step at the end."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the computation by hand."""

    def run(self) -> int:
        """Print the graph, and the step that follows from it."""
        if not 0 < self.alpha < float("inf"):
            raise DataError(f"--alpha is {self.alpha}: it must be finite and above 0")
        if self.run_folder is None:
            title, names = "a made-up example", [str(j + 1) for j in range(len(self.x))]
            w, b, x, y = self.w, self.b, self.x, self.y
        else:
            title, names, w, b, x, y = self._row_of_run(self.run_folder)
        if len(w) != len(x):
            raise DataError(f"--w has {len(w)} values and --x has {len(x)}")
        if not 0 <= y <= 1 or not np.isfinite([*w, b, *x]).all():
            raise DataError("--y must be in [0, 1], and --x, --w and --b finite")
        console().print(f"{title}: d = {len(x)} features, label y = {y:g}")
        with jax.enable_x64(self.dtype == "float64"):
            params = Params(jnp.asarray(w, self.dtype), jnp.asarray(b, self.dtype))
            _print_graph(names, params, jnp.asarray(x, self.dtype), y, self.alpha)
        return 0

    def _row_of_run(
        self, folder: str
    ) -> tuple[str, list[str], np.ndarray, float, np.ndarray, float]:
        model, config = Model.load(folder), _config_of(folder)
        rows = load(
            self.data or config.data,
            target=config.target,
            exclude=config.exclude,
            positive=model.labels[1],
            dtype=np.float64,
        )
        if rows.features != model.features:
            raise DataError(f"{rows.name} has other features than the model in {folder}")
        if not 1 <= self.row <= len(rows.y):
            raise DataError(f"--row is {self.row}, but {rows.name} has rows 1 to {len(rows.y)}")
        x, y = rows.X[self.row - 1], float(rows.y[self.row - 1])
        name = f" ({rows.labels[int(y)]})" if y in (0, 1) else ""
        title = f"{rows.name}, row {self.row}{name}, with the model in {folder}"
        return title, list(model.features), model.w, float(model.b), x, y


@dataclass(frozen=True)
class Predict:
    """Write the probability of label 1 and the likelier label for every row of a CSV file."""

    run_folder: Annotated[Positional[str], arg(metavar="RUN")]
    """A run folder that `jaxlr train` wrote."""
    data: Annotated[Positional[str], arg(metavar="DATA")]
    """A CSV file with the columns that the model was trained on, in any order."""
    out: str | None = None
    """CSV file to write. Without it: the standard output."""
    overwrite: bool = False
    """Replace the file if there is one."""
    exclude: tuple[str, ...] = ()
    """Further columns that are no features."""

    def run(self) -> int:
        """Predict and write."""
        with extra("data"):
            import pyarrow as pa
            from pyarrow import csv
        out = None if self.out is None else Path(self.out)
        if out is not None and out.exists() and not self.overwrite:
            raise DataError(f"{out} exists: choose another file (--out), or --overwrite it")
        model, config = Model.load(self.run_folder), _config_of(self.run_folder)
        known = {config.target, *config.exclude, *self.exclude} - {None}
        a = model.probabilities(read_features(self.data, model.features, ignore=known))
        labels = np.where(a >= 0.5, model.labels[1], model.labels[0])
        text = io.BytesIO()
        csv.write_csv(pa.table({"probability": a, "label": labels}), text)
        if out is None:
            sys.stdout.write(text.getvalue().decode())
            sys.stdout.flush()
        else:
            write_file(out, text.getvalue())
        console(stderr=True).print(
            f"{len(a)} rows; probability is that of {model.labels[1]!r}"
            + (f"; written to {out}" if out else "")
        )
        return 0


def _config_of(folder: str) -> TrainConfig:
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise DataError(f"{folder}: no run folder ({CONFIG_FILE}) is there")
    try:
        return TrainConfig.from_toml(path.read_text())
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {error}") from error


def _print_metrics(summary: dict) -> None:
    names = {"loss": "loss", "accuracy": "accuracy", "roc_auc": "ROC AUC", "brier": "Brier score"}
    parts = [part for part in ("train", "test") if summary[part]]
    cells = [
        [
            name,
            *("-" if summary[part][key] is None else f"{summary[part][key]:.4f}" for part in parts),
        ]
        for key, name in names.items()
    ]
    print_table(["", *parts], cells)


def _print_graph(names: list[str], params: Params, x: jax.Array, y: float, alpha: float) -> None:
    hand, machine = core.trace(params, x, y), logistic.nodes(params, x, y)
    after = core.update(params, Params(hand.dw, hand.db), alpha)
    dtype = params.w.dtype
    columns = zip(names, x, params.w, params.w * x, strict=True)
    print_table(("feature", "x", "w", "w x"), [(name, *_numbers(*row)) for name, *row in columns])
    _print_nodes(
        "forward",
        [
            ("z", f"w . x + b, with b = {float(params.b):.9g}", hand.z, machine["z"]),
            ("a", "sigma(z)", hand.a, machine["a"]),
            ("L", "-y log a - (1 - y) log(1 - a)", hand.L, machine["L"]),
        ],
        dtype,
    )
    _print_nodes(
        "backward",
        [
            ("da", "-y / a + (1 - y) / (1 - a)", hand.da, machine["da"]),
            ("dz", "da a (1 - a) = a - y", hand.dz, machine["dz"]),
            *(
                (f"dw {name}", "x dz", by_hand, by_machine)
                for name, by_hand, by_machine in zip(names, hand.dw, machine["dw"], strict=True)
            ),
            ("db", "dz", hand.db, machine["db"]),
        ],
        dtype,
    )
    moves = [
        *zip([f"w {name}" for name in names], params.w, after.w, strict=True),
        ("b", params.b, after.b),
        ("L", hand.L, core.forward(after, x, y)[0]),
    ]
    header = (f"update, alpha = {alpha:g}", "before", "after")
    print_table(header, [(name, *_numbers(*row)) for name, *row in moves])


Node = tuple[str, str, jax.Array, np.ndarray]  # name, formula, by hand, by autodiff


def _print_nodes(title: str, nodes: Sequence[Node], dtype: np.dtype) -> None:
    rows = [
        (name, formula, *_numbers(hand, machine), f"{ulp.distance(hand, machine, dtype):.2f}")
        for name, formula, hand, machine in nodes
    ]
    header = (title, "formula", "by hand", "jax.grad (float64)", "ULP off")
    print_table(header, rows, left=(0, 1))


def _numbers(*values: float | jax.Array | np.ndarray) -> list[str]:
    return [f"{float(value):.9g}" for value in values]
