"""Streams of a source: opened, and its rows looked at once."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.encoder import match
from jaxlr.data.encoding import Encoding
from jaxlr.data.errors import DataError
from jaxlr.data.learner import Learner
from jaxlr.data.settings import Categorical, Missing, Plan, Settings, resolve
from jaxlr.data.shares import in_all, own_share
from jaxlr.data.sources import Source, open_source
from jaxlr.data.stream import MEMORY, Stream, batch_rows_in


def open_stream(
    path: str | Path,
    *,
    form: str | None = None,
    target: str | None = None,
    positive: str | None = None,
    weight: str | None = None,
    columns: Collection[str] | None = None,
    exclude: Collection[str] = (),
    categorical: Categorical = (),
    missing: Missing = "error",
    unknown: str = "error",
    encoding: Encoding | None = None,
    labelled: bool = True,
    dtype: DTypeLike = np.float32,
    block_rows: int | None = None,
    memory: int | None = None,
    shared: bool = False,
) -> Stream:
    r"""Open a source to be read in blocks, after one pass that learns and checks everything.

    Parameters
    ----------
    path : str or Path
        CSV, Parquet (a file, or a folder of them), npy, npz or libsvm; of CSV and Parquet also a
        URL that fsspec opens.
    form : str, optional
        ``"csv"``, ``"parquet"``, ``"npy"``, ``"npz"`` or ``"libsvm"``. Without it, the ending of
        the path says it.
    target : str, optional
        Column with the labels; beside an npy file, the path of another one. An npz file has them
        as its array y, a libsvm file in each line.
    positive : str, optional
        Label to be 1. Without it, that is the later one in sorted order.
    weight : str, optional
        Column with the weights of rows, 0 or more; as for ``target``. In an npz file,
        ``sample_weight``.
    columns, exclude : collection of str, optional
        Columns that may be features (all without it), and columns that are none.
    categorical : collection of str, or mapping
        Columns of categories, one feature for each level; or a mapping of such columns to
        ``"onehot"``, or to a number of buckets to hash them into (CRC-32).
    missing : {"error", "mean"}, float, or mapping
        What stands where a column has no value, and a feature marks such rows; or a mapping of
        columns to that. Categories without a value are all zeros, unless ``"error"``.
    unknown : {"error", "ignore"}
        What later becomes of levels that are not in these rows.
    encoding : Encoding, optional
        That of a model: columns are read by it, nothing is learned, and the first pass left out.
        Of the settings above, only ``exclude`` then counts (further columns to ignore), and
        ``target`` and ``weight`` as paths of npy files.
    labelled : bool
        Whether y and weights are read. With an encoding only; where false, they may be missing.
    dtype
        Type of X and y.
    block_rows : int, optional
        Rows in a block; what fits ``memory`` without it.
    memory : int, optional
        Bytes that the blocks may take together, 64 MiB without it: one that is used, one that
        waits in a `prefetch` of depth 1, one that is being made, and the batches it is made
        from. Beside these, Parquet needs a page (1 MiB or less, as a rule) of each column,
        packed and unpacked, and of a URL the bytes of a row group; CSV a few pieces of text of
        up to 1 MiB, and some bytes for each piece that the file has. A block has a row at least.
    shared : bool
        Whether all processes of a run (`jaxlr.shard.start_hosts`) call this together. Each then
        looks at a share of the rows only, and all learn what one process would of all rows. Not
        of CSV, where rows are not reached before it has been read. Without effect with an
        encoding.

    Raises
    ------
    DataError
        If the data cannot be used, naming the file, the column and the row (counted from 1,
        below the header).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "rows.csv")
    ...     _ = path.write_text("age,city,won\n30,Oslo,no\n,Rome,yes\n50,Oslo,yes\n")
    ...     stream = open_stream(path, target="won", categorical=["city"], missing="mean")
    ...     (block,) = stream.blocks()
    >>> stream.features
    ('age', 'city=Oslo', 'city=Rome', 'age:missing')
    >>> block.X
    array([[30.,  1.,  0.,  0.],
           [40.,  0.,  1.,  1.],
           [50.,  1.,  0.,  0.]], dtype=float32)
    """
    memory = _positive(memory, "memory") or MEMORY
    make = partial(
        Stream, dtype=dtype, block_rows=_positive(block_rows, "block_rows"), memory=memory
    )
    if encoding is not None:
        source, encoding = open_encoded(
            path,
            encoding,
            form,
            target=target,
            weight=weight,
            exclude=exclude,
            labelled=labelled,
        )
        return make(source, encoding, labelled=labelled)
    settings = Settings(target, positive, weight, columns, exclude, categorical, missing, unknown)
    source, plan = open_planned(path, form, settings)
    learner = Learner(plan, source.path, dtype)
    share = own_share(plan.n, learner.block_rows) if shared and plan.n is not None else (0, None)

    def look() -> None:
        for batch in source.between(plan.read, batch_rows_in(memory, len(plan.read)), *share):
            learner.add(batch)

    if shared:
        in_all(look)
    else:
        look()
    if shared and plan.n is not None:
        learner.join()
    learned, mean, scale = learner.finish()
    return make(source, learned, moments=(mean, scale))


def most_values(
    path: str | Path,
    *,
    target: str | None = None,
    weight: str | None = None,
    exclude: Collection[str] = (),
) -> int:
    """Tell how many values of columns a source has at most, as a rule without reading its rows.

    Of CSV, that goes by the size of the file, and is several times what there is. A column of
    categories becomes many features; that is not counted here. The rest is as for `open_stream`.
    """
    return open_source(path, target=target, weight=weight, ignore=exclude).most_values()


def least_size(path: str | Path, **settings: Any) -> tuple[int, int]:
    """Tell how many rows and features a source has at least, without reading its rows.

    ``settings`` are those of `open_stream` that say what the columns are. The rows of CSV are known
    after a read only: 0 of them at least.
    """
    source, plan = open_planned(path, None, Settings(**settings))
    return source.n or 0, len(plan.numbers) + len(plan.categories)


def open_planned(path: str | Path, form: str | None, settings: Settings) -> tuple[Source, Plan]:
    """Open a source to learn from, with what each of its columns is."""
    source = open_source(
        path, form, target=settings.target, weight=settings.weight, ignore=settings.exclude
    )
    plan = resolve(source, settings)
    weights = [] if plan.weight is None else [plan.weight]
    source.expect([*plan.numbers, *weights], [*plan.categories])
    return source, plan


def open_encoded(
    path: str | Path,
    encoding: Encoding,
    form: str | None = None,
    *,
    target: str | None = None,
    weight: str | None = None,
    exclude: Collection[str] = (),
    labelled: bool = True,
) -> tuple[Source, Encoding]:
    """Open a source to be read by an encoding, in which labels are called as they are there."""
    ignore = {*exclude, *encoding.exclude}
    columns = encoding.columns
    source = open_source(path, form, target=target, weight=weight, ignore=ignore, columns=columns)
    encoding = encoding._replace(
        target=source.target or encoding.target, weight=source.weight or encoding.weight
    )
    match(encoding, source, labelled=labelled, ignore=exclude)
    source.expect([c.name for c in encoding.numbers], [c.name for c in encoding.categories])
    return source, encoding


def _positive(value: int | None, name: str) -> int | None:
    if value is not None and value < 1:
        raise DataError(f"{name} is {value}; it must be at least 1")
    return value
