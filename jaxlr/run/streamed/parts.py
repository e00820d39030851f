"""The parts of a stream: which rows are whose, and how they are standardised."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxlr.core import Params
from jaxlr.data import Block, Dataset, Division, Stream, StreamedPart, prefetch
from jaxlr.run.config import RunConfig
from jaxlr.run.model import Model
from jaxlr.run.parts import model_of
from jaxlr.run.scoring import ROW_BYTES, Scoring, score_blocks

TRAIN, VALIDATION, TEST = NAMES = ("train", "validation", "test")


class StreamedParts(NamedTuple):
    """Rows of a stream in the run's type, and what a survey of them told.

    ``rows`` counts those of each part; ``counts`` those training rows with a positive weight in
    each chunk of ``chunk_rows`` rows; ``checked`` are some training rows, standardised.
    ``mean`` and ``scale`` (d,) are those of the training rows.
    """

    stream: Stream
    division: Division
    rows: tuple[int, int, int]
    counts: np.ndarray
    chunk_rows: int
    mean: np.ndarray
    scale: np.ndarray
    checked: Dataset
    fingerprint: dict[str, Any]
    memory: int

    @property
    def d(self) -> int:
        """Number of features."""
        return self.stream.d

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows."""
        return self.division.validation > 0

    def part(self, name: str) -> StreamedPart:
        """Give the rows of one part."""
        return StreamedPart(self.stream, self.division, NAMES.index(name), self.mean, self.scale)

    def sample(self, rng: np.random.Generator) -> Dataset:
        """Give some of the training rows."""
        del rng  # they were drawn while the rows passed by
        return self.checked

    def sizes(self) -> dict[str, int]:
        """Rows in each part there is."""
        return {name: n for name, n in zip(NAMES, self.rows, strict=True) if n}

    def model(self, params: Params, config: RunConfig) -> Model:
        """Make the model of raw features out of parameters for these."""
        return model_of(params, self.mean, self.scale, self.stream, config)

    def loss_at(self, params: Params) -> float:
        """Loss (nats) on the validation rows, in one read of the file."""
        scoring = Scoring(keeps=False)
        score_blocks(params, self._coded(), {NAMES.index(VALIDATION): scoring})
        loss = scoring.finish()["loss"]
        assert loss is not None
        return loss

    def evaluate(self, params: Params) -> dict[str, Any]:
        """Say how good parameters are on each part, in one read of the file.

        Where scores of all rows take more than the rows may, there is no area under the ROC curve.
        """
        keeps = sum(self.rows) * ROW_BYTES <= self.memory
        there = {i: Scoring(keeps=keeps) for i, n in enumerate(self.rows) if n}
        score_blocks(params, self._coded(), there)
        return {name: there[i].finish() if i in there else None for i, name in enumerate(NAMES)}

    def _coded(self) -> Iterator[tuple[Block, np.ndarray]]:
        """All rows, and the part of each."""
        everyone = StreamedPart(self.stream, Division(), 0, self.mean, self.scale)
        for block in prefetch(everyone.even_blocks()):
            m = min(len(block.X), sum(self.rows) - block.start)
            yield block, self.division.codes(block.start, m)
