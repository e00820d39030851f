"""A run of several processes: each has a part of the rows, and the first writes the run folder."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from jaxlr import data, shard
from jaxlr.data import DataError, Dataset
from jaxlr.run.config import RunConfig
from jaxlr.run.folder import RunFolderError


class OwnRows(NamedTuple):
    """What `Dataset` is to a run of one process, to one of several: it reads its own rows only.

    ``y`` (n,), in float64, are the labels of all rows, by which they are split; ``sha256`` is of
    all rows and names, as `fingerprint` has it; ``take(index, mean=, scale=, dtype=)`` reads rows.
    """

    y: np.ndarray
    features: tuple[str, ...]
    labels: tuple[str, str]
    name: str
    sha256: str
    take: Callable[..., Dataset]

    def fingerprint(self) -> dict[str, Any]:
        """Return the fingerprint that one process would take of all rows."""
        return {"rows": len(self.y), "columns": len(self.features), "sha256": self.sha256}

    def rows(
        self, index: np.ndarray, *, mean: Any = 0.0, scale: Any = 1.0, dtype: DTypeLike = np.float64
    ) -> Dataset:
        """Read this process's share of the rows ``index``; otherwise as `Dataset.rows`."""
        if len(index) < shard.host_count():
            raise DataError(
                f"{self.name}: a part of {len(index)} rows is too small for {shard.host_count()} "
                "processes: use fewer of them"
            )
        own = index[shard.host_share(len(index))]
        y = self.y[own].astype(np.promote_types(dtype, np.float32))
        return self.take(own, mean=mean, scale=scale, dtype=dtype)._replace(y=y)

    def moments(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the rows ``index`` of all processes."""
        own = self.rows(index)
        return own.moments(np.arange(len(own.y)), total=shard.add_up)


def load_own(config: RunConfig) -> Any:
    """Open the source of a run as `OwnRows`.

    A file is looked through twice, in bounded memory: what is in it, and then which labels there
    are. The built-in data set each process has whole.
    """
    choice = {"target": config.target, "exclude": config.exclude, "positive": config.positive}
    if config.data == data.BUILT_IN:
        whole = data.load(config.data, dtype=np.float64, **choice)
        digest = _digest(whole.features, whole.labels)
        digest.update(whole.X.data)
        digest.update(whole.y.data)
        sha256 = digest.hexdigest()
        return OwnRows(whole.y, whole.features, whole.labels, whole.name, sha256, whole.rows)
    stream = data.open_stream(config.data, dtype=np.float64, **choice)
    digest, labels = _digest(stream.features, stream.labels), [np.empty(0)]
    for block in data.prefetch(stream.blocks()):
        digest.update(block.X.data)
        labels.append(np.asarray(block.y))
    y = np.concatenate(labels)
    digest.update(y.data)

    def take(index: np.ndarray, *, mean: Any, scale: Any, dtype: DTypeLike) -> Dataset:
        again = data.open_stream(
            config.data, encoding=stream.encoding, exclude=config.exclude, dtype=dtype
        )
        return again.take(index, mean=mean, scale=scale)

    return OwnRows(y, stream.features, stream.labels, stream.name, digest.hexdigest(), take)


def _digest(features: tuple[str, ...], labels: tuple[str, str]) -> Any:
    return hashlib.sha256(repr((features, labels)).encode())


@contextmanager
def own_folder(target: Path, *, begun: bool = False) -> Iterator[Path]:
    """Give the folder for this process to write: the run folder to the first, else one that goes.

    So every process does the same, and nothing that only the first would do can hold up the
    others. Where the run has ``begun``, the others get what is in its folder.
    """
    if shard.host_count() == 1:
        yield target
        return
    there = json.loads(shard.from_first(json.dumps(str(target)).encode()))
    files = _read_files(target) if begun and shard.host_index() == 0 else {}
    files = _unpack(shard.from_first(_pack(files)))
    if shard.host_index() == 0:
        yield Path(there)
        return
    with tempfile.TemporaryDirectory(prefix="jaxlr-") as scratch:
        own = Path(scratch) / Path(there).name
        for name, content in files.items():
            path = own / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield own


def agree(value: bool) -> bool:
    """Whether any process says so."""
    return bool(shard.gather(np.array(value)).any())


def _read_files(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    try:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in paths
            if path.name != ".lock" and "tensorboard" not in path.parts
        }
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
