"""What a training loop leaves behind: why it stopped, what it saw, what it found best."""

import enum
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.core import Params
from jaxlr.train.state import Best, TrainState

ValidationRows = (
    tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike | None]
)  # X, y, and sample_weight
LossAt = Callable[[Params], float]


class Status(enum.Enum):
    """Why a training loop stopped."""

    STEPS_DONE = "all steps done"
    STOPPED_EARLY = "the validation loss no longer fell"
    STOPPED_BY_CALLBACK = "the callback asked to stop"


class Progress(NamedTuple):
    """What a callback sees after each step.

    ``loss`` and ``grad_norm`` are those before the step, ``params`` those after it. They are
    arrays that may still be computed: reading one waits for the device. ``rows`` is how many rows
    the step read, and ``state`` is what `train` can go on from.
    """

    step: int
    params: Params
    loss: Array
    grad_norm: Array
    validation_loss: float | None
    rows: int
    state: TrainState


class History(NamedTuple):
    """Losses (nats) and Euclidean gradient norms before each step; validation after some.

    ``loss`` and ``grad_norm`` have shape (steps,). ``validation_loss`` (v,) was taken after
    ``validation_step`` (v,) steps. With mini-batches, each loss is that of its batch. Where `train`
    went on from a state, the losses begin there.
    """

    loss: np.ndarray
    grad_norm: np.ndarray
    validation_step: np.ndarray
    validation_loss: np.ndarray


class Result(NamedTuple):
    """Outcome of `train`.

    ``params`` are those after ``params_step`` of the ``steps`` steps taken: the last, or with a
    validation set the best. From ``state``, the last, `train` can go on.
    """

    params: Params
    params_step: int
    steps: int
    status: Status
    history: History
    state: TrainState


class DivergedError(ArithmeticError):
    """The loss or its gradient stopped being finite after ``step`` updates.

    ``why`` says so, and what to do. ``params`` are the last parameters at which both were finite,
    those of one update before (or the first); ``history`` is all that was seen until then.
    """

    def __init__(self, step: int, params: Params, history: History) -> None:
        self.step, self.params, self.history = step, params, history
        rescale = "standardise the features (mean 0, standard deviation 1)"
        advice = f"Try a smaller alpha, or {rescale}"
        if step == 0:
            advice = f"No learning rate helps, for no step was taken yet: {rescale}"
        self.why = f"the loss or its gradient is not finite after {step} updates. {advice}"
        super().__init__(f"{self.why}. The last good parameters are in this error's .params")


def loss_on(rows: ValidationRows, params: Params) -> LossAt:
    """Return the loss (nats), as a function of parameters like ``params``, on rows in memory."""
    X, y, s = check_validation_rows(rows, params)
    mesh = shard.mesh_of(X)
    return lambda params: float(batch.compiled_mean_loss(params, X, y, s, 0.0, mesh=mesh))


def check_validation_rows(
    rows: ValidationRows, params: Params
) -> tuple[Array, Array, Array | None]:
    """Return X, y and weights as arrays, for parameters like ``params``."""
    if len(rows) not in (2, 3):
        raise ValueError(f"validation has {len(rows)} parts: pass (X, y) or (X, y, sample_weight)")
    X, y, s = rows if len(rows) == 3 else (*rows, None)
    return batch.check_rows(params, X, y, s)[1:]


def check_validation(validates: bool, every: int, patience: int | None) -> None:
    """Raise ValueError unless there can be validation so often, with so much patience."""
    if not validates:
        if patience is not None:
            raise ValueError("patience needs validation rows to watch: pass validation")
        return
    check_count("validate_every", every)
    if patience is not None:
        check_count("patience", patience)


class HeldOut:
    """Validation: the loss on held-out rows now and then, and the best parameters so far."""

    def __init__(
        self,
        state: TrainState,
        loss_at: LossAt | None,
        every: int,
        patience: int | None,
    ) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.loss_at, self.every, self.patience = loss_at, every, patience
        self.best = None if loss_at is None else state.best
        check_validation(loss_at is not None, every, patience)
        if loss_at is not None and self.best is None:
            self.best = Best(state.params, state.step, float("inf"), 0)
            self.look(state.params, after=state.step)

    def look(self, params: Params, after: int) -> float | None:
        """Take the loss if it is time to, and keep the parameters if they are the best."""
        if self.loss_at is None or self.best is None or after % self.every:
            return None
        loss = self.loss_at(params)
        self.steps.append(after)
        self.losses.append(loss)
        if loss < self.best.loss:
            self.best = Best(params, after, loss, since=0)
        else:
            self.best = self.best._replace(since=self.best.since + 1)
        return loss

    def is_over(self) -> bool:
        """Whether patience has run out."""
        return bool(self.best and self.patience and self.best.since >= self.patience)


class Record:
    """Losses and gradient norms since step ``start``, read from the device only when asked."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.seen: list[tuple[Array, Array]] = []
        self.read: list[tuple[float, float]] = []

    def append(self, J: Array, norm: Array) -> None:
        """Note one step, without waiting for it."""
        self.seen.append((J, norm))

    def raise_if_diverged(
        self, good: Params, held_out: HeldOut, last: Params | None = None
    ) -> None:
        """Wait for the steps noted so far; raise DivergedError at the first not finite."""
        first = len(self.read)
        self.read += [(float(J), float(norm)) for J, norm in jax.device_get(self.seen)]
        self.seen = []
        finite = np.isfinite(np.reshape(self.read[first:], (-1, 2))).all(axis=1)
        taken = first + int(np.argmin(finite)) if not finite.all() else None
        if taken is None and last is not None and not all(np.isfinite(v).all() for v in last):
            taken = len(self.read)  # the last update itself overflowed
        if taken is not None:
            del self.read[taken + 1 :]
            raise DivergedError(self.start + taken, good, self.history(held_out))

    def history(self, held_out: HeldOut) -> History:
        """Return all that was read so far."""
        loss, grad_norm = np.reshape(self.read, (-1, 2)).T
        return History(
            loss, grad_norm, np.array(held_out.steps, int), np.array(held_out.losses, float)
        )


def check_count(name: str, value: int, least: int = 1, most: int = 2**31 - 1) -> None:
    """Raise ValueError unless ``value`` is a whole number from ``least`` to ``most``.

    Steps are counted in int32, by optax too.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}: it must be a whole number from {least} to {most}")
