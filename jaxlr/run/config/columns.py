"""What the columns of a source are, as every command that reads one is told."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ColumnSettings:
    """What the columns are: the labels, the weights, the features and their kinds."""

    target: str | None = None
    """Column of the labels; needed for CSV, Parquet and npy. Columns of npy and npz are called x0,
    x1 and so on, or as an array features in the npz says; its array y holds labels. Beside an npy,
    a second npy file may hold them: name that."""
    positive: str | None = None
    """The label to predict, label 1. Without it: the later label in sorted order."""
    weight: str | None = None
    """Column of weights, 0 or more: a row counts that many times, in the loss and in metrics."""
    columns: tuple[str, ...] = ()
    """Columns that may be features. Without it: all."""
    exclude: tuple[str, ...] = ()
    """Columns that are no features."""
    categorical: tuple[str, ...] = ()
    """Columns of categories, a feature for each level; or COLUMN=BUCKETS, to hash them."""
    missing: str | float = "error"
    """What stands where a value is missing: mean, or a number; error: such rows are refused."""

    def columns_settings(self) -> dict[str, Any]:
        """Say what the columns are, as `jaxlr.data` takes them."""
        return {
            "target": self.target,
            "positive": self.positive,
            "weight": self.weight,
            "columns": self.columns or None,
            "exclude": self.exclude,
            "categorical": dict(map(_category, self.categorical)),
            "missing": check_missing(self.missing),
        }


def check_missing(value: str | float) -> str | float:
    """Return what stands where a value is missing; raise ValueError if it is nothing to stand."""
    if value in ("error", "mean"):
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"missing is {value!r}: it must be error, mean or a number")
    return number


def _category(text: str) -> tuple[str, str | int]:
    """Column of categories, and its number of buckets or "onehot"."""
    name, is_hashed, buckets = text.rpartition("=")
    return (name, int(buckets)) if is_hashed and buckets.isdecimal() else (text, "onehot")
