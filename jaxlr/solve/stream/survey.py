"""The first read of the rows: it counts and checks them, measures scales, and draws a sample."""

from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch
from jaxlr.batch import Rows
from jaxlr.solve.measure import (
    LEAST_SHARE,
    ROWS_MEASURED,
    ROWS_SEEN,
    checked,
    from_moments,
    is_spread,
    look,
)
from jaxlr.solve.plan import SMALL
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.stream.reservoir import Reservoir
from jaxlr.solve.stream.source import (
    Block,
    Kind,
    RowStream,
    check_features,
    check_values,
    on_device,
    read,
)
from jaxlr.solve.totals import total

_COLUMNS_AT_A_TIME = 256
_ROWS_A_COLUMN = 5  # that a sample must have to be solved


class Survey(NamedTuple):
    """What one read of n rows tells; ``sample`` is all of them where it has n rows.

    Any first m of ``order``, places in the sample, are a smaller sample. ``typical`` is whether
    the sample is like all rows, and has enough of them to be solved.
    """

    n: int
    kind: Kind
    block_rows: int
    sample: Rows
    order: np.ndarray
    scaling: Scaling
    typical: bool


def survey(stream: RowStream, memory: int, *, intercept: bool) -> Survey:
    """Read all rows once, and keep as many of them as fit ``memory`` bytes.

    Raises
    ------
    ValueError
        If there is no row, a block is not like the first, or a value is out of range.
    """
    surveyor = None
    with closing(read(stream)) as blocks:
        for block in blocks:
            surveyor = surveyor or _Surveyor(block, memory, intercept=intercept)
            surveyor.add(block)
    if surveyor is None:
        raise ValueError("there is no row to fit: the stream has no block")
    return surveyor.finish()


class _Surveyor:
    """What is known of the rows so far; ``like`` is the first block."""

    def __init__(self, like: Block, memory: int, *, intercept: bool) -> None:
        self.kind, self.block_rows, self.intercept = like.kind, len(like.X), intercept
        self.reservoir = Reservoir(_room(like, memory), like)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = like.X.mean(axis=0, dtype=np.float64)
        self.about = mean if intercept else np.zeros(like.kind.d)  # deviations are from that
        self.n, self.ones = 0, 0.0
        self.largest, self.square = 0.0, 0.0  # of the weights
        self.moments: Any = None

    def add(self, block: Block) -> None:
        check_values(block, self.n)
        self.ones += float(np.sum(block.y, dtype=np.float64))
        if block.s is not None:
            self.largest = max(self.largest, float(block.s.max()))
            self.square += float(np.sum(np.square(block.s, dtype=np.float64)))
        X, _, s, *_ = on_device(block, self.block_rows)
        found = total(partial(batch.moment_sums, X, s, self.about), X, X.size)
        if not np.isfinite(found[1]).all():
            check_features(block, self.n)
        self.moments = found if self.moments is None else jax.tree.map(np.add, self.moments, found)
        self.reservoir.add(block)
        self.n += len(block.X)

    def finish(self) -> Survey:
        if self.kind.weighted:
            batch.check_largest(np.array([self.largest]))
        scaling, constant = from_moments(self.moments, self.about, intercept=self.intercept)
        checked(scaling)
        sample, order = self.reservoir.rows(), self.reservoir.order()
        enough = len(order) >= _ROWS_A_COLUMN * scaling.size
        typical = enough and self._is_even() and _shows(sample, order, constant)
        return Survey(self.n, self.kind, self.block_rows, sample, order, scaling, typical)

    def _is_even(self) -> bool:
        """Whether neither a label nor the weights come from a few of the rows."""
        least = min(self.ones, self.n - self.ones)
        weight = float(self.moments[0])
        spread = not self.kind.weighted or is_spread(weight, self.square, self.n)
        return spread and least >= LEAST_SHARE * self.n


def _room(like: Block, memory: int) -> int:
    """Rows that fit: of each, X and four numbers more. There is room for `SMALL` always."""
    d = like.kind.d
    return max(memory // (d * like.X.dtype.itemsize + 32), int(SMALL) // max(1, d) + 1)


def _shows(sample: Rows, order: np.ndarray, constant: np.ndarray) -> bool:
    """Whether each column that is not constant differs from its mean in many rows of a sample."""
    few, X = order[:ROWS_MEASURED], np.asarray(sample.X)
    s = np.ones(len(few)) if sample.s is None else np.asarray(sample.s)[few].astype(np.float64)
    if not s.any():
        return False
    for j in range(0, len(constant), _COLUMNS_AT_A_TIME):
        columns = slice(j, j + _COLUMNS_AT_A_TIME)
        _, seen = look(X[few, columns].astype(np.float64), s, intercept=True)
        if not (constant[columns] | (seen >= ROWS_SEEN)).all():
            return False
    return True
