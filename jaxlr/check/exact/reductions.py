"""Rules of the primitives that sum, or otherwise make fewer numbers of many."""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from itertools import accumulate
from typing import Any

import numpy as np

from jaxlr.check.exact.arithmetic import Raw
from jaxlr.check.exact.arrays import build, exact, lanes
from jaxlr.check.exact.functions import Functions

Params = Mapping[str, Any]


def _reduce(fold: Callable[..., Raw], on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    rows, shape = lanes(x, tuple(params["axes"]))
    return build((fold(on, row) for row in rows), shape)


def _product(on: Functions, row: list[Raw]) -> Raw:
    return reduce(on.mul, row, on.one)


def _max(on: Functions, row: list[Raw]) -> Raw:
    return reduce(on.max, row, on.lib.fninf)


def _min(on: Functions, row: list[Raw]) -> Raw:
    return reduce(on.min, row, on.inf)


def _arg(pick: str, on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    """Place of the first extreme; of the first nan, where there is one."""
    rows, shape = lanes(x, tuple(params["axes"]))
    best = getattr(on, pick)
    return build((row.index(reduce(best, row)) for row in rows), shape).astype(
        params["index_dtype"]
    )


def _cumulate(operation: str, on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    step = getattr(on, operation)
    return _along(params, x, lambda row: list(accumulate(row, step)))


def _cumlogsumexp(on: Functions, params: Params, x: np.ndarray) -> np.ndarray:
    """Without a shift by the maximum: nothing overflows here."""
    return _along(params, x, lambda row: [on.log(v) for v in accumulate(map(on.exp, row), on.add)])


def _along(params: Params, x: np.ndarray, scan: Callable[[list[Raw]], list[Raw]]) -> np.ndarray:
    moved = np.moveaxis(x, params["axis"], -1)
    way = -1 if params["reverse"] else 1
    rows = moved.reshape(-1, moved.shape[-1]).tolist() if x.size else []
    scanned = build((v for row in rows for v in scan(row[::way])[::way]), moved.shape)
    return np.moveaxis(scanned, -1, params["axis"])


def _dot_general(on: Functions, params: Params, x: Any, y: Any) -> np.ndarray:
    (x_sum, y_sum), (x_batch, y_batch) = params["dimension_numbers"]
    x_rows, x_shape = _by_batch(exact(x), x_sum, x_batch)
    y_rows, y_shape = _by_batch(exact(y), y_sum, y_batch)
    numbers = (
        on.dot(a, b) for one, two in zip(x_rows, y_rows, strict=True) for a in one for b in two
    )
    return build(numbers, x_shape + y_shape[len(x_batch) :])


def _by_batch(x: np.ndarray, summed: Any, batch: Any) -> tuple[list[Any], tuple[int, ...]]:
    """Lanes to be summed, of each batch, and the shape of batches and lanes."""
    free = [i for i in range(x.ndim) if i not in (*summed, *batch)]
    sizes = np.array(x.shape, dtype=int)
    shape = tuple(sizes[[*batch, *free]].tolist())
    packed = [sizes[list(axes)].prod(dtype=int) for axes in (batch, free, summed)]
    return x.transpose(*batch, *free, *summed).reshape(packed).tolist(), shape


RULES: dict[str, Callable[..., Any]] = {
    "reduce_sum": partial(_reduce, lambda on, row: on.sum(row)),
    "reduce_prod": partial(_reduce, _product),
    "reduce_max": partial(_reduce, _max),
    "reduce_min": partial(_reduce, _min),
    "argmax": partial(_arg, "max"),
    "argmin": partial(_arg, "min"),
    "cumsum": partial(_cumulate, "add"),
    "cumprod": partial(_cumulate, "mul"),
    "cummax": partial(_cumulate, "max"),
    "cummin": partial(_cumulate, "min"),
    "cumlogsumexp": _cumlogsumexp,
    "dot_general": _dot_general,
}
