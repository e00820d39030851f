"""Columns of categories: their levels, and rows as zeros and ones."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxlr.data.encoding import Category
from jaxlr.data.errors import DataError, GapError
from jaxlr.data.labels import gaps_in, texts
from jaxlr.data.sources import Batch

if TYPE_CHECKING:
    import pyarrow as pa


def buckets_of(levels: Sequence[str], buckets: int) -> np.ndarray:
    """Hash texts into buckets: CRC-32 (ISO 3309, as in zip) of the UTF-8 bytes, modulo buckets.

    Examples
    --------
    >>> buckets_of(["123456789"], 1 << 16)[0] == 0xCBF43926 % (1 << 16)
    np.True_
    """
    return np.array([zlib.crc32(level.encode()) % buckets for level in levels], np.int64)


def level_counts(batch: Batch, name: str) -> tuple[dict[str, int], np.ndarray]:
    """Count each level, and tell which rows have none (m,)."""
    column = _column(batch, name)
    gaps = gaps_in(column)
    counts = {pair["values"]: pair["counts"] for pair in column.value_counts().to_pylist()}
    return {level: count for level, count in counts.items() if level}, gaps


def write(batch: Batch, column: Category, unknown: str, out: np.ndarray) -> np.ndarray:
    """Write the features of a column of categories into out (m, levels); tell the gaps (m,)."""
    coded = _column(batch, column.name).dictionary_encode()
    levels = coded.dictionary.to_pylist()
    gaps = gaps_in(coded.dictionary_decode())
    if gaps.any() and not column.gaps:
        place = batch.place(column.name, int(np.argmax(gaps)), "has no value")
        raise GapError(place, column.name, "Fill in or drop such rows")
    if isinstance(column.levels, int):
        place = buckets_of(levels, column.levels)
    else:
        known = {level: j for j, level in enumerate(column.levels)}
        place = np.array([known.get(level, -1) for level in levels], np.int64)
    codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    feature = place[codes] if len(place) else np.zeros(len(codes), np.int64)
    strange = (feature < 0) & ~gaps
    if strange.any() and unknown == "error":
        i = int(np.argmax(strange))
        raise DataError(
            f"{batch.place(column.name, i, f'holds {levels[codes[i]]!r}')}, which was not there in "
            "training. Correct it, or let unknown categories be all zeros (unknown = ignore)"
        )
    out[:] = 0
    rows = np.flatnonzero((feature >= 0) & ~gaps)
    out[rows, feature[rows]] = 1
    return gaps


def _column(batch: Batch, name: str) -> "pa.Array":
    import pyarrow as pa

    column = batch.column(name)
    try:
        return texts(column)
    except pa.ArrowException as error:
        raise DataError(
            f"{batch.where.file}: column {name!r} of type {column.type} cannot be categorical: "
            f"leave it out (--exclude {name!r})"
        ) from error
