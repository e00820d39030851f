"""Rows for a cross-validation, of one process or of several, in the same folds."""

from typing import Any

import numpy as np

from jaxlr import shard
from jaxlr.data import Dataset
from jaxlr.run.config import CvConfig
from jaxlr.solve import draw_folds


def rows_in_folds(rows: Dataset, config: CvConfig) -> tuple[Any, Any, Any | None, int | np.ndarray]:
    """X, y and weights for `cross_validate`, and its ``folds``: each row's, or how many.

    Rows that fill up the devices of several processes are in a fold too, and weigh nothing.
    """
    if shard.host_count() == 1:
        return rows.X, rows.y, rows.weight, config.folds
    X, y, s = shard.join_rows(rows.X, rows.y, rows.weight, shard.devices_of_hosts(1))
    drawn = draw_folds(config.folds, shard.join(rows.y), config.seed)
    fold = np.full(len(y) // shard.host_count(), drawn[0])
    fold[: len(rows.y)] = drawn[shard.host_share(len(drawn))]
    return X, y, s, shard.join(fold)
