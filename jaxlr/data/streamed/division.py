"""Which rows are for training, which are held out: decided by the number of a row alone."""

from typing import NamedTuple

import numpy as np

from jaxlr.data.streamed.draws import draws

PARTS = TRAIN, VALIDATION, TEST = (0, 1, 2)
_FOR_DIVISION = 0
_UNIT = 2.0**-64


class Division(NamedTuple):
    """Shares of validation and test rows; a row's part depends on ``seed`` and its number.

    The shares are met as those of coins are: of n rows, up to a few times sqrt(n). Labels are not
    looked at, for a stream does not know them before it is read.

    Examples
    --------
    >>> Division(seed=0, validation=0.25, test=0.25).codes(0, 8)
    array([0, 0, 2, 0, 0, 0, 2, 0], dtype=int8)
    """

    seed: int = 0
    validation: float = 0.0
    test: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether all rows are for training."""
        return self.validation == self.test == 0

    def codes(self, start: int, m: int) -> np.ndarray:
        """Give the parts (m,) of m rows from number ``start`` on: 0 train, 1 validation, 2 test."""
        if self.is_whole:
            return np.zeros(m, np.int8)
        u = draws(np.arange(start, start + m), self.seed, _FOR_DIVISION) * _UNIT
        codes = np.zeros(m, np.int8)
        codes[u < self.test + self.validation] = VALIDATION
        codes[u < self.test] = TEST
        return codes
