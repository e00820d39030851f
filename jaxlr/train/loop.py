"""The explicit update loop: gradient descent, written out.

Each turn does what the lesson does: the loss and its gradient by hand, then
``w <- w - alpha dw``. The loop does not know whether the plain step or one of optax's makes the
step out of the gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import jax
import optax
from jax import Array
from jax.typing import ArrayLike

from jaxlr import batch
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
    loss_on,
)
from jaxlr.train.rows import Batches, InMemory
from jaxlr.train.state import TrainState, begin_at, params_of

LOOK_EVERY = 100  # steps between two looks at the losses, each of which waits for the device


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
    start, X, y, s = batch.check_rows(params_of(params), X, y, sample_weight)
    batch.check_penalty(l2)
    check_count("steps", steps, least=0)
    batches = None
    if batch_size is not None:
        check_count("batch_size", batch_size)
        batches = Batches(X, s, batch_size, jax.random.key(0) if key is None else key)
    state = begin_at(params, start, optimizer)
    look = None if validation is None else loss_on(validation, state.params)
    held_out = HeldOut(state, look, validate_every, patience)
    return descend(state, InMemory(X, y, s, batches), optimizer, l2, steps, held_out, callback)


class TrainingRows(Protocol):
    """Rows as the loop asks for them: ``size`` of them a step."""

    @property
    def size(self) -> int: ...  # noqa: D102

    def gradient(
        self, t: int, params: Params, good: Params, l2: ArrayLike
    ) -> tuple[Array, Params, Array, Params]:
        """Loss, gradient and its norm in step t; ``good`` follows ``params`` while finite."""
        ...


def descend(
    state: TrainState,
    rows: TrainingRows,
    optimizer: Optimizer,
    l2: float,
    steps: int,
    held_out: HeldOut,
    callback: Callable[[Progress], bool | None] | None,
) -> Result:
    """Take the steps from ``state`` on; the loop of `train` and of `train_stream`."""
    record, stopped = Record(state.step), False
    while state.step < steps and not stopped and not held_out.is_over():
        t, old = state.step, state.params
        J, grads, norm, good = rows.gradient(t, old, state.good, l2)
        new, after = _update(old, grads, state.optimizer, J, step=optimizer.step)
        record.append(J, norm)
        validation_loss = held_out.look(new, after=t + 1)
        state = TrainState(t + 1, new, good, after, held_out.best)
        if callback:
            stopped = callback(Progress(t, new, J, norm, validation_loss, rows.size, state))
        if state.step % LOOK_EVERY == 0:
            record.raise_if_diverged(good, held_out)

    record.raise_if_diverged(state.good, held_out, last=state.params)
    status = Status.STOPPED_EARLY if held_out.is_over() else Status.STEPS_DONE
    status = Status.STOPPED_BY_CALLBACK if stopped else status
    last, last_step, *_ = held_out.best or (state.params, state.step)
    return Result(last, last_step, state.step, status, record.history(held_out), state)


# Gradient and update are compiled apart. Compiled together, XLA would draw a constant learning rate
# into the sums, and optax's plain step would differ from ours in the last bit: see rows.py.


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
