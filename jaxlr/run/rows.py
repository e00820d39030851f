"""The rows that a run's settings name: in memory where they fit, else as a stream."""

import numpy as np

from jaxlr import data, shard
from jaxlr.data import DataError, Dataset, Stream
from jaxlr.run.config import RunConfig
from jaxlr.run.hosts import load_own
from jaxlr.run.memory import STREAM_MEMORY, VALUE_BYTES, in_words, row_bytes
from jaxlr.run.parts import Tell, describe


def open_rows(config: RunConfig, tell: Tell, *, whole: str | None = None) -> Dataset | Stream:
    """Load the rows in float64, or open them as a stream where they need more than may be used.

    ``whole`` says why a stream will not do; then such rows are refused, before they are read where
    that shows without it.

    A large offset must not eat a column before it is standardised: hence float64. How much is
    needed is known for sure only after a read; where that was not clear before, the rows are read
    once more to be kept.

    Raises
    ------
    DataError
        If the data cannot be used.
    """
    if shard.host_count() > 1:
        with shard.together():
            own = load_own(config)
        tell(describe(own))
        return own
    limit = config.limit()
    if not data.is_built_in(config.data) and not _fits_surely(config, limit):
        memory = limit or STREAM_MEMORY
        settings = config.columns_settings()
        if whole and not _may_fit(config, limit):
            raise _too_large(config, limit, whole)
        stream = data.open_stream(config.data, dtype=np.float64, memory=memory // 2, **settings)
        needed = row_bytes(stream.n, stream.d)
        if needed > limit and whole:
            raise _too_large(config, limit, whole)
        if needed > limit:
            if config.dtype == "bfloat16-data":
                raise DataError(
                    f"{stream.path}: bfloat16-data is for rows in memory, and these need "
                    f"{in_words(needed)} and may take {in_words(limit)}. Allow more (--memory), or "
                    "stream them in float32 (--dtype float32)"
                )
            tell(
                f"data: {stream.name}, {stream.n} rows x {stream.d} features; streamed, for they "
                f"need {in_words(needed)} and may take {in_words(limit)} (--memory)"
            )
            return stream
    rows = data.load(config.data, dtype=np.float64, **config.columns_settings())
    tell(describe(rows))
    return rows


def load_rows(config: RunConfig, tell: Tell, *, why: str) -> Dataset:
    """Load the rows; refuse those that do not fit, saying ``why`` they must."""
    rows = open_rows(config, tell, whole=why)
    assert not isinstance(rows, Stream)
    return rows


def _too_large(config: RunConfig, limit: int, why: str) -> DataError:
    return DataError(
        f"{config.data}: {why}, and these rows are too large for {in_words(limit)}. "
        "Allow more (--memory), or use fewer columns or rows"
    )


def _may_fit(config: RunConfig, limit: int) -> bool:
    """Whether the rows fit as far as is known before they are read."""
    n, k = data.least_size(config.data, **config.columns_settings())
    return bool(limit) and row_bytes(n, k) <= limit


def _fits_surely(config: RunConfig, limit: int) -> bool:
    """Whether the rows fit whatever is in them."""
    if not limit or config.categorical:
        return False
    values = data.most_values(
        config.data, target=config.target, weight=config.weight, exclude=config.exclude
    )
    return 2 * values * VALUE_BYTES <= limit  # each column may get a mark of its gaps beside it
