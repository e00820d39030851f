"""A sample of rows that pass by once, each as likely to be in it as any other."""

import numpy as np

from jaxlr import shard
from jaxlr.batch import Rows
from jaxlr.solve.stream.source import Block


class Reservoir:
    """At most ``size`` of the rows that are added; all of them, in order, while there is room.

    Each row draws a number, and those with the smallest numbers stay. So do those with the
    smallest of these make up a smaller sample. The numbers depend on nothing but the rows' order.

    References
    ----------
    J. Vitter, *Random Sampling with a Reservoir*, 1985.
    """

    def __init__(self, size: int, like: Block) -> None:
        self._kept = [
            None if v is None else shard.aligned_empty((size, *v.shape[1:]), v.dtype) for v in like
        ]
        self._draws = np.empty(size)
        self._rng = np.random.default_rng(0)
        self.filled = 0

    def add(self, block: Block) -> None:
        """Let the rows of a block pass by."""
        draws = self._rng.random(len(block.X))
        first = min(len(draws), len(self._draws) - self.filled)
        self._write(np.arange(self.filled, self.filled + first), block, np.arange(first), draws)
        self.filled += first
        if first < len(draws):
            self._replace(block, first, draws)

    def rows(self) -> Rows:
        """Put the sample on the device."""
        arrays = (None if v is None else shard.put(v[: self.filled]) for v in self._kept)
        return Rows(*arrays)  # pyright: ignore[reportArgumentType]

    def order(self) -> np.ndarray:
        """Give the places of the sample's rows, such that the first m are a sample of their own."""
        return np.argsort(self._draws[: self.filled]).astype(np.int32)

    def _replace(self, block: Block, first: int, draws: np.ndarray) -> None:
        """Let those rows from the first on in that draw less than what is kept."""
        size = len(self._draws)
        coming = first + np.flatnonzero(draws[first:] < self._draws.max())
        all_draws = np.concatenate([self._draws, draws[coming]])
        stays = np.zeros(len(all_draws), bool)
        stays[np.argpartition(all_draws, size - 1)[:size]] = True
        places, new = np.flatnonzero(~stays[:size]), coming[stays[size:]]
        self._write(places, block, new, draws)

    def _write(self, places: np.ndarray, block: Block, new: np.ndarray, draws: np.ndarray) -> None:
        self._draws[places] = draws[new]
        for kept, v in zip(self._kept, block, strict=True):
            if kept is not None and v is not None:
                kept[places] = v[new]
