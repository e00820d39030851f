"""The read of a stream before a run: it counts, checks, measures, and takes the fingerprint."""

from contextlib import closing

import numpy as np

from jaxlr.data import Block, DataError, Dataset, Division, Stream, chunk_rows_in, prefetch
from jaxlr.data.learner import usable_scale
from jaxlr.data.moments import Moments
from jaxlr.run.config import RunConfig
from jaxlr.run.fingerprint import Digests
from jaxlr.run.memory import STREAM_MEMORY
from jaxlr.run.parts import ROWS_CHECKED, Tell, check_weights, describe_labels, tell_split
from jaxlr.run.streamed.parts import NAMES, StreamedParts


def survey(
    stream: Stream,
    config: RunConfig,
    tell: Tell,
    *,
    validation_fraction: float = 0.0,
) -> StreamedParts:
    """Read a stream, in float64, once; divide its rows as ``config`` says, without holding them.

    Raises
    ------
    DataError
        If a part has no row of positive weight, or the training rows have one label only.
    """
    division = Division(config.seed, validation_fraction, config.test_fraction)
    memory = config.limit() or STREAM_MEMORY
    chunk_rows = chunk_rows_in(memory // 2, stream.d, np.dtype(config.dtype).itemsize)
    surveyor = _Surveyor(stream, division, chunk_rows, config.seed)
    with closing(prefetch(stream.blocks())) as blocks:
        for block in blocks:
            surveyor.add(block)
    surveyor.check()
    mean, scale = surveyor.moments(standardize=config.standardize)
    parts = StreamedParts(
        stream=stream.in_type(config.dtype, memory // 2),
        division=division,
        rows=surveyor.rows(),
        counts=surveyor.counts,
        chunk_rows=chunk_rows,
        mean=mean,
        scale=scale,
        checked=surveyor.sample().rows(
            np.arange(surveyor.sample_size()), mean=mean, scale=scale, dtype=config.dtype
        ),
        fingerprint=surveyor.digests.fingerprint(stream.features, stream.labels),
        memory=memory,
    )
    tell(surveyor.describe())
    tell_split(parts.sizes(), tell)
    return parts


class _Surveyor:
    """What is known of the rows so far."""

    def __init__(self, stream: Stream, division: Division, chunk_rows: int, seed: int) -> None:
        self.stream, self.division, self.chunk_rows = stream, division, chunk_rows
        self.digests, self.total = Digests(), Moments(stream.d)
        self.counts = np.zeros(-(-stream.n // chunk_rows), np.int64)
        self.parts, self.used = np.zeros(3, np.int64), np.zeros(3, np.int64)
        self.labels, self.trained = np.zeros(3, np.int64), np.zeros(3, np.int64)  # 0, 1, between
        self.largest = 0.0
        rng = np.random.default_rng(seed)
        self.wanted = np.sort(rng.choice(stream.n, min(stream.n, ROWS_CHECKED), replace=False))
        self.found: list[Block] = []

    def add(self, block: Block) -> None:
        X, y, s, start = block
        assert y is not None
        self.digests.add(X, y, s)
        codes = self.division.codes(start, len(X))
        positive = np.ones(len(X), bool) if s is None else s > 0
        train = codes == 0
        self.total.add(X if self.division.is_whole else X[train]) if train.any() else None
        self.parts += np.bincount(codes, minlength=3)
        self.used += np.bincount(codes[positive], minlength=3)
        used = start + np.flatnonzero(train & positive)
        self.counts += np.bincount(used // self.chunk_rows, minlength=len(self.counts))
        kinds = np.where(y == 0, 0, np.where(y == 1, 1, 2))
        self.labels += np.bincount(kinds, minlength=3)
        self.trained += np.bincount(kinds[train & positive], minlength=3)
        self.largest = max(self.largest, 1.0 if s is None else float(s.max()))
        here = self.wanted[(self.wanted >= start) & (self.wanted < start + len(X))] - start
        here = here[train[here] & positive[here]]
        if len(here):
            self.found.append(Block(X[here], y[here], None if s is None else s[here], start))

    def check(self) -> None:
        name = self.stream.name
        shares = (1.0, self.division.validation, self.division.test)
        for part, share, used in zip(NAMES, shares, self.used.tolist(), strict=True):
            if share and not used:
                raise DataError(
                    f"{name}: {self.stream.n} rows leave none of a weight above 0 for the part "
                    f"{part!r}. Use more rows, or other shares"
                )
        zeros, ones, between = self.trained.tolist()
        if not between and not (zeros and ones):
            label = self.stream.labels[1 if ones else 0]
            raise DataError(
                f"{name}: all training rows of a weight above 0 have the label {label!r}: there is "
                "nothing to learn. Use more rows, or hold out fewer"
            )
        check_weights(np.array([self.largest]), name)

    def moments(self, *, standardize: bool) -> tuple[np.ndarray, np.ndarray]:
        if not standardize:
            return np.zeros(self.stream.d), np.ones(self.stream.d)
        mean, scale = self.total.mean(), self.total.scale()
        return mean, usable_scale(mean, scale, self.stream.features, self.stream.path)

    def rows(self) -> tuple[int, int, int]:
        train, validation, test = self.parts.tolist()
        return train, validation, test

    def sample_size(self) -> int:
        return sum(len(block.X) for block in self.found)

    def sample(self) -> Dataset:
        stream = self.stream
        X = np.concatenate([b.X for b in self.found] or [np.zeros((0, stream.d))])
        y = np.concatenate([b.y for b in self.found if b.y is not None] or [np.zeros(0)])
        return Dataset(X, y, stream.features, stream.labels, stream.name)

    def describe(self) -> str:
        *counts, soft = self.labels.tolist()
        return f"labels: {describe_labels(self.stream.labels, counts, soft=soft)}"
