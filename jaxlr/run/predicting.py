"""Predictions for the rows of any source, in bounded memory."""

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxlr import data
from jaxlr.data import prefetch
from jaxlr.extras import extra
from jaxlr.run.folder import appearing
from jaxlr.run.model import Model

MEMORY = 1 << 26  # bytes
CSV, PARQUET = (".csv",), (".parquet", ".pq")


class Predictions(NamedTuple):
    """Some rows' probabilities of label 1 (m,), in float64, and their likelier labels (m,)."""

    probability: np.ndarray
    label: np.ndarray


def predictions(
    model: Model,
    source: str | Path,
    *,
    exclude: Collection[str] = (),
    unknown: str | None = None,
    memory: int = MEMORY,
) -> Iterator[Predictions]:
    """Predict the rows of a source, some at a time, in its order; a thread reads ahead.

    Parameters
    ----------
    model : Model
        Its encoding says how the source is read. Labels and weights may be missing there.
    source : str or Path
        What `jaxlr.data.open_stream` reads.
    exclude : collection of str, optional
        Further columns that are no features.
    unknown : {"error", "ignore"}, optional
        What becomes of categories that were not there in training; as the model has it, without.
    memory : int
        Bytes that the rows may take.

    Raises
    ------
    DataError
        If a row cannot be read, naming its file, column and row.
    """
    encoding = model.reading()
    if unknown is not None:
        encoding = encoding._replace(unknown=unknown)
    stream = data.open_stream(
        source, encoding=encoding, exclude=exclude, labelled=False, dtype=np.float64, memory=memory
    )
    names = np.array(model.labels)
    with closing(prefetch(stream.blocks())) as blocks:
        for block in blocks:
            a = model.probabilities(block.X)
            yield Predictions(a, names[(a >= 0.5).astype(np.int64)])


def write_predictions(
    parts: Iterator[Predictions], file: BinaryIO, *, as_parquet: bool = False
) -> int:
    """Write predictions as CSV with a header, or as Parquet; return how many rows there were."""
    with extra("data"):
        import pyarrow as pa
        from pyarrow import csv, parquet
    schema = pa.schema([("probability", pa.float64()), ("label", pa.string())])
    make: Callable[..., Any] = parquet.ParquetWriter if as_parquet else csv.CSVWriter
    n = 0
    with make(file, schema) as writer:
        for part in parts:
            writer.write_batch(pa.record_batch([pa.array(v) for v in part], schema=schema))
            n += len(part.label)
    return n


def is_parquet(out: Path) -> bool:
    """Whether predictions in a file of this name are Parquet, not CSV.

    Raises
    ------
    DataError
        If the name says neither.
    """
    if out.suffix.lower() not in (*CSV, *PARQUET):
        raise data.DataError(
            f"{out}: predictions are written as CSV or Parquet: choose a name that ends with .csv "
            "or .parquet (--out)"
        )
    return out.suffix.lower() in PARQUET


def predict_to(out: Path, parts: Iterator[Predictions]) -> int:
    """Write predictions to a file, which appears complete or not at all; return the row count.

    Raises
    ------
    DataError, RunFolderError
        If its name ends with neither .csv nor .parquet, or if it cannot be written.
    """
    as_parquet = is_parquet(out)
    with appearing(out) as file:
        return write_predictions(parts, file, as_parquet=as_parquet)
