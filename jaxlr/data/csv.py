"""CSV files with a header: their columns as numbers, and what is wrong with them, by place."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.dataset import DataError, Dataset
from jaxlr.extras import extra
from jaxlr.shard import aligned_empty

if TYPE_CHECKING:
    import pyarrow as pa

_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_csv(
    path: str | Path,
    *,
    target: str | None,
    exclude: Collection[str] = (),
    positive: str | None = None,
    dtype: DTypeLike = np.float32,
) -> Dataset:
    """Read labelled rows from a CSV file with a header; as `load`."""
    table = _read_table(path, ignore=exclude)
    names = table.column_names
    if target is None:
        raise DataError(f"{path}: name the column of the labels (--target), one of {_list(names)}")
    _check_present([target, *exclude], names, path)
    if target in exclude:
        raise DataError(f"{path}: the target {target!r} cannot be excluded")
    features = [name for name in names if name != target and name not in exclude]
    if not features:
        raise DataError(f"{path}: no column is left for the features")
    y, labels = _labels(table, target, positive, path)
    return Dataset(
        _matrix(table, features, path, dtype),
        y.astype(dtype),
        tuple(features),
        labels,
        Path(path).stem,
    )


def read_features(
    path: str | Path,
    features: Sequence[str],
    *,
    ignore: Collection[str] = (),
    dtype: DTypeLike = np.float64,
) -> np.ndarray:
    """Read the named columns of a CSV file, in that order: X (n, d).

    Raises
    ------
    DataError
        If one of the columns is missing, or another is there that is not in ``ignore``.
    """
    table = _read_table(path, ignore=ignore)
    _check_present(features, table.column_names, path)
    unknown = [name for name in table.column_names if name not in {*features, *ignore}]
    if unknown:
        raise DataError(
            f"{path}: the model does not know the columns {_list(unknown)}. If they are no "
            "features, exclude them (--exclude)"
        )
    return _matrix(table, features, path, dtype)


def _read_table(path: str | Path, *, ignore: Collection[str]) -> "pa.Table":
    with extra("data"):
        import pyarrow as pa
        from pyarrow import csv
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file (the built-in data set is called breast_cancer)")
    try:
        _check_first_line(path)
        table = csv.read_csv(path)
    except pa.ArrowException:
        table = _read_table_again(path)
    except OSError as error:
        raise DataError(f"{path}: not readable: {error.strerror}") from error
    _check_header(_column_names(table, path), ignore, path)
    if table.num_rows == 0:
        raise DataError(f"{path}: there is no row below the header")
    return table


def _check_first_line(path: str | Path) -> None:
    """Refuse what reads as one column only because it is no CSV file in UTF-8."""
    with Path(path).open("rb") as file:
        line = file.readline(1 << 16)
    if line.startswith(_BYTE_ORDER_MARKS) or b"\0" in line:
        raise DataError(f"{path}: this is UTF-16, or no text: save the file as CSV in UTF-8")
    for separator, name in ((b";", "semicolons"), (b"\t", "tabs")):
        if separator in line and b"," not in line:
            raise DataError(
                f"{path}: the columns of the header are separated by {name}: save the file with "
                "commas (and with points in its numbers)"
            )


def _check_header(names: list[str], ignore: Collection[str], path: str | Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: these column names stand in the header twice: {_list(twice)}")
    if all(_is_number(name) for name in names):
        raise DataError(f"{path}: the first line must name the columns, and holds only numbers")
    nameless = [i + 1 for i, name in enumerate(names) if not name and name not in ignore]
    if nameless:
        raise DataError(
            f"{path}: column {nameless[0]} has no name. If it only counts the rows, as the index "
            "that pandas writes does, leave it out (--exclude ''); else name it"
        )


def _read_table_again(path: str | Path) -> "pa.Table":
    """Read a file that could not be read in one thread, which counts rows, to say where."""
    import pyarrow as pa
    from pyarrow import csv

    ragged: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    one_thread = csv.ReadOptions(use_threads=False)
    try:
        return csv.read_csv(
            path, read_options=one_thread, parse_options=csv.ParseOptions(invalid_row_handler=note)
        )
    except pa.ArrowException as error:
        if not ragged:
            raise DataError(f"{path}: not readable as CSV: {error}") from error
        row = ragged[0]  # numbered with the header as 1
        raise DataError(
            f"{path}: row {row.number - 1} has {row.actual_columns} values, but the header names "
            f"{row.expected_columns} columns: {row.text!r}. Is a quote or a comma missing?"
        ) from error


def _column_names(table: "pa.Table", path: str | Path) -> list[str]:
    import pyarrow as pa

    try:
        names = table.column_names
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the header is not UTF-8: save the file as UTF-8") from error
    for i, name in enumerate(names):
        if pa.types.is_binary(table.column(i).type):
            raise DataError(f"{path}: column {name!r} is not UTF-8: save the file as UTF-8")
    return names


def _matrix(
    table: "pa.Table", features: Sequence[str], path: str | Path, dtype: DTypeLike
) -> np.ndarray:
    X = aligned_empty((table.num_rows, len(features)), dtype)
    for j, name in enumerate(features):
        with np.errstate(over="ignore"):
            X[:, j] = _numbers(table, name, path)
        if not np.isfinite(X[:, j]).all():
            row = int(np.argmin(np.isfinite(X[:, j])))
            value = table.column(name)[row].as_py()
            raise DataError(
                f"{path}: column {name!r} is {value} in row {row + 1}, not finite as {X.dtype}"
            )
    return X


def _numbers(table: "pa.Table", name: str, path: str | Path) -> np.ndarray:
    import pyarrow as pa

    column = table.column(name)
    leave_out = f", or leave the column out (--exclude {name!r})"
    _check_no_gap(table, name, path, leave_out)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        values = column.to_pylist()
        row = next((i for i, value in enumerate(values) if not _is_number(value)), 0)
        raise DataError(
            f"{path}: column {name!r} holds {str(values[row])!r} in row {row + 1}, no number. "
            f"Turn it into numbers{leave_out}"
        )
    return column.to_numpy()


def _labels(
    table: "pa.Table", target: str, positive: str | None, path: str | Path
) -> tuple[np.ndarray, tuple[str, str]]:
    import pyarrow as pa

    _check_no_gap(table, target, path)
    column = table.column(target)
    where = f"{path}: column {target!r}"
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        values = column.to_numpy()
        inside = np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
        if inside and values.min() < values.max():  # 0 and 1, or soft labels between them
            return orient(values.astype(np.float64), ("0", "1"), positive, where)
    found = sorted(column.unique().to_pylist())
    if len(found) == 1:
        raise DataError(f"{where} is {found[0]!r} in every row: there is nothing to learn")
    if len(found) != 2:
        raise DataError(
            f"{where} holds {len(found)} different labels ({_list(found)}). Two are needed, or "
            "numbers between 0 and 1"
        )
    y = np.array([value == found[1] for value in column.to_pylist()], np.float64)
    # As CSV files spell them: true, not True.
    zero, one = (str(v).lower() if isinstance(v, bool) else str(v) for v in found)
    return orient(y, (zero, one), positive, where)


def orient(
    y: np.ndarray, labels: tuple[str, str], positive: str | None, where: str
) -> tuple[np.ndarray, tuple[str, str]]:
    """Turn labels round where ``positive`` asks for it."""
    if positive is None or positive == labels[1]:
        return y, labels
    if positive == labels[0]:
        return 1 - y, (labels[1], labels[0])
    raise DataError(f"{where} has the labels {_list(labels)}, and no {positive!r} (--positive)")


def _check_no_gap(table: "pa.Table", name: str, path: str | Path, otherwise: str = "") -> None:
    column = table.column(name)
    gaps = np.flatnonzero(column.is_null().to_numpy())
    if column.type == "string":
        gaps = np.flatnonzero([value is None or value == "" for value in column.to_pylist()])
    if len(gaps):
        raise DataError(
            f"{path}: column {name!r} has no value in row {gaps[0] + 1} ({len(gaps)} of "
            f"{table.num_rows} rows). Fill in or drop such rows{otherwise}"
        )


def _check_present(wanted: Sequence[str], names: Sequence[str], path: str | Path) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(f"{path}: no column {_list(missing)}; there are {_list(names)}")


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _list(names: Sequence[object], most: int = 12) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
