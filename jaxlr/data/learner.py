"""The first pass over training rows: what is learned from them, and what is refused."""

import json
from collections import Counter
from collections.abc import Iterator

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from jaxlr import shard
from jaxlr.data.categories import buckets_of, level_counts
from jaxlr.data.encoding import Category, Encoding, Number, check
from jaxlr.data.errors import DataError, GapError
from jaxlr.data.labels import LabelLearner
from jaxlr.data.moments import BlockMoments
from jaxlr.data.numbers import refuse_number
from jaxlr.data.settings import Plan
from jaxlr.data.sources import Batch
from jaxlr.data.weights import weights_of

MOST_LEVELS = 10_000
_CONSTANT = 8  # rounding units of the mean: a deviation up to that is none


class Learner:
    """Takes the batches of all training rows, then tells the encoding and the moments.

    What it tells is the same to the bit, however rows come in batches. Where the plan knows how
    many there are, processes can look at a share each, from one block of ``block_rows`` to
    another, and then `join`.
    """

    def __init__(self, plan: Plan, path: str, dtype: DTypeLike) -> None:
        self.plan, self.path, self.n = plan, path, 0
        self.dtype = np.dtype(dtype)
        self._largest = float(ml_dtypes.finfo(self.dtype).max)
        self._labels = LabelLearner(plan.target)
        self._blocks = BlockMoments(len(plan.numbers), plan.n)
        self._levels: dict[str, Counter[str | int]] = {name: Counter() for name in plan.categories}
        self._gaps: Counter[str] = Counter()  # of categories
        self._weight, self._end = 0.0, ("", 0)

    @property
    def block_rows(self) -> int:
        """Rows of a block."""
        return self._blocks.block_rows

    def add(self, batch: Batch) -> None:
        """Look at further rows.

        Raises
        ------
        DataError
            If a value cannot be used, naming its file, column and row; of several in a batch, one
            in the first block that has any.
        """
        try:
            self._add(batch)
        except DataError:
            again = Learner(self.plan, self.path, self.dtype)
            for part in self._by_blocks(batch):
                again._add(part)
            raise

    def join(self) -> None:
        """Bring together what all processes have learned, each of its share of the rows.

        Raises
        ------
        DataError
            If there are too many labels or levels.
        """
        own = {
            "labels": self._labels.found(),
            "levels": {name: [*counts.items()] for name, counts in self._levels.items()},
            "gaps": self._gaps,
            "weight": self._weight,
            "n": self.n,
            "end": self._end,
        }
        shares = [json.loads(text) for text in shard.gather_bytes(json.dumps(own).encode())]
        self._blocks.join()
        self._labels, self._gaps = LabelLearner(self.plan.target), Counter()
        self._levels = {name: Counter() for name in self.plan.categories}
        for share in shares:
            self._labels.merge(share["labels"], self.path)
            self._gaps.update(share["gaps"])
            for name, counts in share["levels"].items():
                self._levels[name].update(dict(counts))
                self._refuse_many(name, *share["end"])
        self._weight = sum(share["weight"] for share in shares)
        self.n = sum(share["n"] for share in shares)

    def finish(self) -> tuple[Encoding, np.ndarray, np.ndarray]:
        """Tell the encoding, and means (d,) and deviations (d,) of its features."""
        plan = self.plan
        self._moments = self._blocks.total()
        labels = self._labels.finish(self.path, plan.positive)
        if plan.weight is not None and not 0 < self._weight < np.inf:
            raise DataError(
                f"{self.path}: the weights in column {plan.weight!r} add up to {self._weight:g}: "
                "some must be above 0"
            )
        encoding = Encoding(
            numbers=tuple(self._number(j, name) for j, name in enumerate(plan.numbers)),
            categories=tuple(self._category(name) for name in plan.categories),
            target=plan.target,
            weight=plan.weight,
            labels=labels,
            exclude=plan.exclude,
            unknown=plan.unknown,
        )
        check(encoding, self.path)
        return encoding, *self._all_moments(encoding)

    def _add(self, batch: Batch) -> None:
        self._labels.add(batch)
        if self.plan.weight is not None:
            self._weight += float(weights_of(batch, self.plan.weight, self.dtype).sum())
        if self.plan.numbers:
            self._add_numbers(batch)
        for name in self.plan.categories:
            self._add_levels(batch, name)
        self.n, self._end = self.n + len(batch), (batch.where.file, batch.where.row(len(batch) - 1))

    def _by_blocks(self, batch: Batch) -> Iterator[Batch]:
        start, first, size = 0, int(batch.where.at[0]), self.block_rows
        while start < len(batch):
            stop = min(len(batch), start + size - (first + start) % size)
            yield batch.pick(slice(start, stop))
            start = stop

    def _add_numbers(self, batch: Batch) -> None:
        names = self.plan.numbers
        for rows, chunk in self._blocks.rooms(int(batch.where.at[0]), len(batch)):
            with np.errstate(over="ignore"):
                batch.numbers(names, rows, chunk)
            total = chunk.sum()
            if not np.isfinite(total) or max(chunk.max(), -chunk.min()) > self._largest:
                self._refuse(batch, rows, chunk)

    def _refuse(self, batch: Batch, rows: slice, chunk: np.ndarray) -> None:
        for j, name in enumerate(self.plan.numbers):
            allowed = self.plan.missing[name] != "error"
            refuse_number(batch, rows, name, chunk[:, j], self.dtype, gaps=allowed)

    def _add_levels(self, batch: Batch, name: str) -> None:
        levels, gaps = level_counts(batch, name)
        if gaps.any():
            if self.plan.missing[name] == "error":
                place = batch.place(name, int(np.argmax(gaps)), "has no value")
                raise GapError(
                    place,
                    name,
                    f"Fill in or drop such rows, or leave the column out (--exclude {name!r})",
                )
            self._gaps[name] += int(gaps.sum())
        buckets = self.plan.categories[name]
        counts = self._levels[name]
        for level, count in levels.items():
            counts[level if buckets is None else int(buckets_of([level], buckets)[0])] += count
        self._refuse_many(name, batch.where.file, batch.where.row(len(batch) - 1))

    def _refuse_many(self, name: str, file: str, row: int) -> None:
        if self.plan.categories[name] is None and len(self._levels[name]) > MOST_LEVELS:
            raise DataError(
                f"{file}: column {name!r} has more than {MOST_LEVELS} different values up to row "
                f"{row}: too many for a feature each. Hash them into a number of buckets, or leave "
                f"the column out (--exclude {name!r})"
            )

    def _number(self, j: int, name: str) -> Number:
        how, there = self.plan.missing[name], int(self._moments.count[j])
        if how == "error":
            return Number(name)
        if not there and how == "mean":
            raise DataError(f"{self.path}: column {name!r} has no value in any row: exclude it")
        fill = float(self._moments.mean()[j]) if how == "mean" else float(how)
        return Number(name, fill, flagged=there < self.n)

    def _category(self, name: str) -> Category:
        buckets = self.plan.categories[name]
        gaps = self.plan.missing[name] != "error"
        levels = tuple(sorted(map(str, self._levels[name]))) if buckets is None else buckets
        if not self._levels[name]:
            raise DataError(f"{self.path}: column {name!r} has no value in any row: exclude it")
        return Category(name, levels, gaps, flagged=self._gaps[name] > 0)

    def _all_moments(self, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
        gaps = {name: self._gaps[name] for name in self.plan.categories}
        for j, column in enumerate(encoding.numbers):
            gaps[column.name] = self.n - int(self._moments.count[j])
            if column.fill is not None and gaps[column.name]:
                self._moments.add_value(j, column.fill, gaps[column.name])
        shares = [
            np.array([self._levels[c.name][k] for k in _keys(c)]) / self.n
            for c in encoding.categories
        ]
        shares.append(np.array([gaps[name] / self.n for name in encoding.flagged]))
        p = np.concatenate([np.zeros(0), *shares])
        mean = np.concatenate([self._moments.mean(), p])
        scale = np.concatenate([self._moments.scale(), np.sqrt(p * (1 - p))])
        return mean, usable_scale(mean, scale, encoding.features, self.path)


def usable_scale(
    mean: np.ndarray, scale: np.ndarray, features: tuple[str, ...], path: str
) -> np.ndarray:
    """Deviations to divide by: 1 where a column is constant but for rounding."""
    if not np.isfinite(scale).all():
        name = features[int(np.argmin(np.isfinite(scale)))]
        raise DataError(f"{path}: column {name!r} is too large to standardise: rescale it")
    return np.where(scale <= _CONSTANT * np.finfo(np.float64).eps * abs(mean), 1.0, scale)


def _keys(column: Category) -> range | tuple[str, ...]:
    return range(column.levels) if isinstance(column.levels, int) else column.levels
