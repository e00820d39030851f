"""Means and standard deviations of columns, in one pass, with large offsets and gaps."""

import itertools
import sys
from collections.abc import Iterator

import numpy as np

from jaxlr import shard
from jaxlr.data.numbers import room_for
from jaxlr.data.shares import block_rows

_CELL_VALUES = 1 << 19  # in rows that are added at once


class Moments:
    """Running mean and sum of squared distances from it, of k columns, in float64.

    Blocks are added by Chan's formula, relative to the first value of each column, so that a
    constant column is exact and a large offset costs no digits. NaN counts as no value.

    References
    ----------
    T. Chan, G. Golub, R. LeVeque, *Algorithms for Computing the Sample Variance*, 1983.
    """

    def __init__(self, k: int) -> None:
        self.count = np.zeros(k, np.int64)
        self._origin, self._mean, self._square = np.zeros(k), np.zeros(k), np.zeros(k)

    def add(self, X: np.ndarray) -> None:
        """Add rows (m, k)."""
        new = self.count == 0
        if new.any():  # columns without a value so far
            there = ~np.isnan(X[:, new])
            first = np.take_along_axis(X[:, new], there.argmax(0)[None], 0)[0]
            self._origin[new] = np.where(there.any(0), first, 0)
        with np.errstate(over="ignore", invalid="ignore"):
            distance = X - self._origin
            count = np.full(X.shape[1], len(X))
            gaps = np.isnan(X) if np.isnan(X.sum()) else None
            if gaps is not None:
                distance[gaps] = 0
                count = count - gaps.sum(0)
            some = np.maximum(count, 1)
            mean = distance.sum(0) / some
            distance -= mean
            if gaps is not None:
                distance[gaps] = 0
            square = np.einsum("ij,ij->j", distance, distance)
            self._merge(count, mean, square)

    def add_moments(self, other: "Moments") -> None:
        """Add the rows that another one has."""
        new = self.count == 0
        self._origin[new] = other._origin[new]
        with np.errstate(over="ignore", invalid="ignore"):
            mean = other._origin - self._origin + other._mean
            self._merge(other.count, np.where(other.count, mean, 0), other._square)

    def add_value(self, j: int, value: float, times: int) -> None:
        """Add one value many times to column j."""
        count = np.zeros_like(self.count)
        count[j] = times
        if not self.count[j]:
            self._origin[j] = value
        mean = np.zeros(len(count))
        mean[j] = value - self._origin[j]
        self._merge(count, mean, np.zeros(len(count)))

    def mean(self) -> np.ndarray:
        """Give the means (k,); 0 without a value."""
        return self._origin + self._mean

    def scale(self) -> np.ndarray:
        """Give the standard deviations (k,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.sqrt(self._square / np.maximum(self.count, 1))

    def numbers(self) -> np.ndarray:
        """Give all that it knows: (4, k)."""
        return np.stack([self.count, self._origin, self._mean, self._square])

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Moments":
        """Make one of what `numbers` gave."""
        made = cls(numbers.shape[1])
        made.count = numbers[0].astype(np.int64)
        made._origin, made._mean, made._square = numbers[1:]
        return made

    def _merge(self, count: np.ndarray, mean: np.ndarray, square: np.ndarray) -> None:
        total = np.maximum(self.count + count, 1)
        step = mean - self._mean
        self._mean = self._mean + step * (count / total)
        self._square = self._square + square + step**2 * (self.count * (count / total))
        self.count = self.count + count


class BlockMoments:
    """Moments of rows that come in pieces of any size: the same bits, whoever has which blocks.

    Rows are added in cells of fixed size, the cells to their block, and the blocks in their order.
    Without ``n``, the number of all rows, they are one block, which processes cannot share.
    """

    def __init__(self, k: int, n: int | None) -> None:
        self._k, self._last = k, -1
        self._blocks: list[Moments] = []
        cell = 1 << max(64, _CELL_VALUES // max(1, k)).bit_length() - 1
        size = sys.maxsize if n is None else block_rows(n, k)
        self._cell = min(cell, size)
        self.block_rows = size if n is None else -(-size // self._cell) * self._cell
        self._room, self._filled, self._end = np.empty((0, k)), 0, 0

    def rooms(self, at: int, m: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Room for the next m rows, which begin with number ``at`` of all, piece by piece.

        Yields
        ------
        rows : slice
            Which of the m rows these are.
        room : ndarray, shape (rows, k)
            Where to write them, before the next piece is asked for; NaN counts as no value.
        """
        if not len(self._room):
            self._room = room_for(self._cell, self._k, np.float64)
        for start, stop in itertools.pairwise(self._cuts(at, m)):
            filled = self._filled + stop - start
            yield slice(start, stop), self._room[self._filled : filled]
            self._filled, self._end = filled, at + stop
            if self._end % self._cell == 0:
                self._end_cell()

    def join(self) -> None:
        """Take the blocks of all processes for its own."""
        self._end_cell()
        found = np.zeros((len(self._blocks), 4, self._k))
        for block, numbers in zip(self._blocks, found, strict=True):
            numbers[:] = block.numbers()
        self._blocks = [Moments.of(numbers) for numbers in shard.join(found)]

    def total(self) -> Moments:
        """Give the moments of all rows."""
        self._end_cell()
        total = Moments(self._k)
        for block in self._blocks:
            total.add_moments(block)
        return total

    def _cuts(self, at: int, m: int) -> list[int]:
        """Where the next m rows are cut by the ends of cells."""
        return [0, *range(self._cell - at % self._cell, m, self._cell), m]

    def _end_cell(self) -> None:
        if not self._filled:
            return
        block = (self._end - 1) // self.block_rows
        if block != self._last:
            self._blocks.append(Moments(self._k))
            self._last = block
        self._blocks[-1].add(self._room[: self._filled])
        self._filled = 0
