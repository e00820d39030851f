"""Rows in memory: the gradient of all of them, or of a mini-batch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.core import Params

_NO_ROW = -1  # fills the last mini-batch of an epoch


class InMemory:
    """Rows X (n, d), y (n,) and weights s (n,) or None, on one device or more."""

    def __init__(self, X: Array, y: Array, s: Array | None, batches: "Batches | None") -> None:
        self.X, self.y, self.s, self.batches = X, y, s, batches
        self.size = batches.size if batches else len(X)
        self.mesh = shard.mesh_of(X) if batches is None else None
        # XLA's devices on a CPU share one pool of threads: with several sums over devices under
        # way, the parts of one can hold all threads while those of another wait for theirs, for
        # good.
        self.one_at_a_time = self.mesh is not None and jax.default_backend() == "cpu"

    def gradient(
        self, t: int, params: Params, good: Params, l2: ArrayLike
    ) -> tuple[Array, Params, Array, Params]:
        """Loss, gradient and its norm in step t; ``good`` follows ``params`` while finite."""
        rows = self.batches.at(t) if self.batches else None
        found = gradient(params, good, self.X, self.y, self.s, l2, rows, mesh=self.mesh)
        return jax.block_until_ready(found) if self.one_at_a_time else found


@partial(jax.jit, static_argnames="mesh")
def gradient(
    params: Params,
    good: Params,
    X: Array,
    y: Array,
    s: Array | None,
    l2: ArrayLike,
    rows: tuple[Array, Array] | None,
    *,
    mesh: Mesh | None,
) -> tuple[Array, Params, Array, Params]:
    """Loss, gradient and its norm; ``good`` follows ``params`` while they are finite."""
    if rows is not None:
        X, y, s = take(X, y, s, *rows)
    return with_norm(params, good, *batch.objective(params, X, y, s, l2, mesh=mesh))


def with_norm(
    params: Params, good: Params, J: Array, grads: Params
) -> tuple[Array, Params, Array, Params]:
    """Add to loss and gradient its norm, and the last parameters at which both were finite."""
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g.astype(J.dtype))) for g in grads))
    finite = jnp.isfinite(J) & jnp.isfinite(norm)
    good = jax.tree.map(lambda new, old: jnp.where(finite, new, old), params, good)
    return J, grads, norm, good


def take(
    X: Array, y: Array, s: Array | None, order: Array, turn: ArrayLike
) -> tuple[Array, Array, Array]:
    """Rows of one mini-batch; where the epoch has no row left, any row with weight 0."""
    index = order[turn]
    weight = (index != _NO_ROW).astype(jnp.float32 if s is None else s.dtype)
    if s is not None:
        weight = weight * s[index]
    return X[index], y[index], weight


class Batches:
    """Order of the rows, epoch by epoch: a shuffle that depends on the key and the epoch alone."""

    def __init__(self, X: Array, s: Array | None, size: int, key: Array) -> None:
        # A batch of weight 0 has no mean loss; without the rows of weight 0 there is none.
        self.rows = np.arange(len(X)) if s is None else np.flatnonzero(shard.on_host(s))
        self.size = min(size, len(self.rows))
        self.per_epoch = -(-len(self.rows) // self.size)
        self.key, self.epoch = key, 0
        self.order = self._shuffled(0)

    def at(self, t: int) -> tuple[Array, int]:
        """Give the order of the epoch that step t is in, and which turn of it that is."""
        epoch, turn = divmod(t, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self._shuffled(epoch)
        return self.order, turn

    def _shuffled(self, epoch: int) -> Array:
        rows = jax.random.permutation(jax.random.fold_in(self.key, epoch), self.rows)
        missing = self.per_epoch * self.size - len(rows)
        rows = jnp.pad(rows, (0, missing), constant_values=_NO_ROW)
        return rows.reshape(self.per_epoch, self.size)
