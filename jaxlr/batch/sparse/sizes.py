"""How wide the chunks of a sparse X are and how many there is room for: shapes to compile for.

Shapes that were compiled for are taken again where they fit, so that the folds of a
cross-validation, whose entries are not quite as many, share their programs. The room that is left
empty changes no sum; other widths would, so those are never another's.
"""

import threading
from collections import deque
from math import isqrt

import numpy as np

LANES = 8  # added at once. Compiled loops over 16 or 32 are 2 to 3 times slower (CPU, jax 0.10.2)
_WIDTHS = (LANES // 2, LANES, 2 * LANES)  # of chunks of entries
_SUM_WIDTHS = (4, LANES)  # of chunks of sums
_DEAR = 4  # places that take as long as one more sum of a chunk
_REMEMBERED = 64
_EMPTY = 1.125  # of the places that are needed, how many there may be

Sizes = tuple[tuple[int, int], ...]  # width and number of the chunks of entries, then of those of
# their sums, and so on, until each line is left with one sum

_taken: deque[tuple[tuple[int, ...], Sizes]] = deque(maxlen=_REMEMBERED)
_lock = threading.Lock()


def choose_sizes(length: np.ndarray, places: int) -> Sizes:
    """Sizes for blocks of lines with ``length`` (blocks, lines) entries, at so many places.

    Those of an earlier call, where they fit and are not much larger than they need be.
    """
    best, kind = _best(length), (*length.shape, places)
    with _lock:
        for of_kind, known in _taken:
            alike = of_kind == kind and _widths(known) == _widths(best)
            if alike and _cost(known) <= _EMPTY * _cost(best) and _fits(length, known):
                return known
        _taken.append((kind, best))
    return best


def _best(length: np.ndarray) -> Sizes:
    width = min(_WIDTHS, key=lambda width: (width + _DEAR) * int((-(-length // width)).sum()))
    count = -(-length // width)
    sizes = [(width, _with_room(count))]
    while (count := np.where(count > 1, count, 0)).any():
        width = min(_SUM_WIDTHS, key=lambda width: _places(count[count > 1], width))
        count = -(-count // width)
        sizes.append((width, _with_room(count)))
    return tuple(sizes)


def _fits(length: np.ndarray, sizes: Sizes) -> bool:
    count = length
    for width, chunks in sizes:
        count = -(-count // width)
        if count.sum(axis=1).max() >= chunks:  # the last is empty: what it sums to is 0
            return False
        count = np.where(count > 1, count, 0)
    return not count.any()


def _with_room(count: np.ndarray) -> int:
    """Chunks for the fullest block of ``count`` (blocks, lines), and some more.

    Folds differ by about the root of what they have.
    """
    most = int(count.sum(axis=1).max())
    return -(-(most + 1 + 4 * isqrt(most)) // 16) * 16


def _places(count: np.ndarray, width: int) -> int:
    """Places that it takes to add up the sums of all lines in chunks of this width."""
    places = 0
    while (count := count[count > 1]).size:
        count = -(-count // width)
        places += width * int(count.sum())
    return places


def _widths(sizes: Sizes) -> list[int]:
    return [width for width, _ in sizes]


def _cost(sizes: Sizes) -> int:
    return sum((width + _DEAR) * chunks for width, chunks in sizes)
