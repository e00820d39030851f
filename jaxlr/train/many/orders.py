"""Mini-batches of K members: those with the same key take the same rows, which are read once."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxlr.train.many.members import Member
from jaxlr.train.rows import Batches


class Turn(NamedTuple):
    """Which rows the lanes take in one step.

    ``orders`` (S, batches, size) are the S orders of the epoch, of which the batch ``turn`` is
    next; ``place`` (S, M) are the lanes of each, filled up with its first; ``back`` (lanes,) finds
    each lane among all S M.
    """

    orders: Array
    turn: int
    place: np.ndarray
    back: np.ndarray


class Orders:
    """The orders of all members, and who of them has which."""

    def __init__(self, X: Array, s: Array | None, size: int, members: Sequence[Member]) -> None:
        keys = [jax.random.key(0) if m.key is None else m.key for m in members]
        names = [(str(key.dtype), np.asarray(jax.random.key_data(key)).tobytes()) for key in keys]
        distinct = dict(zip(names, keys, strict=True))
        self.batches = [Batches(X, s, size, key) for key in distinct.values()]
        self.order_of = np.array([list(distinct).index(name) for name in names])
        self.size, self.per_epoch = self.batches[0].size, self.batches[0].per_epoch
        self.take(np.arange(len(members)))

    def take(self, members: np.ndarray) -> None:
        """Have these members in the lanes from now on."""
        self.used, order = np.unique(self.order_of[members], return_inverse=True)
        lanes = [np.flatnonzero(order == i) for i in range(len(self.used))]
        M = max(map(len, lanes))
        self.place = np.stack([np.pad(v, (0, M - len(v)), constant_values=v[0]) for v in lanes])
        self.back = np.empty(len(members), int)
        for i, v in enumerate(lanes):
            self.back[v] = i * M + np.arange(len(v))
        self.epoch = None

    def at(self, t: int) -> Turn:
        """Return the rows of step ``t``."""
        found = [self.batches[i].at(t) for i in self.used]
        if self.epoch != t // self.per_epoch:
            self.epoch = t // self.per_epoch
            self.orders = jnp.stack([order for order, _ in found])
        return Turn(self.orders, found[0][1], self.place, self.back)
