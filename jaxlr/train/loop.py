"""The explicit update loop: gradient descent, written out.

Each turn does what the lesson does: the loss and its gradient by hand, then
``w <- w - alpha dw``. The loop does not know whether the plain step or one of optax's makes the
step out of the gradient.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.core import Params
from jaxlr.train.optimizer import Optimizer, State, as_optimizer
from jaxlr.train.record import (
    HeldOut,
    Progress,
    Record,
    Result,
    Status,
    ValidationRows,
    check_count,
)
from jaxlr.train.state import TrainState, check_state, first_state

_NO_ROW = -1  # fills the last mini-batch of an epoch
_LOOK_EVERY = 100  # steps between two looks at the losses, each of which waits for the device


def train(
    params: Params | TrainState,
    X: ArrayLike,
    y: ArrayLike,
    optimizer: Optimizer | optax.GradientTransformation | optax.MultiSteps,
    *,
    steps: int,
    batch_size: int | None = None,
    l2: float = 0.0,
    sample_weight: ArrayLike | None = None,
    key: Array | None = None,
    validation: ValidationRows | None = None,
    validate_every: int = 1,
    patience: int | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
) -> Result:
    """Minimise the mean loss over (X, y) by repeated steps against its gradient.

    Parameters
    ----------
    params : Params or TrainState
        Where to start, for instance ``jaxlr.zeros(d)``; or the state that an earlier training
        left, from which this one goes on to the same bits as without the break.
    X, y, sample_weight, l2
        As for `jaxlr.loss_and_grads`.
    optimizer : Optimizer, optax.GradientTransformation or optax.MultiSteps
        ``plain(alpha)``, or anything of optax.
    steps : int
        Number of updates, those of an earlier training included.
    batch_size : int, optional
        Rows in a mini-batch; all rows without it. Every epoch visits every row of positive
        weight once, in an order that depends on ``key`` and the epoch alone.
    key : jax.random key, optional
        For the order of mini-batches; ``jax.random.key(0)`` unless given.
    validation : (X, y) or (X, y, sample_weight), optional
        Held-out rows. Their loss, without penalty, is taken before the first step and every
        ``validate_every`` steps, and the parameters with the smallest one are returned.
    patience : int, optional
        Stop when that many validations in a row brought no smaller loss.
    callback : callable, optional
        Called with a `Progress` after each step; a true answer stops the loop.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        For the rows as `jaxlr.loss_and_grads`, for settings out of range, and for a state of
        another optimiser.
    TypeError
        If ``optimizer`` is none, or one that calls the loss by itself.
    DivergedError
        If the loss stops being finite. The losses are looked at every 100 steps and at the
        end, so that the loop need not wait for the device at each; the error names the step.

    Examples
    --------
    >>> import jax.numpy as jnp, jaxlr
    >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
    >>> result = jaxlr.train(jaxlr.zeros(1), X, y, jaxlr.plain(alpha=0.5), steps=500)
    >>> w, b = result.params
    >>> print(f"{result.status.value}: w = {w[0]:.2f}, b = {b:.2f}")
    all steps done: w = 0.91, b = -1.36
    """
    optimizer = as_optimizer(optimizer)
    earlier = params if isinstance(params, TrainState) else None
    start = params.params if isinstance(params, TrainState) else params
    start, X, y, s = batch.check_rows(start, X, y, sample_weight)
    batch.check_penalty(l2)
    check_count("steps", steps, least=0)
    batches = None
    if batch_size is not None:
        check_count("batch_size", batch_size)
        batches = _Batches(X, s, batch_size, jax.random.key(0) if key is None else key)
    state = check_state(earlier, start, optimizer) if earlier else first_state(start, optimizer)
    held_out = HeldOut(state, validation, validate_every, patience)

    mesh = shard.mesh_of(X) if batches is None else None
    # XLA's devices on a CPU share one pool of threads: with several sums over devices under way,
    # the parts of one can hold all threads while those of another wait for theirs, for good.
    one_at_a_time = mesh is not None and jax.default_backend() == "cpu"
    record, n, stopped = Record(state.step), batches.size if batches else len(X), False
    while state.step < steps and not stopped and not held_out.is_over():
        t, old = state.step, state.params
        rows = batches.at(t) if batches else None
        J, grads, norm, good = _gradient(old, state.good, X, y, s, l2, rows, mesh=mesh)
        if one_at_a_time:
            jax.block_until_ready(J)
        new, after = _update(old, grads, state.optimizer, J, step=optimizer.step)
        record.append(J, norm)
        validation_loss = held_out.look(new, after=t + 1)
        state = TrainState(t + 1, new, good, after, held_out.best)
        if callback:
            stopped = callback(Progress(t, new, J, norm, validation_loss, n, state))
        if state.step % _LOOK_EVERY == 0:
            record.raise_if_diverged(good, held_out)

    record.raise_if_diverged(state.good, held_out, last=state.params)
    status = Status.STOPPED_EARLY if held_out.is_over() else Status.STEPS_DONE
    status = Status.STOPPED_BY_CALLBACK if stopped else status
    last, last_step, *_ = held_out.best or (state.params, state.step)
    return Result(last, last_step, state.step, status, record.history(held_out), state)


# Gradient and update are compiled apart. Compiled together, XLA would draw a constant learning rate
# into the sums, and optax's plain step would differ from ours in the last bit.


@partial(jax.jit, static_argnames="mesh")
def _gradient(
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
        X, y, s = _take(X, y, s, *rows)
    J, grads = batch.objective(params, X, y, s, l2, mesh=mesh)
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g.astype(J.dtype))) for g in grads))
    finite = jnp.isfinite(J) & jnp.isfinite(norm)
    good = jax.tree.map(lambda new, old: jnp.where(finite, new, old), params, good)
    return J, grads, norm, good


@partial(jax.jit, static_argnames="step")
def _update(
    params: Params,
    grads: Params,
    state: State,
    J: Array,
    *,
    step: Callable[[Params, Params, State, Array], tuple[Params, State]],
) -> tuple[Params, State]:
    return step(params, grads, state, J)


def _take(
    X: Array, y: Array, s: Array | None, order: Array, turn: ArrayLike
) -> tuple[Array, Array, Array]:
    """Rows of one mini-batch; where the epoch has no row left, any row with weight 0."""
    index = order[turn]
    weight = (index != _NO_ROW).astype(jnp.float32 if s is None else s.dtype)
    if s is not None:
        weight = weight * s[index]
    return X[index], y[index], weight


class _Batches:
    """Order of the rows, epoch by epoch: a shuffle that depends on the key and the epoch alone."""

    def __init__(self, X: Array, s: Array | None, size: int, key: Array) -> None:
        # A batch of weight 0 has no mean loss; without the rows of weight 0 there is none.
        self.rows = np.arange(len(X)) if s is None else np.flatnonzero(shard.on_host(s))
        self.size = min(size, len(self.rows))
        self.per_epoch = -(-len(self.rows) // self.size)
        self.key, self.epoch = key, 0
        self.order = self._shuffled(0)

    def at(self, t: int) -> tuple[Array, int]:
        epoch, turn = divmod(t, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self._shuffled(epoch)
        return self.order, turn

    def _shuffled(self, epoch: int) -> Array:
        rows = jax.random.permutation(jax.random.fold_in(self.key, epoch), self.rows)
        missing = self.per_epoch * self.size - len(rows)
        rows = jnp.pad(rows, (0, missing), constant_values=_NO_ROW)
        return rows.reshape(self.per_epoch, self.size)
