"""What a user says about the columns of a source, and whether the source has such columns."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from jaxlr.data.encoding import MOST_BUCKETS
from jaxlr.data.errors import DataError, listed
from jaxlr.data.sources import Source

Categorical = Collection[str] | Mapping[str, str | int]
Missing = str | float | Mapping[str, str | float]


class Settings(NamedTuple):
    """Settings of `load` and `open_stream` that say what the columns are; as described there."""

    target: str | None = None
    positive: str | None = None
    weight: str | None = None
    columns: Collection[str] | None = None
    exclude: Collection[str] = ()
    categorical: Categorical = ()
    missing: Missing = "error"
    unknown: str = "error"


class Plan(NamedTuple):
    """Settings resolved for one source: which column is what.

    ``categories`` map a column to None (one-hot) or its number of buckets; ``missing`` maps a
    column to ``"error"``, ``"mean"`` or the number to take. ``n`` is the number of rows, where
    that is known before they are read.
    """

    target: str
    weight: str | None
    positive: str | None
    numbers: tuple[str, ...]
    categories: dict[str, int | None]
    missing: dict[str, str | float]
    exclude: tuple[str, ...]
    unknown: str
    n: int | None = None

    @property
    def read(self) -> list[str]:
        """Columns that are read."""
        weight = () if self.weight is None else (self.weight,)
        return [*self.numbers, *self.categories, self.target, *weight]


def resolve(source: Source, settings: Settings) -> Plan:
    """Hold the settings against the columns that there are."""
    path, names = source.path, source.columns
    target = source.target or settings.target
    weight = source.weight or settings.weight
    if target is None:
        raise DataError(f"{path}: name the column of the labels (--target), one of {listed(names)}")
    exclude = tuple(settings.exclude)
    categories = _categories(settings.categorical, path)
    missing = settings.missing if isinstance(settings.missing, Mapping) else {}
    keep = names if settings.columns is None else settings.columns
    weights = [] if weight is None else [weight]
    present(path, [target, *weights, *exclude, *keep, *categories, *missing], names)
    for role, name in (("target", target), ("weight", weight)):
        if name in exclude:
            raise DataError(f"{path}: the {role} {name!r} cannot be excluded")
        if name in categories:
            raise DataError(f"{path}: the {role} {name!r} cannot be a categorical feature")
    if target == weight:
        raise DataError(f"{path}: the target {target!r} cannot be the weights too")
    features = [n for n in names if n in {*keep} and n not in {target, weight, *exclude}]
    lost = sorted({*categories, *missing} - {*features})
    if lost:
        raise DataError(f"{path}: settings name the columns {listed(lost)}, which are no features")
    if not features:
        raise DataError(f"{path}: no column is left for the features")
    if settings.unknown not in ("error", "ignore"):
        raise DataError(f"unknown is 'error' or 'ignore', not {settings.unknown!r}")
    default = "error" if isinstance(settings.missing, Mapping) else settings.missing
    categories = {name: categories[name] for name in features if name in categories}
    return Plan(
        target=target,
        weight=weight,
        positive=settings.positive,
        numbers=tuple(name for name in features if name not in categories),
        categories=categories,
        missing={name: _fill(missing.get(name, default)) for name in features},
        exclude=tuple(n for n in names if n not in {target, weight, *features}),
        unknown=settings.unknown,
        n=source.n,
    )


def present(path: str, wanted: Collection[str], names: Collection[str]) -> None:
    """Refuse names of columns that are not there."""
    missing = [name for name in dict.fromkeys(wanted) if name not in names]
    if missing:
        raise DataError(f"{path}: no column {listed(missing)}; there are {listed([*names])}")


def _categories(given: Categorical, path: str) -> dict[str, int | None]:
    kinds = given if isinstance(given, Mapping) else dict.fromkeys(given, "onehot")
    for name, kind in kinds.items():
        if kind != "onehot" and not (type(kind) is int and 0 < kind <= MOST_BUCKETS):
            raise DataError(
                f"{path}: column {name!r} is categorical as {kind!r}; it can be 'onehot', or a "
                f"number of buckets from 1 to {MOST_BUCKETS} to hash into"
            )
    return {name: kind if isinstance(kind, int) else None for name, kind in kinds.items()}


def _fill(value: str | float) -> str | float:
    if isinstance(value, str) and value not in ("error", "mean"):
        raise DataError(f"missing is 'error', 'mean' or a number, not {value!r}")
    if isinstance(value, str):
        return value
    if not abs(value) < float("inf"):
        raise DataError(f"missing is 'error', 'mean' or a finite number, not {value!r}")
    return float(value)
