"""The explicit update loop: gradient descent, written out.

Each turn of `train` does what the lesson does: the loss and its gradient by hand, then
``w <- w - alpha dw``. What makes the step out of the gradient is an `Optimizer`, a pair of pure
functions; the loop does not know whether it holds the plain step or one of optax's.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlr import batch, core, shard
from jaxlr.core import Params

State = Any
_NO_ROW = -1  # fills the last mini-batch of an epoch
_LOOK_EVERY = 100  # steps between two looks at the losses, each of which waits for the device


class Optimizer(NamedTuple):
    """A rule that turns gradients into new parameters.

    ``init(params) -> state`` and ``step(params, grads, state, loss) -> (params, state)``, both
    pure. ``step`` is compiled into the training step, once for each ``step`` object.
    """

    init: Callable[[Params], State]
    step: Callable[[Params, Params, State, Array], tuple[Params, State]]


def plain(alpha: float) -> Optimizer:
    """Plain gradient descent: ``w <- w - alpha dw``, by `jaxlr.update`.

    The learning rate is the state, so that all learning rates share one compiled step.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> optimizer = plain(alpha=0.5)
    >>> params, grads = core.zeros(1), Params(jnp.array([2.0]), jnp.array(1.0))
    >>> print(optimizer.step(params, grads, optimizer.init(params), 0.0)[0].w)
    [-1.]
    """
    if not 0 < alpha < float("inf"):
        raise ValueError(f"alpha is {alpha}: the learning rate must be finite and above 0")
    return Optimizer(init=lambda params: jnp.asarray(alpha, params.w.dtype), step=_plain_step)


def _plain_step(params: Params, grads: Params, alpha: State, loss: Array) -> tuple[Params, State]:
    return core.update(params, grads, alpha), alpha


def from_optax(transformation: optax.GradientTransformation) -> Optimizer:
    """Use an optax transformation: any alias, chain or schedule.

    The loss goes along for those that read it (`optax.contrib.reduce_on_plateau`).
    Transformations that call the loss function themselves, as line searches do, cannot be used:
    they would differentiate it by autodiff.

    Examples
    --------
    >>> import optax
    >>> optimizer = from_optax(optax.adam(optax.cosine_decay_schedule(0.1, 1000)))
    """
    if not isinstance(transformation, optax.GradientTransformation):
        raise TypeError(f"not an optax transformation: {transformation!r}")
    step = _OptaxStep(optax.with_extra_args_support(transformation))
    return Optimizer(transformation.init, step)


@dataclass(frozen=True)
class _OptaxStep:
    """Equal for equal transformations, so that a transformation used twice compiles once."""

    transformation: optax.GradientTransformationExtraArgs

    def __call__(
        self, params: Params, grads: Params, state: State, loss: Array
    ) -> tuple[Params, State]:
        # optax mixes types and ranks in its own formulas.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, state = self.transformation.update(
                grads, state, params, value=loss, grad=grads, value_fn=_refuse_line_search
            )
            return optax.apply_updates(params, updates), state


def _refuse_line_search(params: Params) -> Array:
    raise TypeError(
        "this optax transformation evaluates the loss by itself, and would differentiate it by "
        "autodiff, as line searches do. Use one that does not: optax.lbfgs(linesearch=None), say"
    )


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


def train(
    params: Params,
    X: ArrayLike,
    y: ArrayLike,
    optimizer: Optimizer | optax.GradientTransformation,
    *,
    steps: int,
    batch_size: int | None = None,
    l2: float = 0.0,
    sample_weight: ArrayLike | None = None,
    key: Array | None = None,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    validate_every: int = 1,
    patience: int | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
) -> Result:
    """Minimise the mean loss over (X, y) by repeated steps against its gradient.

    Parameters
    ----------
    params : Params
        Where to start, for instance ``jaxlr.zeros(d)``.
    X, y, sample_weight, l2
        As for `jaxlr.loss_and_grads`.
    optimizer : Optimizer or optax.GradientTransformation
        ``plain(alpha)``, or anything of optax.
    steps : int
        Number of updates.
    batch_size : int, optional
        Rows in a mini-batch; all rows without it. Every epoch visits every row of positive
        weight once, in an order that depends on ``key`` and the epoch alone.
    key : jax.random key, optional
        For the order of mini-batches; ``jax.random.key(0)`` unless given.
    validation : (X, y), optional
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
        For the rows as `jaxlr.loss_and_grads`, and for settings out of range.
    DivergedError
        If the loss stops being finite. The losses are looked at every 100 steps and at the
        end, so that the loop need not wait for the device at each; the error names the step.

    Examples
    --------
    >>> import jax.numpy as jnp, jaxlr
    >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
    >>> result = jaxlr.train(jaxlr.zeros(1), X, y, jaxlr.plain(alpha=0.5), steps=500)
    >>> print(result.status.value, result.params.w.round(2), result.params.b.round(2))
    all steps done [0.97] -1.45
    """
    if isinstance(optimizer, optax.GradientTransformation):
        optimizer = from_optax(optimizer)
    params, X, y, s = batch.check_rows(params, X, y, sample_weight)
    batch.check_penalty(l2)
    _check_count("steps", steps, least=0)
    batches = None
    if batch_size is not None:
        _check_count("batch_size", batch_size)
        batches = _Batches(X, s, batch_size, jax.random.key(0) if key is None else key)
    held_out = _HeldOut(params, validation, validate_every, patience)

    mesh = shard.mesh_of(X) if batches is None else None
    state, good = optimizer.init(params), params
    record, status = _Record(), Status.STEPS_DONE
    for t in range(steps):
        rows = batches.at(t) if batches else None
        params, state, good, J, norm = _step(
            params, state, good, X, y, s, l2, rows, advance=optimizer.step, mesh=mesh
        )
        record.append(J, norm)
        if len(record) % _LOOK_EVERY == 0:
            record.raise_if_diverged(good, held_out)
        validation_loss = held_out.look(params, after=len(record))
        if callback and callback(Progress(t, params, J, norm, validation_loss)):
            status = Status.STOPPED_BY_CALLBACK
            break
        if held_out.is_over():
            status = Status.STOPPED_EARLY
            break

    record.raise_if_diverged(good, held_out, last=params)
    params, params_step = held_out.best or (params, len(record))
    return Result(params, params_step, len(record), status, record.history(held_out))


@partial(jax.jit, static_argnames=("advance", "mesh"))
def _step(
    params: Params,
    state: State,
    good: Params,
    X: Array,
    y: Array,
    s: Array | None,
    l2: ArrayLike,
    rows: tuple[Array, Array] | None,
    *,
    advance: Callable[[Params, Params, State, Array], tuple[Params, State]],
    mesh: Mesh | None,
) -> tuple[Params, State, Params, Array, Array]:
    """One turn: loss and gradient, then the update. ``good`` follows while they are finite."""
    if rows is not None:
        X, y, s = _take(X, y, s, *rows)
    J, grads = batch.objective(params, X, y, s, l2, mesh=mesh)
    norm = optax.tree.norm(grads)
    finite = jnp.isfinite(J) & jnp.isfinite(norm)
    good = jax.tree.map(lambda new, old: jnp.where(finite, new, old), params, good)
    params, state = advance(params, grads, state, J)
    return params, state, good, J, norm


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
        self.rows = np.arange(len(X)) if s is None else np.flatnonzero(s)
        self.size = min(size, len(self.rows))
        self.per_epoch = -(-len(self.rows) // self.size)
        self.key, self.epoch, self.order = key, -1, None

    def at(self, t: int) -> tuple[Array, int]:
        epoch, turn = divmod(t, self.per_epoch)
        if epoch != self.epoch:
            shuffled = jax.random.permutation(jax.random.fold_in(self.key, epoch), self.rows)
            missing = self.per_epoch * self.size - len(shuffled)
            shuffled = jnp.pad(shuffled, (0, missing), constant_values=_NO_ROW)
            self.epoch, self.order = epoch, shuffled.reshape(self.per_epoch, self.size)
        return self.order, turn


class _HeldOut:
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
        _check_count("validate_every", every)
        if patience is not None:
            _check_count("patience", patience)
        _, X, y, _ = batch.check_rows(params, *rows, None)
        self.rows = X, y
        self.look(params, after=0)

    def look(self, params: Params, after: int) -> float | None:
        if self.rows is None or after % self.every:
            return None
        loss = float(batch.compiled_mean_loss(params, *self.rows, None, 0.0, mesh=None))
        self.steps.append(after)
        self.losses.append(loss)
        if self.best is None or loss < min(self.losses[:-1]):
            self.best = params, after
        return loss

    def is_over(self) -> bool:
        if self.best is None or self.patience is None:
            return False
        return len(self.steps) - 1 - self.steps.index(self.best[1]) >= self.patience


class _Record:
    """Losses and gradient norms of the steps so far, read from the device only when asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[Array, Array]] = []
        self.read: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self.seen) + len(self.read)

    def append(self, J: Array, norm: Array) -> None:
        self.seen.append((J, norm))

    def raise_if_diverged(
        self, good: Params, held_out: _HeldOut, last: Params | None = None
    ) -> None:
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

    def history(self, held_out: _HeldOut) -> History:
        loss, grad_norm = np.reshape(self.read, (-1, 2)).T
        return History(
            loss, grad_norm, np.array(held_out.steps, int), np.array(held_out.losses, float)
        )


def _check_count(name: str, value: int, least: int = 1) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}: it must be a whole number of at least {least}")
