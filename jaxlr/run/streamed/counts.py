"""How many rows of a stream are whose, and whether they can be learned from."""

from collections.abc import Generator

import numpy as np

from jaxlr.data import Block, DataError, Division, Stream, StreamedPart
from jaxlr.run.parts import Tell, check_weights, describe_labels
from jaxlr.run.streamed.parts import NAMES


class Counts:
    """Rows by part, label and weight, as far as they have passed by."""

    def __init__(self, stream: Stream, division: Division) -> None:
        self.stream, self.division = stream, division
        self.parts, self.used = np.zeros(3, np.int64), np.zeros(3, np.int64)
        self.labels, self.trained = np.zeros(3, np.int64), np.zeros(3, np.int64)  # 0, 1, between
        self.largest = 0.0

    def add(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Count rows; return which are for training (m,), and which have a weight above 0 (m,)."""
        _, y, s, start = block
        assert y is not None
        codes = self.division.codes(start, len(y))
        positive = np.ones(len(y), bool) if s is None else s > 0
        train = codes == 0
        self.parts += np.bincount(codes, minlength=3)
        self.used += np.bincount(codes[positive], minlength=3)
        kinds = np.where(y == 0, 0, np.where(y == 1, 1, 2))
        self.labels += np.bincount(kinds, minlength=3)
        self.trained += np.bincount(kinds[train & positive], minlength=3)
        self.largest = max(self.largest, 1.0 if s is None else float(s.max()))
        return train, positive

    def check(self) -> None:
        """Raise DataError unless each part has rows that count, and training rows two labels."""
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

    def rows(self) -> tuple[int, int, int]:
        """Rows of each part."""
        train, validation, test = self.parts.tolist()
        return train, validation, test

    def describe(self) -> str:
        """Say how many rows have which label."""
        *counts, soft = self.labels.tolist()
        return f"labels: {describe_labels(self.stream.labels, counts, soft=soft)}"


class Counted:
    """All rows of a stream, for a solver; its first read is that which counts and checks them."""

    def __init__(self, rows: StreamedPart, tell: Tell) -> None:
        self.rows, self.tell = rows, tell
        self._is_counted = False

    def blocks(self) -> Generator[Block]:
        """Read all rows.

        Raises
        ------
        DataError
            As `StreamedPart.blocks` and, at the end of the first read, `Counts.check`.
        """
        if self._is_counted:
            yield from self.rows.blocks()
            return
        counts = Counts(self.rows.stream, self.rows.division)
        for block in self.rows.blocks():
            counts.add(block)
            yield block
        counts.check()
        self.tell(counts.describe())
        self._is_counted = True
