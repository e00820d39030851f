"""Rows in memory: examples with their names, and the split of them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.encoding import Encoding
from jaxlr.data.errors import DataError
from jaxlr.extras import extra
from jaxlr.shard import aligned_empty

_BLOCK_BYTES = 1 << 22  # of rows that are taken at once, so that no second copy of X arises


class Dataset(NamedTuple):
    """Examples with their names.

    ``X`` (n, d) and ``y`` (n,) in one floating-point type, ``y`` in [0, 1]; ``labels`` are the
    names of labels 0 and 1, ``features`` (d,) those of the columns. ``weight`` (n,) is None where
    all rows count alike; ``encoding`` tells how the columns of a file became these.
    """

    X: np.ndarray
    y: np.ndarray
    features: tuple[str, ...]
    labels: tuple[str, str]
    name: str
    weight: np.ndarray | None = None
    encoding: Encoding | None = None

    def rows(
        self,
        index: np.ndarray,
        *,
        mean: np.ndarray | float = 0.0,
        scale: np.ndarray | float = 1.0,
        dtype: DTypeLike | None = None,
    ) -> "Dataset":
        """Take some of the rows, as ``(X - mean) / scale``, and only then in ``dtype``.

        Parameters
        ----------
        index : ndarray, shape (m,)
            Numbers of the rows, from 0.
        mean, scale : ndarray, shape (d,), or float
        dtype : optional
            Type of X and y; unchanged without it. Labels and weights have float32 at least.

        Raises
        ------
        DataError
            If a value is not finite in ``dtype``, naming its column and row (from 1).
        """
        dtype = np.dtype(self.X.dtype if dtype is None else dtype)
        X = aligned_empty((len(index), self.X.shape[1]), dtype)
        for block in self._blocks(len(index)):
            with np.errstate(over="ignore"):
                X[block] = (self.X[index[block]] - mean) / scale
            finite = np.isfinite(X[block])
            if not finite.all():
                i, j = np.argwhere(~finite)[0]
                row = index[block][i]
                raise DataError(
                    f"{self.name}: column {self.features[j]!r} is {self.X[row, j]:g} in row "
                    f"{row + 1}, too large for {dtype}. Standardise, scale it down, or compute in "
                    "float64 (--dtype float64)"
                )
        wide = np.promote_types(dtype, np.float32)
        weight = None if self.weight is None else self.weight[index].astype(wide)
        return self._replace(X=X, y=self.y[index].astype(wide), weight=weight)

    def draw(self, m: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the numbers of m rows of positive weight, or of all such rows, in rising order."""
        used = np.arange(len(self.y)) if self.weight is None else np.flatnonzero(self.weight)
        return np.sort(rng.choice(used, min(m, len(used)), replace=False))

    def moments(
        self, index: np.ndarray, *, total: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the columns over some of the rows: (d,) each, in float64.

        Where a column is constant but for rounding, the deviation given is 1. ``total`` sums an
        array over several processes, where each has rows of its own.
        """
        # As the origin, so that constant columns are exact; of a process without rows, 0.
        m, first = len(index), self.X[index[:1]].astype(np.float64).sum(axis=0)
        if total is None:
            total = np.asarray
        else:
            whole = int(total(np.array(m)))
            m, first = whole, total(first * m) / whole
        mean, square = np.zeros_like(first), np.zeros_like(first)
        with np.errstate(over="ignore", invalid="ignore"):
            for block in self._blocks(len(index)):
                mean += (self.X[index[block]] - first).sum(axis=0)
            mean = first + total(mean) / m
            for block in self._blocks(len(index)):
                square += ((self.X[index[block]] - mean) ** 2).sum(axis=0)
            scale = np.sqrt(total(square) / m)
        if not np.isfinite(scale).all():
            name = self.features[int(np.argmin(np.isfinite(scale)))]
            raise DataError(f"{self.name}: column {name!r} is too large to standardise: rescale it")
        scale[scale <= 8 * np.finfo(self.X.dtype).eps * abs(mean)] = 1
        return mean, scale

    def _blocks(self, m: int) -> list[slice]:
        size = max(1, _BLOCK_BYTES // max(1, self.X[:1].nbytes))
        return [slice(start, start + size) for start in range(0, m, size)]


def split(y: np.ndarray, fraction: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split off a random ``fraction`` of the rows, with the labels in the same proportions.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Labels in [0, 1]. Soft labels are split without regard to their values.
    fraction : float
        Share of the second part, between 0 and 1.
    seed : int
        The same seed gives the same parts.

    Returns
    -------
    rest, part : ndarray
        Numbers of the rows of each part, from 0.

    Raises
    ------
    DataError
        If there are too few rows for it.

    Examples
    --------
    >>> rest, part = split(np.array([0, 1] * 10), 0.2, seed=0)
    >>> len(rest), len(part)
    (16, 4)
    """
    with extra("data"):
        from sklearn.model_selection import train_test_split
    hard = np.isin(y, (0, 1)).all()
    try:
        rest, part = train_test_split(
            np.arange(len(y)), test_size=fraction, random_state=seed, stratify=y if hard else None
        )
    except ValueError as error:
        counts = f" ({np.sum(y == 0)} of label 0, {np.sum(y == 1)} of label 1)" if hard else ""
        raise DataError(
            f"{len(y)} rows{counts} are too few to split off a share of {fraction:.3g}: each part "
            "needs rows of both labels. Use more rows, another share, or none (0)"
        ) from error
    return np.asarray(rest), np.asarray(part)
