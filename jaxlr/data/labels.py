"""Labels: which two there are, which of them is 1, and a column of them as y."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxlr.data.encoding import Labels
from jaxlr.data.errors import DataError, GapError, listed
from jaxlr.data.sources import Batch

if TYPE_CHECKING:
    import pyarrow as pa

_MOST = 20  # different labels that are remembered, to be named where there are too many


class LabelLearner:
    """Which labels a column holds, from batches of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._texts: set[str] = set()
        self._values: set[float] = set()
        self._within = True  # so far only numbers in [0, 1]

    def add(self, batch: Batch) -> None:
        """Look at further rows."""
        column = read(batch, self.name)
        if isinstance(column, np.ndarray):
            self._within &= bool(column.min() >= 0 and column.max() <= 1)
            if len(self._values) < _MOST or not self._within:
                self._values |= {*np.unique(column).tolist()[: _MOST + 1]}
        else:
            self._texts |= {*column.unique().to_pylist()}
        self._refuse_many(batch.where.file)

    def found(self) -> dict[str, Any]:
        """Give what is known so far, as JSON has it."""
        return {"texts": [*self._texts], "values": [*self._values], "within": self._within}

    def merge(self, found: dict[str, Any], path: str) -> None:
        """Add what is known of other rows."""
        self._texts |= {*found["texts"]}
        self._values |= {*found["values"]}
        self._within &= found["within"]
        self._refuse_many(path)

    def finish(self, path: str, positive: str | None) -> Labels:
        """Decide; ``positive`` is the label to be 1, the later one in sorted order without it."""
        if self._texts and self._values:
            raise DataError(f"{path}: column {self.name!r} holds text in some files, else numbers")
        found = sorted(self._texts or self._values)
        if len(found) == 1:
            what = repr(found[0]) if self._texts else _word(found[0])
            raise DataError(
                f"{path}: column {self.name!r} is {what} in every row: there is nothing to learn"
            )
        if self._values and self._within:
            labels = Labels(("0", "1"), (0.0, 1.0), soft=True)
        elif len(found) == 2:
            zero, one = found
            values = (float(zero), float(one)) if self._values else None
            labels = Labels((_word(zero), _word(one)), values)
        else:
            raise self._not_two(path)
        return orient(labels, positive, f"{path}: column {self.name!r}")

    def _refuse_many(self, path: str) -> None:
        found = len(self._texts or self._values)
        if found > _MOST and (self._texts or not self._within):
            raise self._not_two(path)

    def _not_two(self, path: str) -> DataError:
        found = sorted(self._texts or self._values)
        names = found if self._texts else [float(_word(value)) for value in found]
        shown = [int(v) if isinstance(v, float) and v.is_integer() else v for v in names]
        number = f"more than {_MOST}" if len(found) > _MOST else len(found)
        return DataError(
            f"{path}: column {self.name!r} holds {number} different labels ({listed(shown)}). Two "
            "are needed, or numbers between 0 and 1"
        )


def orient(labels: Labels, positive: str | None, where: str) -> Labels:
    """Turn labels round where ``positive`` asks for it."""
    names = labels.names
    if positive is None or positive == names[1]:
        return labels
    if positive == names[0]:
        values = None if labels.values is None else labels.values[::-1]
        return labels._replace(names=names[::-1], values=values)
    raise DataError(f"{where} has the labels {listed(names)}, and no {positive!r} (--positive)")


def to_y(batch: Batch, name: str, labels: Labels) -> np.ndarray:
    """Labels of a batch as numbers in [0, 1]: y (m,) in float64."""
    column = read(batch, name)
    if isinstance(column, np.ndarray) and labels.values is not None:
        zero, one = labels.values
        with np.errstate(over="ignore"):
            y = column if (zero, one) == (0, 1) else (column - zero) / (one - zero)
        right = (y >= 0) & (y <= 1) if labels.soft else (column == zero) | (column == one)
    elif isinstance(column, np.ndarray) or labels.values is not None:
        raise DataError(
            f"{batch.where.file}: column {name!r} holds "
            f"{'numbers' if labels.values is None else 'text'}, and the labels are "
            f"{listed(labels.names)} as {'text' if labels.values is None else 'numbers'}"
        )
    else:
        zero, one = (_equal(column, label) for label in labels.names)
        y, right = one.astype(np.float64), zero | one
    if not right.all():
        i = int(np.argmin(right))
        value = column[i] if isinstance(column, np.ndarray) else column[i].as_py()
        kinds = "a number between 0 and 1" if labels.soft else f"one of {listed(labels.names)}"
        raise DataError(f"{batch.place(name, i, f'holds {str(value)!r}')}, which is not {kinds}")
    return y


def read(batch: Batch, name: str) -> "np.ndarray | pa.Array":
    """Read a column without gaps: numbers in float64, or text; booleans as CSV files spell them."""
    import pyarrow as pa

    column = batch.column(name)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.string())
    number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    refuse_gaps(batch, name, column, "Fill in or drop such rows")
    if number:
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        if not np.isfinite(values).all():
            i = int(np.argmin(np.isfinite(values)))
            if np.isnan(values[i]):
                place = batch.place(name, i, "has no value")
                raise GapError(place, name, "Fill in or drop such rows")
            raise DataError(f"{batch.place(name, i, f'is {values[i]}')}, which is no label")
        return values
    return texts(column)


def texts(column: "pa.Array") -> "pa.Array":
    """Values as text, as they are spelled in CSV files."""
    import pyarrow as pa

    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def gaps_in(column: "pa.Array") -> np.ndarray:
    """Which rows have no value; an empty text is none."""
    gaps = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    if str(column.type).endswith("string"):
        return gaps | _equal(column, "")
    return gaps


def _equal(column: "pa.Array", value: str) -> np.ndarray:
    import pyarrow.compute

    compute: Any = pyarrow.compute  # its functions are made at run time
    return compute.equal(column, value).fill_null(False).to_numpy(zero_copy_only=False)


def refuse_gaps(batch: Batch, name: str, column: "pa.Array", advice: str) -> None:
    """Refuse a column in which a row has no value."""
    if column.null_count or str(column.type).endswith("string"):
        gaps = gaps_in(column)
        if gaps.any():
            raise GapError(batch.place(name, int(np.argmax(gaps)), "has no value"), name, advice)


def _word(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() and abs(value) < 1 << 53 else repr(value)
