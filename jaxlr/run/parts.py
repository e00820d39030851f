"""The rows of a run, parted for training, validation and test, in the space training uses."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch, data, shard
from jaxlr.core import Params
from jaxlr.data import DataError, Dataset, Stream
from jaxlr.run.config import RunConfig
from jaxlr.run.model import Model
from jaxlr.run.scoring import evaluate

# Rows are split over devices only where each gets this much of X: a sum over the devices of a CPU
# costs 0.3 ms, and with it smaller shares take longer than one device with all rows.
_BYTES_PER_DEVICE = 1 << 22
ROWS_CHECKED = 256  # on which the gradient is judged
Tell = Callable[[str], None]


class Parts(NamedTuple):
    """Rows to train on, and those held out, as ``(x - mean) / scale``, in the config's type.

    ``mean`` and ``scale`` (d,), in float64, are those of the training rows; 0 and 1 where the
    config does not standardise.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    mean: np.ndarray
    scale: np.ndarray

    def model(self, params: Params, config: RunConfig) -> Model:
        """Make the model of raw features out of parameters for these."""
        rows = self.train
        return model_of(params, self.mean, self.scale, rows, config)

    @property
    def d(self) -> int:
        """Number of features."""
        return self.train.X.shape[1]

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows."""
        return self.validation is not None

    def sample(self, rng: np.random.Generator) -> Dataset:
        """Take some of the training rows that count, of all processes."""
        found = self.train.rows(self.train.draw(max(1, ROWS_CHECKED // shard.host_count()), rng))
        weight = None if found.weight is None else shard.join(found.weight)
        return found._replace(X=shard.join(found.X), y=shard.join(found.y), weight=weight)

    def evaluate(self, params: Params) -> dict[str, Any]:
        """Say how good parameters are on each part."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: None if rows is None else evaluate(params, rows) for name, rows in parts.items()
        }

    def sizes(self) -> dict[str, int]:
        """Rows in each part there is."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: int(shard.add_up(len(part.y))) for name, part in parts.items() if part is not None
        }


def model_of(
    params: Params, mean: np.ndarray, scale: np.ndarray, rows: Dataset | Stream, config: RunConfig
) -> Model:
    """Make the model of raw features out of parameters for standardised ones."""
    read = rows.encoding
    return Model.from_standardized(
        params,
        mean,
        scale,
        rows.features,
        rows.labels,
        config.target if read is None else read.target,
        config.exclude if read is None else read.exclude,
        read,
    )


def make_parts(rows: Dataset, config: RunConfig, *, validation_fraction: float = 0.0) -> Parts:
    """Split and standardise as ``config`` says.

    Raises
    ------
    DataError
        If there are too few rows, or values too large for the config's type.
    """
    train, test, held_out = np.arange(len(rows.y)), None, None
    if config.test_fraction:
        train, test = data.split(rows.y, config.test_fraction, seed=config.seed)
    if validation_fraction:
        share = validation_fraction / (1 - config.test_fraction)
        rest, chosen = data.split(rows.y[train], share, seed=config.seed)
        train, held_out = train[rest], train[chosen]
    d = len(rows.features)
    mean, scale = rows.moments(train) if config.standardize else (np.zeros(d), np.ones(d))

    def part(index: np.ndarray) -> Dataset:
        found = rows.rows(index, mean=mean, scale=scale, dtype=config.features_dtype)
        if found.weight is not None:  # those of one of several processes may all be 0
            check_weights(shard.gather(found.weight.max(initial=0)), rows.name)
        return found

    return Parts(
        train=part(train),
        validation=None if held_out is None else part(held_out),
        test=None if test is None else part(test),
        mean=mean,
        scale=scale,
    )


def check_weights(weights: np.ndarray, name: str) -> None:
    """Refuse weights that are all 0, or beyond the range that sums of rows keep."""
    try:
        batch.check_largest(weights)
    except ValueError as error:
        raise DataError(f"{name}: in one of the parts of the rows, {error}") from error


def describe(rows: Dataset) -> str:
    """Name, size and labels in one line."""
    counts = [int(np.sum(rows.y == label)) for label in (0, 1)]
    labels = describe_labels(rows.labels, counts, soft=len(rows.y) - sum(counts))
    size = f"{len(rows.y)} rows x {len(rows.features)} features"
    return f"data: {rows.name}, {size}; {labels}"


def describe_labels(names: tuple[str, str], counts: Sequence[int], *, soft: int) -> str:
    """How many rows have label 0, label 1, and one between them."""
    labels = ", ".join(
        f"label {i} = {name} ({count})"
        for i, (name, count) in enumerate(zip(names, counts, strict=True))
    )
    return f"{labels}, {soft} soft labels between them" if soft else labels


def tell_split(sizes: dict[str, int], tell: Tell) -> None:
    """Tell how many rows go where."""
    tell("split: " + ", ".join(f"{size} rows to {name}" for name, size in sizes.items()))


def prepare(
    rows: Dataset,
    config: RunConfig,
    tell: Tell,
    *,
    validation_fraction: float = 0.0,
) -> Parts:
    """Part the rows, telling how many go where."""
    with shard.together():
        parts = make_parts(rows, config, validation_fraction=validation_fraction)
    tell_split(parts.sizes(), tell)
    return parts


def devices_for(rows: Dataset) -> list[Any]:
    """Devices to split rows over: as many as have enough to do, one at least."""
    each = max(1, int(shard.gather(rows.X.nbytes).max()) // _BYTES_PER_DEVICE)
    return shard.devices_of_hosts(each)


def place(rows: Dataset, devices: Sequence[Any]) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Put X, y and, where rows were filled up, weights on the devices."""
    if shard.host_count() > 1:
        return shard.join_rows(rows.X, rows.y, rows.weight, devices)
    if len(devices) == 1:
        s = None if rows.weight is None else jax.device_put(rows.weight)
        return jax.device_put(rows.X), jax.device_put(rows.y), s
    return shard.split_rows(rows.X, rows.y, rows.weight, devices=devices)
