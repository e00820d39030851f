"""Means and standard deviations of columns, in one pass, with large offsets and gaps."""

import numpy as np


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

    def _merge(self, count: np.ndarray, mean: np.ndarray, square: np.ndarray) -> None:
        total = np.maximum(self.count + count, 1)
        step = mean - self._mean
        self._mean = self._mean + step * (count / total)
        self._square = self._square + square + step**2 * (self.count * (count / total))
        self.count = self.count + count
