"""The read of a stream before a run: it counts, checks, measures, and takes the fingerprint."""

from contextlib import closing

import numpy as np

from jaxlr.data import Block, Dataset, Division, Stream, chunk_rows_in, prefetch
from jaxlr.data.learner import usable_scale
from jaxlr.data.moments import Moments
from jaxlr.run.config import RunConfig
from jaxlr.run.fingerprint import Digests
from jaxlr.run.memory import STREAM_MEMORY
from jaxlr.run.parts import ROWS_CHECKED, Tell, tell_split
from jaxlr.run.streamed.counts import Counts
from jaxlr.run.streamed.parts import StreamedParts


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
    surveyor.seen.check()
    mean, scale = surveyor.moments(standardize=config.standardize)
    parts = StreamedParts(
        stream=stream.in_type(config.dtype, memory // 2),
        division=division,
        rows=surveyor.seen.rows(),
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
    tell(surveyor.seen.describe())
    tell_split(parts.sizes(), tell)
    return parts


def whole(stream: Stream, config: RunConfig) -> StreamedParts:
    """Take all rows of a stream for a fit, as the read that learned its columns has them.

    Nothing is read: the moments are known, and `Counted` checks the rows when they are first read.
    There is neither a fingerprint nor a sample, which only a training needs.
    """
    memory = config.limit() or STREAM_MEMORY
    d = stream.d
    mean, scale = stream.moments() if config.standardize else (np.zeros(d), np.ones(d))
    none = Dataset(np.zeros((0, d)), np.zeros(0), stream.features, stream.labels, stream.name)
    return StreamedParts(
        stream=stream.in_type(config.dtype, memory // 2),
        division=Division(),
        rows=(stream.n, 0, 0),
        counts=np.zeros(0, np.int64),
        chunk_rows=1,
        mean=mean,
        scale=scale,
        checked=none,
        fingerprint={},
        memory=memory,
    )


class _Surveyor:
    """What is known of the rows so far."""

    def __init__(self, stream: Stream, division: Division, chunk_rows: int, seed: int) -> None:
        self.stream, self.division, self.chunk_rows = stream, division, chunk_rows
        self.seen = Counts(stream, division)
        self.digests, self.total = Digests(stream.n), Moments(stream.d)
        self.counts = np.zeros(-(-stream.n // chunk_rows), np.int64)
        rng = np.random.default_rng(seed)
        self.wanted = np.sort(rng.choice(stream.n, min(stream.n, ROWS_CHECKED), replace=False))
        self.found: list[Block] = []

    def add(self, block: Block) -> None:
        X, y, s, start = block
        assert y is not None
        self.digests.add(X, y, s)
        train, positive = self.seen.add(block)
        self.total.add(X if self.division.is_whole else X[train]) if train.any() else None
        used = start + np.flatnonzero(train & positive)
        self.counts += np.bincount(used // self.chunk_rows, minlength=len(self.counts))
        here = self.wanted[(self.wanted >= start) & (self.wanted < start + len(X))] - start
        here = here[train[here] & positive[here]]
        if not (len(here) or self.found):  # where few rows have a weight, one of them at least
            here = np.flatnonzero(train & positive)[:1]
        if len(here):
            self.found.append(Block(X[here], y[here], None if s is None else s[here], start))

    def moments(self, *, standardize: bool) -> tuple[np.ndarray, np.ndarray]:
        if not standardize:
            return np.zeros(self.stream.d), np.ones(self.stream.d)
        mean, scale = self.total.mean(), self.total.scale()
        return mean, usable_scale(mean, scale, self.stream.features, self.stream.path)

    def sample_size(self) -> int:
        return sum(len(block.X) for block in self.found)

    def sample(self) -> Dataset:
        stream = self.stream
        X = np.concatenate([b.X for b in self.found] or [np.zeros((0, stream.d))])
        y = np.concatenate([b.y for b in self.found if b.y is not None] or [np.zeros(0)])
        s = np.concatenate([b.weight for b in self.found if b.weight is not None] or [np.zeros(0)])
        weight = s if len(s) else None
        return Dataset(X, y, stream.features, stream.labels, stream.name, weight)
