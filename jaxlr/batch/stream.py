"""Rows that pass by in blocks, as solvers and the update loop take them."""

from typing import Protocol

import numpy as np


class RowBlock(Protocol):
    """Some rows, in memory of their own: X (m, d), labels y (m,), weights (m,) or None."""

    @property
    def X(self) -> np.ndarray: ...  # noqa: D102

    @property
    def y(self) -> np.ndarray | None: ...  # noqa: D102

    @property
    def weight(self) -> np.ndarray | None: ...  # noqa: D102
