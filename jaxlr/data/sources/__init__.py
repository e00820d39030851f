"""Rows out of files of any format that is read: `open_source`."""

from collections.abc import Collection, Sequence
from pathlib import Path

from jaxlr.data.errors import DataError
from jaxlr.data.sources import arrays, csv, parquet, svmlight
from jaxlr.data.sources.base import Batch, Source, Where
from jaxlr.data.sources.places import is_folder, is_url

__all__ = ["FORMATS", "Batch", "Source", "Where", "is_url", "open_source"]

_ENDINGS = {
    "csv": csv.ENDINGS,
    "parquet": parquet.ENDINGS,
    "npy": (".npy",),
    "npz": (".npz",),
    "libsvm": svmlight.ENDINGS,
}
FORMATS = tuple(_ENDINGS)


def open_source(
    path: str | Path,
    form: str | None = None,
    *,
    target: str | None = None,
    weight: str | None = None,
    ignore: Collection[str] = (),
    columns: Sequence[str] | None = None,
) -> Source:
    """Open a file, or a folder of Parquet files, of a format that its ending tells.

    Parameters
    ----------
    path : str or Path
        A URL of fsspec too, for CSV and Parquet.
    form : str, optional
        One of ``FORMATS``. Without it, what the ending says; CSV, if it says nothing.
    target, weight : str, optional
        Only looked at where they may be files, beside an npy file.
    ignore : collection of str
        Columns that may go without a name.
    columns : sequence of str, optional
        The columns of a model, for a format that writes no zeros.

    Raises
    ------
    DataError
        If there is no such file, or it is not what it should be.
    """
    form = _form(path) if form is None else form
    source = _opened(path, form, target, weight, ignore, columns)
    source.note_files()
    return source


def _opened(
    path: str | Path,
    form: str,
    target: str | None,
    weight: str | None,
    ignore: Collection[str],
    columns: Sequence[str] | None,
) -> Source:
    if form == "csv":
        return csv.CsvSource(path, ignore)
    if form == "parquet":
        return parquet.ParquetSource(path)
    if form in ("npy", "npz"):
        return arrays.ArraySource(path, target=target, weight=weight)
    if form == "libsvm":
        return svmlight.SvmlightSource(path, columns)
    raise DataError(f"{path}: no format {form!r}; there are {', '.join(FORMATS)}")


def _form(path: str | Path) -> str:
    name = str(path).lower().rstrip("/")
    for form, endings in _ENDINGS.items():
        if name.endswith(endings):
            return form  # also of a folder: Spark writes folders called rows.parquet
    return "parquet" if is_folder(path) else "csv"
