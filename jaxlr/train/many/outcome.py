"""What is known of K members while they train, and what becomes of each."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxlr.core import Params
from jaxlr.train.many.members import OptimizerOf, own_state
from jaxlr.train.optimizer import State
from jaxlr.train.record import DivergedError, History, Result, Status
from jaxlr.train.state import Best, TrainState

_NEVER = np.iinfo(np.int64).max


class ManyProgress(NamedTuple):
    """What a callback of `jaxlr.train_many` sees after each step.

    ``members`` are the numbers of those in the program; ``loss`` and ``grad_norm``, those before
    the step, and ``live``, whether a member was still training then, have one entry for each of
    them. They are arrays that may still be computed. ``rows`` is how many rows a member read.
    """

    step: int
    members: np.ndarray
    loss: Array
    grad_norm: Array
    live: Array
    rows: int


class Lanes(NamedTuple):
    """Members as the device has them, one in each lane: whether one still trains, and its state."""

    live: Array
    l2: Array
    params: Params
    good: Params
    optimizer: State
    best: Params


class HeldOut(NamedTuple):
    """Losses (K,) of members on held-out rows, how often to take them, and the patience."""

    losses_at: Callable[[Params], Array] | None
    every: int
    patience: int | None


class Ledger:
    """Members as the host has them, all K, by their numbers.

    ``members`` says which one is in which lane. ``taken`` counts the steps with a finite loss,
    ``ended`` is the step after which patience ran out.
    """

    def __init__(self, K: int, held_out: HeldOut) -> None:
        self.K, self.held_out = K, held_out
        self.members = np.arange(K)
        self.taken, self.ended = np.zeros(K, int), np.full(K, _NEVER)
        self.steps = 0
        self.seen: list[tuple[Array, Array, Array]] = []
        self.read: list[np.ndarray] = []  # (steps, 2, K)
        self.validated: list[int] = []
        self.losses: list[np.ndarray] = []
        self.best_loss, self.best_step = np.full(K, np.inf), np.zeros(K, int)
        self.since = np.zeros(K, int)
        self.left: dict[int, Lanes] = {}

    def append(self, J: Array, norm: Array, live: Array) -> None:
        """Note one step, without waiting for it."""
        self.seen.append((J, norm, live))
        self.steps += 1

    def going(self) -> np.ndarray:
        """Whether each lane still trains, as far as is known."""
        last = np.minimum(self.ended, self.steps - len(self.seen))
        return ((self.taken == last) & (self.ended == _NEVER))[self.members]

    def look(self, lanes: Lanes) -> Lanes:
        """Take the validation losses if it is time to; keep what is best, and end what is over."""
        held_out = self.held_out
        if held_out.losses_at is None or self.steps % held_out.every:
            return lanes
        losses = np.full(self.K, np.nan)
        losses[self.members] = np.asarray(held_out.losses_at(lanes.params))
        self.validated.append(self.steps)
        self.losses.append(losses)
        trains = self.ended == _NEVER
        better = trains & (losses < self.best_loss)
        self.best_loss[better], self.best_step[better] = losses[better], self.steps
        self.since[trains] = np.where(better, 0, self.since + 1)[trains]
        if held_out.patience:
            self.ended[trains & (self.since >= held_out.patience)] = self.steps
        going = self.ended[self.members] == _NEVER
        best, live = _keep(lanes.params, lanes.best, lanes.live, better[self.members], going)
        return lanes._replace(best=best, live=live)

    def read_seen(self) -> None:
        """Wait for the steps noted so far: who has diverged is known then."""
        if not self.seen:
            return
        J, norm, live = (np.array(v) for v in zip(*jax.device_get(self.seen), strict=True))
        numbers = np.full((len(J), 2, self.K), np.nan)
        numbers[:, 0, self.members], numbers[:, 1, self.members] = J, norm
        self.read.append(numbers)
        self.taken[self.members] += live.sum(axis=0)
        self.seen = []

    def leave(self, lanes: Lanes, stay: np.ndarray) -> Lanes:
        """Set aside the members whose lanes do not ``stay``; return the lanes of the others."""
        for i in np.flatnonzero(~stay):
            self.left[int(self.members[i])] = jax.tree.map(lambda v, i=i: v[i], lanes)
        self.members = self.members[stay]
        return jax.tree.map(lambda v: v[stay], lanes)

    def outcomes(self, optimizer: OptimizerOf, *, stopped: bool) -> list[Result | DivergedError]:
        """Return what `train` would have returned, or raised, for each member."""
        read = np.concatenate([np.empty((0, 2, self.K)), *self.read])
        of = (self._outcome(k, read[:, :, k], optimizer, stopped) for k in range(self.K))
        return list(of)

    def _outcome(
        self, k: int, read: np.ndarray, optimizer: OptimizerOf, stopped: bool
    ) -> Result | DivergedError:
        lane, steps = self.left[k], int(min(self.ended[k], self.steps))
        taken = int(self.taken[k])
        if taken < steps:
            return DivergedError(taken, lane.good, self._history(k, read[: taken + 1]))
        history = self._history(k, read[:steps])
        if not all(np.isfinite(v).all() for v in lane.params):
            return DivergedError(steps, lane.good, history)
        best, params, params_step = None, lane.params, steps
        if self.held_out.losses_at is not None:
            params, params_step = lane.best, int(self.best_step[k])
            since = int(self.since[k])
            best = Best(params, params_step, float(self.best_loss[k]), since)
        state = TrainState(
            steps, lane.params, lane.good, own_state(optimizer, lane.optimizer), best
        )
        status = Status.STOPPED_BY_CALLBACK if stopped else Status.STEPS_DONE
        status = Status.STOPPED_EARLY if self.ended[k] != _NEVER else status
        return Result(params, params_step, steps, status, history, state)

    def _history(self, k: int, read: np.ndarray) -> History:
        last = self.ended[k]
        taken = [(t, v[k]) for t, v in zip(self.validated, self.losses, strict=True) if t <= last]
        steps, losses = [t for t, _ in taken], [loss for _, loss in taken]
        return History(read[:, 0], read[:, 1], np.array(steps, int), np.array(losses, float))


def where(which: Array, new: Any, old: Any) -> Any:
    """Take ``new`` in the lanes that are of ``which``, and ``old`` in the others."""

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(jnp.expand_dims(which, range(1, new.ndim)), new, old)

    return jax.tree.map(choose, new, old)


@jax.jit
def _keep(
    params: Params, best: Params, live: Array, better: Array, going: Array
) -> tuple[Params, Array]:
    return where(better, params, best), live & going
