"""What a training run is told: one typed record for scripts, files and the command line."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optax

from jaxlr.data import BUILT_IN
from jaxlr.extras import extra
from jaxlr.train import Optimizer, from_optax, plain

FILE = "config.toml"


@dataclass(frozen=True)
class TrainConfig:
    """Train a model on a data set, and write it to a run folder.

    Examples
    --------
    >>> config = TrainConfig(steps=100, alpha=0.5)
    >>> TrainConfig.from_toml(config.to_toml()) == config
    True
    """

    data: str = BUILT_IN
    """A CSV file with a header, or the name of the built-in data set."""
    target: str | None = None
    """Column of the labels; needed for a file."""
    positive: str | None = None
    """The label to predict, label 1. Without it: the later label in sorted order."""
    exclude: tuple[str, ...] = ()
    """Columns that are no features."""
    out: str | None = None
    """Run folder to write. Without it: runs/DATA-DATE-TIME."""
    overwrite: bool = False
    """Replace the run folder if there is one."""
    optimizer: Literal["plain", "momentum", "adam"] = "plain"
    """The lesson's own step, or one of optax's."""
    alpha: float = 0.1
    """Learning rate."""
    steps: int = 1000
    """Number of updates."""
    batch_size: int | None = None
    """Rows in a mini-batch. Without it: all rows in every step."""
    l2: float = 0.0
    """Penalty: l2/2 ||w||^2, on the weights of the standardized features."""
    standardize: bool = True
    """Train on features of mean 0 and standard deviation 1. The saved model takes raw ones."""
    test_fraction: float = 0.2
    """Share of the rows held out for the test."""
    validation_fraction: float = 0.0
    """Share of the rows held out to choose the best parameters by."""
    patience: int | None = None
    """Stop when that many validations in a row were no better. Needs a validation share."""
    validate_every: int = 10
    """Steps between two validations."""
    seed: int = 0
    """For the split and the order of the mini-batches."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the computation."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        for name in ("test_fraction", "validation_fraction"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 0 and below 1")
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction and validation_fraction leave no rows to train on")
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError("patience needs a validation_fraction above 0 to watch")
        for name in ("steps", "batch_size", "patience", "validate_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")
        for name, least in (("alpha", "above 0"), ("l2", "at least 0")):
            value = getattr(self, name)
            if not 0 <= value < float("inf") or (name == "alpha" and value == 0):
                raise ValueError(f"{name} is {value}: it must be finite and {least}")

    def make_optimizer(self) -> Optimizer:
        """Return the optimiser that the config names."""
        if self.optimizer == "momentum":
            return from_optax(optax.sgd(self.alpha, momentum=0.9))
        if self.optimizer == "adam":
            return from_optax(optax.adam(self.alpha))
        return plain(self.alpha)

    def to_toml(self) -> str:
        """Write the config as TOML; what is None is left out."""
        with extra("cli"):
            import tomli_w
        fields = dataclasses.asdict(self)
        return tomli_w.dumps({name: v for name, v in fields.items() if v is not None})

    @classmethod
    def from_toml(cls, text: str) -> "TrainConfig":
        """Read what `to_toml` wrote."""
        fields: dict[str, Any] = tomllib.loads(text)
        unknown = fields.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"the config has no setting {', '.join(sorted(unknown))}")
        return cls(**{**fields, "exclude": tuple(fields.get("exclude", ()))})

    def folder(self, now: str) -> Path:
        """Return the run folder: the one given, or one named for the data and the time."""
        return Path(self.out) if self.out else Path("runs") / f"{Path(self.data).stem}-{now}"
