"""Rows that pyarrow read: columns into rows, and which value is no number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxlr.data.errors import DataError, is_number
from jaxlr.data.sources.base import Batch, Where

if TYPE_CHECKING:
    import pyarrow as pa


class TableBatch(Batch):
    """Rows of a CSV or Parquet file."""

    def __init__(self, rows: "pa.RecordBatch", where: Where) -> None:
        self.rows, self.where = rows, where
        self._arrays: dict[str, np.ndarray] = {}

    def numbers(self, names: Sequence[str], rows: slice, out: np.ndarray) -> None:
        """Write columns as rows. With few rows at a time, what is written stays in the cache."""
        for j, name in enumerate(names):
            array = self._arrays.get(name)
            if array is None:
                array = self._arrays[name] = self._array(name)
            out[:, j] = array[rows]

    def column(self, name: str) -> "pa.Array":
        """Give one column, with its values written out."""
        import pyarrow as pa

        column = self.rows.column(name)
        if isinstance(column, pa.DictionaryArray):
            return column.dictionary_decode()
        return column

    def pick(self, index: slice | np.ndarray) -> "TableBatch":
        """Take some of the rows."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            return TableBatch(self.rows.slice(start, stop - start), self.where.pick(index))
        return TableBatch(self.rows.take(index), self.where.pick(index))

    def _array(self, name: str) -> np.ndarray:
        import pyarrow as pa

        column = self.column(name)
        kind = column.type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.uint8())
        elif pa.types.is_decimal(kind) or pa.types.is_null(kind):
            column = column.cast(pa.float64())
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise self._no_number(name, column)
        return column.to_numpy(zero_copy_only=False)

    def _no_number(self, name: str, column: "pa.Array") -> DataError:
        values = column.to_pylist()
        found = (i for i, value in enumerate(values) if value is not None and not is_number(value))
        i = next(found, 0)
        return DataError(
            self.place(name, i, f"holds {str(values[i])!r}")
            + ", no number. Turn it into numbers, make the column categorical, or leave it out "
            f"(--exclude {name!r})"
        )
