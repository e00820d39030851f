"""Fewer rows and fewer features: delta debugging along each dimension."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jax.dtypes import float0

from jaxlr.check.smallest.arrays import alike, is_array
from jaxlr.check.smallest.axes import Dimension
from jaxlr.check.smallest.search import Search, State

_FEW = {1: 32, 16: 4, 256: 4}  # rows to keep, and at how many places to look for them
_CHUNKS = 64  # no more of them are left out one by one


def shrink(search: Search, dimensions: Sequence[Dimension]) -> None:
    """Make every dimension as short as the failure allows.

    All at once to their first or last index, for that costs one compilation. Then one by one,
    the longest first: one index, or a few neighbours; else halves, quarters, ... are left out.
    """
    _shrink_all(search, dimensions)
    for dimension in dimensions:
        _keep_few(search, dimension)
        _leave_out(search, dimension)


def _shrink_all(search: Search, dimensions: Sequence[Dimension]) -> None:
    for last in (False, True):
        picks = [
            (dimension, np.array([_length(search, dimension) - 1 if last else 0]))
            for dimension in dimensions
        ]
        if _accept(search, picks):
            return


def _keep_few(search: Search, dimension: Dimension) -> None:
    for few, places in _FEW.items():
        n = _length(search, dimension)
        if few >= n:
            return
        for start in _starts(n - few, places):
            if _accept(search, [(dimension, np.arange(start, start + few))]):
                return


def _leave_out(search: Search, dimension: Dimension) -> None:
    chunk = _length(search, dimension) // 2
    while chunk:
        before = _length(search, dimension)
        if before > chunk * _CHUNKS:
            return
        _leave_out_chunks(search, dimension, chunk)
        after = _length(search, dimension)
        if after < before:
            _keep_few(search, dimension)
            chunk = min(chunk, _length(search, dimension) // 2)
        else:
            chunk //= 2


def _leave_out_chunks(search: Search, dimension: Dimension, chunk: int) -> None:
    start = 0
    while start < (n := _length(search, dimension)) and n > chunk:
        kept = np.delete(np.arange(n), slice(start, start + chunk))
        if not _accept(search, [(dimension, kept)]):
            start += chunk


def _starts(last: int, places: int) -> list[int]:
    """First and last place, then those between, evenly."""
    between = np.linspace(0, last, places).round().astype(int).tolist()
    return list(dict.fromkeys([0, last, *between]))


def _length(search: Search, dimension: Dimension) -> int:
    leaf, axis = dimension[0]
    return np.shape(search.best.args[leaf])[axis]


def _accept(search: Search, picks: Sequence[tuple[Dimension, np.ndarray]]) -> bool:
    return any(search.accept(state) for state in _picked(search, picks))


def _picked(search: Search, picks: Sequence[tuple[Dimension, np.ndarray]]) -> Iterator[State]:
    """Yield the best state with only the picked indices, and its cotangent made to fit."""
    args, kept = list(search.best.args), {}
    for dimension, indices in picks:
        kept[_length(search, dimension)] = indices
        for i, axis in dimension:
            args[i] = alike(np.take(np.asarray(args[i]), indices, axis), args[i])
    args = tuple(args)
    shapes = search.outputs(args)
    if shapes is None:
        return
    cotangent = search.best.cotangent
    followed = [_follow(c, shape, kept) for c, shape in zip(cotangent, shapes, strict=True)]
    yield State(args, tuple(value for value, _ in followed))
    if not all(by_index for _, by_index in followed):
        ones = zip(followed, shapes, cotangent, strict=True)
        yield State(args, tuple(v if by else _ones(c, s) for (v, by), s, c in ones))


def _follow(c: Any, shape: tuple[int, ...], kept: dict[int, np.ndarray]) -> tuple[Any, bool]:
    """Cut one leaf of the cotangent to ``shape``, and say whether by the indices kept."""
    if not is_array(c):
        return (np.zeros(shape, float0) if isinstance(c, np.ndarray) else c), True
    if np.shape(c) == shape:
        return c, True
    if np.ndim(c) != len(shape) or any(new > old for new, old in zip(shape, c.shape, strict=True)):
        return _ones(c, shape), True
    values, by_index = np.asarray(c), True
    for axis, (new, old) in enumerate(zip(shape, c.shape, strict=True)):
        if new != old:
            indices = kept.get(old, np.arange(0))
            by_index &= len(indices) == new
            values = np.take(values, indices if len(indices) == new else np.arange(new), axis)
    return alike(values, c), by_index


def _ones(c: Any, shape: tuple[int, ...]) -> Any:
    return alike(np.ones(shape, c.dtype), c)
