"""What rows that are read again and again must offer, and blocks of them on the device."""

from collections.abc import Generator, Iterable
from contextlib import closing
from typing import NamedTuple, Protocol

import numpy as np

from jaxlr import batch, shard
from jaxlr.batch import RowBlock, Rows


class RowStream(Protocol):
    """Rows that can be read as often as asked for, in the same order each time.

    All blocks but the last have as many rows as the first, for code is compiled for that many. A
    block is asked for in a thread while the one before is used.
    """

    def blocks(self) -> Iterable[RowBlock]:
        """Read all rows, block by block."""
        ...


class Kind(NamedTuple):
    """What all blocks have alike: the number of columns, and whether rows have weights."""

    d: int
    weighted: bool


class Block(NamedTuple):
    """A `RowBlock` whose shapes are right."""

    X: np.ndarray
    y: np.ndarray
    s: np.ndarray | None

    @property
    def kind(self) -> Kind:
        """What all blocks must have alike."""
        return Kind(self.X.shape[1], self.s is not None)


def read(stream: RowStream, kind: Kind | None = None) -> Generator[Block]:
    """Read all rows; the next block is made in a thread while one is used.

    Raises
    ------
    ValueError
        If shapes do not fit, or a block is not of that kind; without it, of that of the first.
    """
    with closing(shard.prefetch(stream.blocks())) as blocks:
        for found in blocks:
            block = _checked(found)
            kind = block.kind if kind is None else kind
            if block.kind != kind:
                raise ValueError(
                    f"blocks differ: one has {_describe(kind)}, a later one {_describe(block.kind)}"
                )
            yield block


def check_values(block: Block, first: int) -> None:
    """Raise ValueError naming a label or weight out of range; ``first`` counts the rows before."""
    for name, v, rule, most in (
        ("y", block.y, batch.LABELS, 1.0),
        ("weight", block.s, batch.WEIGHTS, np.inf),
    ):
        if v is None:
            continue
        ok = (v >= 0) & (v <= most) & np.isfinite(v)
        if not ok.all():
            i = int(np.argmin(ok))
            raise ValueError(f"{name} is {v[i]} in row {first + i + 1} (counted from 1): {rule}")


def check_features(block: Block, first: int) -> None:
    """Raise ValueError naming a feature that is not finite; ``first`` counts the rows before."""
    ok = np.isfinite(block.X)
    if not ok.all():
        i, j = batch.first_false(ok)
        raise ValueError(
            f"X is {block.X[i, j]} in column {j + 1}, row {first + i + 1} (counted from 1): "
            f"{batch.FEATURES}"
        )


def on_device(block: Block, m: int) -> Rows:
    """Rows of a block on the device, filled up to m with rows of weight 0."""
    s = np.ones(len(block.X), bool) if block.s is None else block.s
    return Rows(*(shard.put(_filled(v, m)) for v in (block.X, block.y, s)))


def _checked(block: RowBlock) -> Block:
    X, y, s = block.X, block.y, block.weight
    if y is None:
        raise ValueError("the rows have no labels: there is nothing to fit")
    if X.ndim != 2 or len(X) == 0 or y.shape != (len(X),) or (s is not None and s.shape != y.shape):
        raise ValueError(
            f"a block has X {X.shape}, y {y.shape} and weights "
            f"{'None' if s is None else s.shape}: they must be (m, d), (m,) and (m,) or None, "
            "with a row or more"
        )
    return Block(X, y, s)


def _describe(kind: Kind) -> str:
    return f"{kind.d} features and {'weights' if kind.weighted else 'no weights'}"


def _filled(v: np.ndarray, m: int) -> np.ndarray:
    if len(v) >= m:
        return v
    longer = shard.aligned_empty((m, *v.shape[1:]), v.dtype)
    longer[: len(v)], longer[len(v) :] = v, 0
    return longer
