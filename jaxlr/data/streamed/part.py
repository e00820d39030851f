"""One part of a stream's rows, block by block; rows of other parts weigh nothing."""

from collections.abc import Generator

import numpy as np

from jaxlr.data.stream import Block, Stream
from jaxlr.data.streamed.division import Division
from jaxlr.shard import aligned_empty


class StreamedPart:
    """Rows of a stream as ``(x - mean) / scale``, of which those with ``code`` count."""

    def __init__(
        self,
        stream: Stream,
        division: Division,
        code: int,
        mean: np.ndarray | float = 0.0,
        scale: np.ndarray | float = 1.0,
    ) -> None:
        self.stream, self.division, self.code = stream, division, code
        self.mean, self.scale = mean, scale

    def blocks(self) -> Generator[Block]:
        """Read all rows; those of other parts have weight 0. Without any such, weights may be None.

        Raises
        ------
        DataError
            As `Stream.blocks`.
        """
        for block in self.stream.blocks(mean=self.mean, scale=self.scale):
            yield block if self.division.is_whole else self._weighed(block)

    def even_blocks(self) -> Generator[Block]:
        """Read all rows in blocks of one size, with weights; what fills the last one weighs 0."""
        m = self.stream.block_rows
        for block in self.blocks():
            dtype = block.X.dtype
            weight = np.ones(len(block.X), dtype) if block.weight is None else block.weight
            yield block._replace(
                X=_filled(block.X, m), y=_filled(block.y, m), weight=_filled(weight, m)
            )

    def numbers(self, start: int, stop: int) -> np.ndarray:
        """Numbers of the part's rows from ``start`` on, below ``stop``."""
        return start + np.flatnonzero(self.division.codes(start, stop - start) == self.code)

    def _weighed(self, block: Block) -> Block:
        ours = self.division.codes(block.start, len(block.X)) == self.code
        weight = ours.astype(block.X.dtype)
        return block._replace(weight=weight if block.weight is None else weight * block.weight)


def _filled(v: np.ndarray | None, m: int) -> np.ndarray:
    assert v is not None
    if len(v) == m:
        return v
    longer = aligned_empty((m, *v.shape[1:]), v.dtype)
    longer[: len(v)], longer[len(v) :] = v, 0
    return longer
