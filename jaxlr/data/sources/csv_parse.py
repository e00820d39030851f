"""Text of a CSV file into columns; and, where that fails, at which row and why."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxlr.data.errors import DataError, is_number

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv


def parse(
    text: bytes,
    columns: Sequence[str] | None,
    types: "Mapping[str, pa.DataType]",
    on_ragged: "Callable[[csv.InvalidRow], str] | None" = None,
) -> "pa.RecordBatch":
    """Parse rows of known columns, and of these the ones that have a type; else guess the types.

    Raises
    ------
    pyarrow.ArrowException
        If the text is not what it should be.
    """
    import pyarrow as pa
    from pyarrow import csv

    known = columns is not None
    table = csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(
            use_threads=False, block_size=len(text) + 1, column_names=columns if known else None
        ),
        csv.ParseOptions(invalid_row_handler=on_ragged),
        csv.ConvertOptions(
            column_types=dict(types), include_columns=list(types) if known else None
        ),
    )
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


def sample_of(text: bytes, path: str) -> "pa.RecordBatch":
    """Parse the header and the rows below it as far as they are whole."""
    import pyarrow as pa

    try:
        return parse(text, None, {}, on_ragged=lambda _: "skip")
    except pa.ArrowException as error:
        raise DataError(f"{path}: not readable as CSV: {error}") from error


def explain(
    error: Exception,
    text: bytes,
    path: str,
    columns: Sequence[str],
    types: "Mapping[str, pa.DataType]",
    names: Sequence[str],
    before: int,
) -> DataError:
    """Find the row at which a piece of text fails; ``before`` rows come before the piece."""
    import pyarrow as pa

    ragged: list[csv.InvalidRow] = []

    def note(row: "csv.InvalidRow") -> str:
        ragged.append(row)
        return "skip"

    raw = parse(text, columns, dict.fromkeys(columns, pa.binary()), note)
    if ragged:
        row = ragged[0]
        return DataError(
            f"{path}: row {before + (row.number or 0)} has {row.actual_columns} values, but the "
            f"header names {row.expected_columns} columns: {row.text!r}. Is a quote or a comma "
            "missing?"
        )
    for name in names:
        for i, value in enumerate(raw.column(name).to_pylist()):
            where = f"in row {before + i + 1}"
            try:
                word = value.decode()
            except UnicodeDecodeError:
                return DataError(
                    f"{path}: column {name!r} is not UTF-8 {where}: save the file as UTF-8"
                )
            if word and pa.types.is_floating(types[name]) and not _reads_as_number(word):
                return DataError(
                    f"{path}: column {name!r} holds {word!r} {where}, no number, and the rows "
                    "above hold numbers. Turn it into one, make the column categorical, or leave "
                    f"it out (--exclude {name!r})"
                )
    return DataError(f"{path}: not readable as CSV below row {before}: {error}")


def _reads_as_number(word: str) -> bool:
    from pyarrow import csv

    nulls: Any = csv.ConvertOptions().null_values
    return word in nulls or (is_number(word) and "_" not in word)
