"""The area under the ROC curve of scores that need not fit into memory."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

_ENTRY = np.dtype([("z", np.float32), ("zeros", np.float64), ("ones", np.float64)])
_COPIES = 4  # of an entry, while entries are sorted and added up
ENTRY_BYTES = _COPIES * _ENTRY.itemsize


class Ranking:
    """Weights of labels 0 and 1 by score, of which ``room`` entries are in memory at once.

    What is more goes to a temporary file, in runs that are sorted; rows of equal score are one
    entry of a run. The area is that of all rows, with no approximation: the runs are merged.

    Examples
    --------
    >>> ranking = Ranking(room=2)
    >>> for z, y in (([0.1, 0.4], [0, 0]), ([0.35, 0.8], [1, 1])):
    ...     ranking.add(np.array(z), np.array(y), np.ones(2))
    >>> ranking.area()
    0.75
    """

    def __init__(self, room: int) -> None:
        self.room = max(1, room)
        self._waiting: list[np.ndarray] = []
        self._ends = [0]  # of the runs in the file, in entries
        self._file = None
        self.lost: str | None = None  # why there will be no area

    def add(self, z: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Add rows: scores (taken in float32), labels 0 or 1 and weights, (m,) each."""
        if np.isnan(z).any():
            self.lost = "some scores are not numbers, for the parameters are too large"
        for first in range(0, len(z), self.room):
            part = slice(first, first + self.room)
            self._waiting.append(_entries(z[part], s[part] * (y[part] == 0), s[part] * y[part]))
            if sum(map(len, self._waiting)) >= self.room:
                self._write()

    def area(self) -> float | None:
        """Return the area; None with one label only, or where the scores could not be kept."""
        pieces = self._merged() if self._file else iter([_joined(self._waiting)])
        below = ones = pairs = 0.0  # weights of label 0 and 1 so far; of pairs in the right order
        for piece in pieces:
            under = below + np.cumsum(piece["zeros"]) - piece["zeros"]
            pairs += float(piece["ones"] @ (under + piece["zeros"] / 2))
            below, ones = below + float(piece["zeros"].sum()), ones + float(piece["ones"].sum())
        self.close()
        return pairs / (below * ones) if below and ones and self.lost is None else None

    def close(self) -> None:
        """Forget all scores, and remove the file."""
        self._waiting = []
        if self._file is not None:
            with suppress(OSError):  # a full disk, once more
                self._file.close()
            self._file = None

    def _write(self) -> None:
        """Move what is in memory to the file, as a run."""
        run, self._waiting = _joined(self._waiting), []
        if self.lost is not None:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="jaxlr-scores-")  # noqa: SIM115 (`close`)
            self._file.write(run.data)
            self._ends.append(self._ends[-1] + len(run))
        except OSError as error:
            self.lost = f"the scores do not fit into {tempfile.gettempdir()}: {error.strerror}"
            self.close()

    def _merged(self) -> Iterator[np.ndarray]:
        """Entries of all runs in rising order of the score, each score in one of the pieces."""
        self._write()
        if self._file is None:
            return
        starts, ends = np.array(self._ends[:-1]), np.array(self._ends[1:])
        each = max(1, self.room // len(starts))
        while (going := np.flatnonzero(starts < ends)).size:
            heads = [self._read(starts[i], min(starts[i] + each, ends[i])) for i in going]
            last = min(head["z"][-1] for head in heads)
            taken = [np.searchsorted(head["z"], last, side="right") for head in heads]
            yield _joined([head[:m] for head, m in zip(heads, taken, strict=True)])
            starts[going] += taken

    def _read(self, start: int, stop: int) -> np.ndarray:
        assert self._file is not None
        self._file.seek(start * _ENTRY.itemsize)
        return np.frombuffer(self._file.read((stop - start) * _ENTRY.itemsize), _ENTRY)


def _entries(z: np.ndarray, zeros: np.ndarray, ones: np.ndarray) -> np.ndarray:
    """Sorted entries, one for each score that there is."""
    scores, place = np.unique(z.astype(np.float32), return_inverse=True)
    found = np.empty(len(scores), _ENTRY)
    found["z"] = scores
    found["zeros"] = np.bincount(place, zeros, len(scores))
    found["ones"] = np.bincount(place, ones, len(scores))
    return found


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    both = np.concatenate([np.empty(0, _ENTRY), *parts])
    return _entries(both["z"], both["zeros"], both["ones"])
