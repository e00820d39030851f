"""What a training loop leaves behind: why it stopped, what it saw, what it found best."""

import enum
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxlr import batch
from jaxlr.core import Params


class Status(enum.Enum):
    """Why a training loop stopped."""

    STEPS_DONE = "all steps done"
    STOPPED_EARLY = "the validation loss no longer fell"
    STOPPED_BY_CALLBACK = "the callback asked to stop"


class Progress(NamedTuple):
    """What a callback sees after each step.

    ``loss`` and ``grad_norm`` are those before the step, ``params`` those after it. They are
    arrays that may still be computed: reading one waits for the device.
    """

    step: int
    params: Params
    loss: Array
    grad_norm: Array
    validation_loss: float | None


class History(NamedTuple):
    """Losses (nats) and Euclidean gradient norms before each step; validation after some.

    ``loss`` and ``grad_norm`` have shape (steps,). ``validation_loss`` (v,) was taken after
    ``validation_step`` (v,) steps. With mini-batches, each loss is that of its batch.
    """

    loss: np.ndarray
    grad_norm: np.ndarray
    validation_step: np.ndarray
    validation_loss: np.ndarray


class Result(NamedTuple):
    """Outcome of `train`.

    ``params`` are those after ``params_step`` of the ``steps`` steps taken: the last, or with a
    validation set the best.
    """

    params: Params
    params_step: int
    steps: int
    status: Status
    history: History


class DivergedError(ArithmeticError):
    """The loss or its gradient stopped being finite after ``step`` updates.

    ``params`` are the last parameters at which both were finite, those of one update before (or
    the first); ``history`` is all that was seen until then.
    """

    def __init__(self, step: int, params: Params, history: History) -> None:
        self.step, self.params, self.history = step, params, history
        super().__init__(
            f"the loss or its gradient is no longer finite after {step} updates. Try a smaller "
            "alpha, or standardise the features (mean 0, standard deviation 1). The last good "
            "parameters are in this error's .params"
        )


class HeldOut:
    """Validation: the loss on held-out rows now and then, and the best parameters so far."""

    def __init__(
        self,
        params: Params,
        rows: tuple[ArrayLike, ArrayLike] | None,
        every: int,
        patience: int | None,
    ) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.best: tuple[Params, int] | None = None
        self.rows, self.every, self.patience = None, every, patience
        if rows is None:
            if patience is not None:
                raise ValueError("patience needs validation=(X, y) to watch")
            return
        check_count("validate_every", every)
        if patience is not None:
            check_count("patience", patience)
        _, X, y, _ = batch.check_rows(params, *rows, None)
        self.rows = X, y
        self.look(params, after=0)

    def look(self, params: Params, after: int) -> float | None:
        """Take the loss if it is time to, and keep the parameters if they are the best."""
        if self.rows is None or after % self.every:
            return None
        loss = float(batch.compiled_mean_loss(params, *self.rows, None, 0.0, mesh=None))
        self.steps.append(after)
        self.losses.append(loss)
        if self.best is None or loss < min(self.losses[:-1]):
            self.best = params, after
        return loss

    def is_over(self) -> bool:
        """Whether patience has run out."""
        if self.best is None or self.patience is None:
            return False
        return len(self.steps) - 1 - self.steps.index(self.best[1]) >= self.patience


class Record:
    """Losses and gradient norms of the steps so far, read from the device only when asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[Array, Array]] = []
        self.read: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self.seen) + len(self.read)

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
        step = first + int(np.argmin(finite)) if not finite.all() else None
        if step is None and last is not None and not all(np.isfinite(v).all() for v in last):
            step = len(self)  # the last update itself overflowed
        if step is not None:
            del self.read[step + 1 :]
            raise DivergedError(step, good, self.history(held_out))

    def history(self, held_out: HeldOut) -> History:
        """Return all that was read so far."""
        loss, grad_norm = np.reshape(self.read, (-1, 2)).T
        return History(
            loss, grad_norm, np.array(held_out.steps, int), np.array(held_out.losses, float)
        )


def check_count(name: str, value: int, least: int = 1) -> None:
    """Raise ValueError unless ``value`` is a whole number of at least ``least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}: it must be a whole number of at least {least}")
