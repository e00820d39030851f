"""What a training run is told: one typed record for scripts, files and the command line."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import optax

from jaxlr.batch import check_penalty
from jaxlr.data import BUILT_IN
from jaxlr.extras import extra
from jaxlr.run.folder import CONFIG, RunFolderError
from jaxlr.solve import check_settings
from jaxlr.train import Optimizer, check_alpha, check_count, from_optax, plain


@dataclass(frozen=True)
class RunConfig:
    """What every run is told: its rows, its folder, and how it computes."""

    command: ClassVar[str]

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
    standardize: bool = True
    """Train on features of mean 0 and standard deviation 1. The saved model takes raw ones."""
    test_fraction: float = 0.0
    """Share of the rows held out for the test."""
    seed: int = 0
    """For the split and the order of the rows."""
    dtype: Literal["float32", "float64"] = "float64"
    """Type of the computation."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        for name, hint in get_type_hints(_KINDS[self.command]).items():
            if get_origin(hint) is not ClassVar and not _is(getattr(self, name), hint):
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be {_words(hint)}")
        check_share("test_fraction", self.test_fraction)
        check_seed(self.seed)

    def to_toml(self) -> str:
        """Write the config as TOML; what is None is left out."""
        with extra("cli"):
            import tomli_w
        fields = {"command": self.command, **dataclasses.asdict(self)}
        return tomli_w.dumps({name: v for name, v in fields.items() if v is not None})

    def folder(self, now: str) -> Path:
        """Return the run folder: the one given, or one named for the data and the time."""
        return Path(self.out) if self.out else Path("runs") / f"{Path(self.data).stem}-{now}"

    @staticmethod
    def from_toml(text: str) -> "RunConfig":
        """Read what `to_toml` wrote; ``command`` says which kind of run it is of.

        Raises
        ------
        ValueError
            If it is no TOML, or a setting is unknown or out of range.
        """
        fields: dict[str, Any] = tomllib.loads(text)
        command = fields.pop("command", TrainConfig.command)
        if command not in _KINDS:
            raise ValueError(f"command is {command!r}: it must be {' or '.join(map(repr, _KINDS))}")
        kind = _KINDS[command]
        unknown = fields.keys() - {field.name for field in dataclasses.fields(kind)}
        if unknown:
            raise ValueError(f"the config has no setting {', '.join(sorted(unknown))}")
        for name, value in fields.items():
            if isinstance(value, list):
                fields[name] = tuple(value)
        return kind(**fields)

    @staticmethod
    def load(run: str | Path) -> "RunConfig":
        """Read the config of a run folder.

        Raises
        ------
        RunFolderError
            If there is none, or it cannot be read.
        """
        path = Path(run) / CONFIG
        if not path.is_file():
            raise RunFolderError(f"{run}: no run folder ({CONFIG}) is there")
        try:
            return RunConfig.from_toml(path.read_text("utf-8"))
        except (ValueError, OSError) as error:
            raise RunFolderError(f"{path}: {error}") from error


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Train a model on a data set by gradient descent, and write it to a run folder.

    Examples
    --------
    >>> config = TrainConfig(steps=100, alpha=0.5)
    >>> TrainConfig.from_toml(config.to_toml()) == config
    True
    """

    command: ClassVar[str] = "train"

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
    test_fraction: float = 0.2
    """Share of the rows held out for the test."""
    validation_fraction: float = 0.0
    """Share of the rows held out to choose the best parameters by."""
    patience: int | None = None
    """Stop when that many validations in a row were no better. Needs a validation share."""
    validate_every: int = 10
    """Steps between two validations."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the computation."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        super().__post_init__()
        check_share("validation_fraction", self.validation_fraction)
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction and validation_fraction leave no rows to train on")
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError("patience needs a validation_fraction above 0 to watch")
        for name in ("steps", "batch_size", "patience", "validate_every"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        check_alpha(self.alpha)
        check_penalty(self.l2)

    def make_optimizer(self) -> Optimizer:
        """Return the optimiser that the config names."""
        if self.optimizer == "momentum":
            return from_optax(optax.sgd(self.alpha, momentum=0.9))
        if self.optimizer == "adam":
            return from_optax(optax.adam(self.alpha))
        return plain(self.alpha)


@dataclass(frozen=True)
class FitConfig(RunConfig):
    """Fit a model to a data set to the optimum, and write it to a run folder.

    Examples
    --------
    >>> config = FitConfig(l2=0.01)
    >>> RunConfig.from_toml(config.to_toml()) == config
    True
    """

    command: ClassVar[str] = "fit"

    l2: float = 0.0
    """Penalty: l2/2 ||w||^2, on the weights of the standardized features."""
    tol: float = 1e-8
    """Largest entry that the gradient may have, in nats per standard deviation of a feature."""
    max_steps: int = 1000
    """Steps after which to give up."""
    method: Literal["auto", "newton", "lbfgs"] = "auto"
    """How to solve: with Newton matrices, without them, or as the number of features suggests."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        super().__post_init__()
        check_settings(self.tol, self.max_steps, self.method)
        check_penalty(self.l2)


@dataclass(frozen=True)
class CvConfig(RunConfig):
    """Cross-validate the penalty on a data set, and write the refitted model to a run folder.

    Examples
    --------
    >>> config = CvConfig(l2=(0.1, 1.0), folds=10)
    >>> RunConfig.from_toml(config.to_toml()) == config
    True
    """

    command: ClassVar[str] = "cv"

    l2: tuple[float, ...] = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
    """Penalties to compare: l2/2 ||w||^2, on the weights of the standardized features."""
    folds: int = 5
    """Number of folds, with the labels in the same proportions."""
    choose: Literal["best", "one standard error"] = "best"
    """Refit with the penalty of the smallest log-loss, or the largest within one standard error."""
    tol: float = 1e-6
    """Largest entry that a gradient may have, in nats per standard deviation of a feature."""
    max_steps: int = 1000
    """Steps after which to give up."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        super().__post_init__()
        check_settings(self.tol, self.max_steps)
        check_count("folds", self.folds, least=2)
        if not self.l2:
            raise ValueError("l2 is empty: name a penalty or more")
        for penalty in self.l2:
            check_penalty(penalty)


_KINDS: dict[str, type[RunConfig]] = {
    kind.command: kind for kind in (TrainConfig, FitConfig, CvConfig)
}


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless ``value`` is a share of rows that leaves some."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}: it must be at least 0 and below 1")


def check_seed(seed: int) -> None:
    """Raise ValueError unless NumPy, scikit-learn and JAX all take ``seed``."""
    check_count("seed", seed, least=0, most=2**32 - 1)


def _is(value: object, hint: Any) -> bool:
    """Whether a value is of a type that the settings have."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in parts
    if kind is tuple:
        return isinstance(value, tuple) and all(_is(v, parts[0]) for v in value)
    if parts:
        return any(_is(value, part) for part in parts)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        return "a list of strings"
    names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
    return next(names[part] for part in (hint, *get_args(hint)) if part in names)
