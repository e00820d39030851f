"""Weights of rows: numbers of 0 or more."""

import numpy as np

from jaxlr.data.errors import DataError
from jaxlr.data.numbers import refuse_number
from jaxlr.data.sources import Batch


def weights_of(batch: Batch, name: str) -> np.ndarray:
    """Weights of a batch: (m,) in float64.

    Raises
    ------
    DataError
        If one is missing, infinite or negative.
    """
    out, rows = np.empty((len(batch), 1)), slice(0, len(batch))
    batch.numbers([name], rows, out)
    values = out[:, 0]
    refuse_number(batch, rows, name, values, np.float64, gaps=False)
    if values.min() < 0:
        i = int(np.argmax(values < 0))
        what = f"is {values[i]:g}"
        raise DataError(f"{batch.place(name, i, what)}: a weight cannot be negative")
    return values
