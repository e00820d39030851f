"""A run of several processes: each has a part of the rows, and the first writes the run folder."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from jaxlr import data, shard
from jaxlr.data import DataError, Dataset
from jaxlr.run.config import RunConfig
from jaxlr.run.fingerprint import Digests, fingerprint
from jaxlr.run.folder import CONFIG, MODEL, ORIGIN, SUMMARY, RunFolderError
from jaxlr.run.memory import STREAM_MEMORY, in_words, row_bytes

_SENT = (CONFIG, ORIGIN, SUMMARY, MODEL)


class OwnRows(NamedTuple):
    """What `Dataset` is to a run of one process, to one of several: it reads its own rows only.

    ``y`` (n,), in float64, are the labels of all rows, by which they are split, and ``weight``
    (n,) their weights, or None; ``fingerprint`` is that which one process would take of all
    rows; ``take(index, mean=, scale=, dtype=)`` reads rows.
    """

    y: np.ndarray
    weight: np.ndarray | None
    features: tuple[str, ...]
    labels: tuple[str, str]
    name: str
    fingerprint: dict[str, Any]
    take: Callable[..., Dataset]

    def rows(
        self, index: np.ndarray, *, mean: Any = 0.0, scale: Any = 1.0, dtype: DTypeLike = np.float64
    ) -> Dataset:
        """Read this process's share of the rows ``index``, none of few; else as `Dataset.rows`."""
        own = index[shard.host_share(len(index))]
        wide = np.promote_types(dtype, np.float32)
        weight = None if self.weight is None else self.weight[own].astype(wide)
        found = self.take(own, mean=mean, scale=scale, dtype=dtype)
        return found._replace(y=self.y[own].astype(wide), weight=weight)

    def moments(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the rows ``index`` of all processes."""
        own = self.rows(index)
        return own.moments(np.arange(len(own.y)), total=shard.add_up)


def load_own(config: RunConfig) -> Any:
    """Open the source of a run as `OwnRows`.

    Each process looks twice at a share of the rows, in bounded memory: what is in the file, for
    which of CSV all is read, and then which labels and weights there are. The built-in data set
    each has whole.

    Raises
    ------
    DataError
        If the data cannot be used, or a process's share of the rows does not fit into its memory.
    """
    settings = config.columns_settings()
    if data.is_built_in(config.data):
        whole = data.load(config.data, dtype=np.float64, **settings)
        names = whole.features, whole.labels, whole.name
        return OwnRows(whole.y, whole.weight, *names, fingerprint(whole), whole.rows)
    stream = data.open_stream(config.data, dtype=np.float64, shared=True, **settings)
    _check_memory(stream, config)
    y, weight, found = _look(stream)

    def take(index: np.ndarray, *, mean: Any, scale: Any, dtype: DTypeLike) -> Dataset:
        return stream.in_type(dtype, STREAM_MEMORY).take(index, mean=mean, scale=scale)

    names = stream.features, stream.labels, stream.name
    return OwnRows(y, weight, *names, found, take)


def _look(stream: data.Stream) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Look at this process's share of the rows; return labels, weights, fingerprint of them all."""
    n, digests = stream.n, Digests(stream.n)
    labels, weights = [np.zeros(0)], [np.zeros(0)]

    def look() -> None:
        share = data.own_share(n, data.block_rows(n))
        with closing(data.prefetch(stream.blocks(*share))) as blocks:
            for block in blocks:
                labels.append(np.asarray(block.y))
                digests.add(block.X, labels[-1], block.weight)
                if block.weight is not None:
                    weights.append(block.weight)

    data.in_all(look)
    y, s = (shard.join(np.concatenate(parts)) for parts in (labels, weights))
    found = digests.fingerprint(stream.features, stream.labels, shared=True)
    return y, s if len(s) else None, found


def _check_memory(stream: data.Stream, config: RunConfig) -> None:
    """Refuse rows of which a share does not fit into the memory of the process with the least."""
    limit = int(shard.gather(config.limit()).min())
    needed = row_bytes(-(-stream.n // shard.host_count()), stream.d)
    if needed > limit:
        raise DataError(
            f"{stream.path}: several processes keep their rows in memory, and a share of these "
            f"needs {in_words(needed)} and may take {in_words(limit)}. Allow more (--memory), use "
            "more processes, or one, which streams"
        )


@contextmanager
def own_folder(target: Path, *, begun: bool = False) -> Iterator[Path]:
    """Give the folder for this process to write: the run folder to the first, else one that goes.

    So every process does the same, and nothing that only the first would do can hold up the
    others. Where the run has ``begun``, the others get what its folder says of it; not its metrics
    and checkpoints, which only the first reads.
    """
    if shard.host_count() == 1:
        yield target
        return
    with shard.together():
        there = json.loads(shard.from_first(json.dumps(str(target)).encode()))
        files = _read_files(target) if begun and shard.host_index() == 0 else {}
        files = _unpack(shard.from_first(_pack(files)))
    if shard.host_index() == 0:
        yield Path(there)
        return
    with tempfile.TemporaryDirectory(prefix="jaxlr-") as scratch:
        own = Path(scratch) / Path(there).name
        for name, content in files.items():
            own.mkdir(exist_ok=True)
            (own / name).write_bytes(content)
        yield own


def agree(value: bool) -> bool:
    """Whether any process says so."""
    return bool(shard.gather(np.array(value)).any())


def _read_files(folder: Path) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in _SENT if (folder / name).is_file()}
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be read: {error.strerror}") from error


def _pack(files: dict[str, bytes]) -> bytes:
    header = json.dumps({name: len(content) for name, content in files.items()}).encode()
    return len(header).to_bytes(8, "little") + header + b"".join(files.values())


def _unpack(packed: bytes) -> dict[str, bytes]:
    start = 8 + int.from_bytes(packed[:8], "little")
    files = {}
    for name, size in json.loads(packed[8:start]).items():
        files[name], start = packed[start : start + size], start + size
    return files
