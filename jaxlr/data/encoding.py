"""What is learned from training rows about columns and labels: how any rows become numbers."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxlr.data.errors import DataError, listed

_FORMAT = "jaxlr encoding 1"


class Number(NamedTuple):
    """A column of numbers; ``fill`` (None: refuse) stands where there is no value.

    Where ``flagged``, a further feature is 1 for rows without a value, else 0.
    """

    name: str
    fill: float | None = None
    flagged: bool = False


class Category(NamedTuple):
    """A column of categories: one feature, 0 or 1, for each of the ``levels``.

    Where levels is a number, it is that of buckets: the feature of ``crc32(text) % levels`` is 1.
    Rows without a value are all 0, and, where ``flagged``, marked by a further feature; where
    ``gaps`` is false they are refused.
    """

    name: str
    levels: tuple[str, ...] | int
    gaps: bool = False
    flagged: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """Names of its features."""
        if isinstance(self.levels, int):
            return tuple(f"{self.name}#{bucket}" for bucket in range(self.levels))
        return tuple(f"{self.name}={level}" for level in self.levels)


class Labels(NamedTuple):
    """Names of labels 0 and 1, and how they stand in a file: as numbers, or None for as text.

    Where ``soft``, numbers between ``values`` are labels between 0 and 1.
    """

    names: tuple[str, str]
    values: tuple[float, float] | None = None
    soft: bool = False


class Encoding(NamedTuple):
    """How the columns of a source become X, y and weights; learned from training rows.

    Features come in this order: the numbers and the categories, each as in the file, then the
    marks of rows without a value. ``unknown`` says what a level does that was not there in
    training: ``"error"``, or ``"ignore"``, all zeros.

    Examples
    --------
    >>> numbers, cities = Number("age", fill=40.0, flagged=True), Category("city", ("Oslo", "Rom"))
    >>> encoding = Encoding((numbers,), (cities,), target="won", labels=Labels(("no", "yes")))
    >>> encoding.features
    ('age', 'city=Oslo', 'city=Rom', 'age:missing')
    >>> Encoding.from_json(encoding.to_json()) == encoding
    True
    """

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...] = ()
    target: str | None = None
    weight: str | None = None
    labels: Labels | None = None
    exclude: tuple[str, ...] = ()
    unknown: str = "error"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a source that features are made of."""
        return tuple(column.name for column in (*self.numbers, *self.categories))

    @property
    def flagged(self) -> tuple[str, ...]:
        """Columns whose gaps are marked by a feature."""
        return tuple(column.name for column in (*self.numbers, *self.categories) if column.flagged)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of X."""
        numbers = tuple(column.name for column in self.numbers)
        categories = tuple(name for column in self.categories for name in column.features)
        return (*numbers, *categories, *(f"{name}:missing" for name in self.flagged))

    @property
    def d(self) -> int:
        """Number of features."""
        width = sum(
            c.levels if isinstance(c.levels, int) else len(c.levels) for c in self.categories
        )
        return len(self.numbers) + width + len(self.flagged)

    def to_json(self) -> str:
        """Write as JSON."""
        return json.dumps(
            {
                "format": _FORMAT,
                "numbers": [column._asdict() for column in self.numbers],
                "categories": [column._asdict() for column in self.categories],
                "target": self.target,
                "weight": self.weight,
                "labels": None if self.labels is None else self.labels._asdict(),
                "exclude": self.exclude,
                "unknown": self.unknown,
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "Encoding":
        """Read what `to_json` wrote, and believe nothing.

        Raises
        ------
        DataError
            If it is anything else.
        """
        try:
            record = json.loads(text)
            encoding = _encoding(record)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(f"this is no encoding of columns: {error!r}") from error
        check(encoding, "the encoding")
        return encoding


def check(encoding: Encoding, where: str) -> None:
    """Refuse an encoding in which a name stands twice."""
    for names in (encoding.columns, encoding.features):
        if len({*names}) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DataError(
                f"{where}: several features are called {listed(twice)}: rename a column"
            )
    if not names:
        raise DataError(f"{where}: no column is left for the features")


def _encoding(record: Any) -> Encoding:
    if record.pop("format") != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT!r}")
    labels = record.pop("labels")
    fields = {
        "numbers": tuple(Number(**_typed(column, _NUMBER)) for column in record.pop("numbers")),
        "categories": tuple(_category(column) for column in record.pop("categories")),
        "labels": None if labels is None else _labels(labels),
        "exclude": _texts(record.pop("exclude")),
    }
    rest = _typed(record, {"target": (str, None), "weight": (str, None), "unknown": (str,)})
    if rest["unknown"] not in ("error", "ignore"):
        raise ValueError(f"unknown is {rest['unknown']!r}")
    return Encoding(**fields, **rest)


_NUMBER = {"name": (str,), "fill": (float, None), "flagged": (bool,)}
_LEVELS = {"name": (str,), "levels": (int, list), "gaps": (bool,), "flagged": (bool,)}


def _category(record: Any) -> Category:
    category = Category(**_typed(record, _LEVELS))
    if isinstance(category.levels, int):
        if not 0 < category.levels <= 1 << 24:
            raise ValueError(f"{category.levels} buckets")
        return category
    return category._replace(levels=_texts(category.levels))


def _labels(record: Any) -> Labels:
    fields = _typed(record, {"names": (list,), "values": (list, None), "soft": (bool,)})
    zero, one = _texts(fields["names"])
    if fields["values"] is None:
        return Labels((zero, one))
    low, high = (_typed({"value": v}, {"value": (float,)})["value"] for v in fields["values"])
    if low == high:
        raise ValueError("both labels have one value")
    return Labels((zero, one), (low, high), fields["soft"])


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{values!r} are no names")
    return tuple(values)


def _typed(record: Any, kinds: Mapping[str, tuple]) -> dict[str, Any]:
    """Take the fields of these types, no less and no more; numbers are finite."""
    if {*record} != {*kinds}:
        raise ValueError(f"it has the fields {sorted(record)}, not {sorted(kinds)}")
    typed = {}
    for name, allowed in kinds.items():
        value = record[name]
        if float in allowed and type(value) is int:
            value = float(value)
        wanted = type(None) if value is None and None in allowed else type(value)
        if wanted not in {*allowed, type(None)} or (value is None and None not in allowed):
            raise ValueError(f"{name} is {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        typed[name] = value
    return typed
