"""What every run is told, and how that is read from files and written to them."""

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import ml_dtypes
import numpy as np

from jaxlr.data import BUILT_IN, is_built_in
from jaxlr.extras import extra
from jaxlr.run.config.columns import ColumnSettings, check_missing
from jaxlr.run.folder import CONFIG, RunFolderError
from jaxlr.run.memory import default, to_bytes
from jaxlr.train import check_count


@dataclass(frozen=True)
class RunConfig(ColumnSettings):
    """What every run is told: its rows, its folder, and how it computes."""

    command: ClassVar[str]
    kinds: ClassVar[dict[str, type["RunConfig"]]] = {}

    data: str = BUILT_IN
    """A file (CSV, Parquet, npy, npz, libsvm), a folder of Parquet files, a URL of one of these,
    or the name of the built-in data set."""
    memory: str | int | None = None
    """What rows may take, as in 2GB. Rows that need more are streamed: read anew from the file in
    every pass, and held out one by one, by their numbers, so that test and validation have other
    rows than in memory. 0: always stream. Without it: half of the memory that is free."""
    out: str | None = None
    """Run folder to write. Without it: runs/DATA-DATE-TIME."""
    overwrite: bool = False
    """Replace the run folder if there is one."""
    standardize: bool = True
    """Train on features of mean 0 and standard deviation 1. The saved model takes raw ones."""
    test_fraction: float = 0.0
    """Share of the rows held out for the test, with labels in the same proportions; of streamed
    rows about so many, each by its number alone (see memory)."""
    seed: int = 0
    """For the split and the order of the rows."""
    dtype: Literal["float32", "float64", "bfloat16-data"] = "float64"
    """Type of the computation; bfloat16-data: features in bfloat16, half the memory, and all else
    in float32."""

    def __init_subclass__(cls) -> None:
        """Know the kinds of runs; the command line's classes are further faces of them."""
        if "command" in cls.__dict__:
            RunConfig.kinds[cls.command] = cls

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        for name, hint in get_type_hints(self.kinds[self.command]).items():
            if get_origin(hint) is not ClassVar and not _is(getattr(self, name), hint):
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be {_words(hint)}")
        check_share("test_fraction", self.test_fraction)
        check_seed(self.seed)
        check_missing(self.missing)
        if self.memory is not None:
            to_bytes(self.memory)

    @property
    def features_dtype(self) -> np.dtype:
        """Type in which the features are kept."""
        return np.dtype(ml_dtypes.bfloat16 if self.dtype == "bfloat16-data" else self.dtype)

    @property
    def params_dtype(self) -> np.dtype:
        """Type of all else: parameters, labels, weights, sums."""
        return np.promote_types(self.features_dtype, np.float32)

    def to_toml(self) -> str:
        """Write the config as TOML; what is None is left out.

        So is ``overwrite``, which is said to one command and no property of a run: a config that
        is given again must not take the place of the run it came from.
        """
        with extra("cli"):
            import tomli_w
        fields = {"command": self.command, "data": self.data, **dataclasses.asdict(self)}
        del fields["overwrite"]
        return tomli_w.dumps({name: v for name, v in fields.items() if v is not None})

    def with_memory(self) -> Self:
        """Say what rows may take, if that was left open: which rows are held out hangs on it."""
        if self.memory is not None or is_built_in(self.data):
            return self
        return dataclasses.replace(self, memory=self.limit())

    def folder(self, now: str) -> Path:
        """Return the run folder: the one given, or one named for the data and the time."""
        return Path(self.out) if self.out else Path("runs") / f"{Path(self.data).stem}-{now}"

    def limit(self) -> int:
        """Bytes that rows may take; 0: none are kept."""
        return default() if self.memory is None else to_bytes(self.memory)

    @staticmethod
    def from_toml(text: str) -> "RunConfig":
        """Read what `to_toml` wrote; ``command`` says which kind of run it is of.

        Raises
        ------
        ValueError
            If it is no TOML, or a setting is unknown or out of range.
        """
        fields: dict[str, Any] = tomllib.loads(text)
        command = fields.pop("command", "train")
        if command not in RunConfig.kinds:
            known = " or ".join(map(repr, RunConfig.kinds))
            raise ValueError(f"command is {command!r}: it must be {known}")
        kind = RunConfig.kinds[command]
        names = [field.name for field in dataclasses.fields(kind)]
        for name in fields:
            if name not in names:
                raise ValueError(f"the config has no setting {name}{_nearest(name, names)}")
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
        except (ValueError, OSError, RecursionError) as error:
            raise RunFolderError(f"{path}: {error}") from error


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
        return f"a list of {'numbers' if get_args(hint)[0] is float else 'strings'}"
    names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
    return next(names[part] for part in (hint, *get_args(hint)) if part in names)


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f": did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
