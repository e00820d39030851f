"""The loop of `jaxlr.train`, for K members in one program.

A member has a lane in every array. One whose loss is no longer finite, or whose patience has run
out, keeps its lane but is not updated; when half of the lanes are such, the others go on alone.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.batch.objective import widen
from jaxlr.core import Params
from jaxlr.train.loop import LOOK_EVERY
from jaxlr.train.many.members import Member, OptimizerOf, check_members, first_states, starts
from jaxlr.train.many.objective import mean_losses, objectives
from jaxlr.train.many.orders import Orders, Turn
from jaxlr.train.many.outcome import HeldOut, Lanes, Ledger, ManyProgress, where
from jaxlr.train.optimizer import State, plain
from jaxlr.train.record import (
    DivergedError,
    Result,
    ValidationRows,
    check_count,
    check_validation,
    check_validation_rows,
)

# Numbers (rows x features x lanes) in a step from which on a program for fewer lanes, which takes
# half a second to compile, is worth it.
_WORTH_COMPILING = 1 << 24


def train_many(
    params: Params,
    X: ArrayLike,
    y: ArrayLike,
    members: Sequence[Member],
    *,
    steps: int,
    optimizer: OptimizerOf = plain,
    batch_size: int | None = None,
    sample_weight: ArrayLike | None = None,
    validation: ValidationRows | None = None,
    validate_every: int = 1,
    patience: int | None = None,
    callback: Callable[[ManyProgress], bool | None] | None = None,
) -> list[Result | DivergedError]:
    """Train K models on shared rows in one program: what `jaxlr.train` makes of each alone.

    Parameters
    ----------
    params : Params
        Where all start, w (d,) and b (); or where each does, w (K, d) and b (K,).
    X, y, sample_weight
        As for `jaxlr.loss_and_grads`.
    members : sequence of Member
        Learning rate, penalty and key of each training.
    optimizer : callable
        From a learning rate to an optimiser: ``jaxlr.plain``, ``optax.adam``, or a function of
        your own, which is called with a traced number.
    steps, batch_size, validation, validate_every, patience
        As for `jaxlr.train`, and the same for all.
    callback : callable, optional
        Called with a `ManyProgress` after each step; a true answer stops all.

    Returns
    -------
    list of Result or DivergedError
        For each member, in their order, what `jaxlr.train` would have returned, or the error that
        it would have raised: a member that diverges is no longer updated, and the others do not
        notice.

    Raises
    ------
    ValueError
        As `jaxlr.train`; ``members[k]`` names a member whose settings are out of range.
    TypeError
        If ``optimizer`` is no function of the learning rate, or makes what `jaxlr.train` refuses.

    Notes
    -----
    Members share each read of the rows, with products of matrices in the place of products with a
    vector; mini-batches are shared by members of the same key. Those products are rounded in
    another order than those of one model, so that a member and its training alone differ in the
    last bits.

    Examples
    --------
    >>> import jax.numpy as jnp, jaxlr
    >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
    >>> members = [jaxlr.Member(alpha=0.5), jaxlr.Member(alpha=0.5, l2=0.1)]
    >>> for result in jaxlr.train_many(jaxlr.zeros(1), X, y, members, steps=500):
    ...     print(f"{result.status.value}: w = {result.params.w[0]:.2f}")
    all steps done: w = 0.91
    all steps done: w = 0.64
    """
    members = check_members(members)
    K = len(members)
    params = starts(params, K)
    one, X, y, s = batch.check_rows(Params(params.w[0], params.b[0]), X, y, sample_weight)
    check_count("steps", steps, least=0)
    orders = None
    if batch_size is not None:
        check_count("batch_size", batch_size)
        orders = Orders(X, s, batch_size, members)
    step, state = first_states(optimizer, members, params)
    ledger = Ledger(K, _held_out(one, validation, validate_every, patience))
    l2 = jnp.asarray([member.l2 for member in members], widen(params, X).w.dtype)
    lanes = Lanes(jnp.ones(K, bool), l2, params, params, state, params)
    lanes = ledger.look(lanes)

    mesh = shard.mesh_of(X) if orders is None else None
    one_at_a_time = mesh is not None and jax.default_backend() == "cpu"  # as in `train`
    n, stopped = orders.size if orders else len(X), False
    while ledger.steps < steps and not stopped and ledger.going().any():
        t = ledger.steps
        turn = orders.at(t) if orders else None
        before = (lanes.params, lanes.good, lanes.live)
        J, norm, grads, good, live = _gradient(*before, X, y, s, lanes.l2, turn, mesh=mesh)
        if one_at_a_time:
            jax.block_until_ready(J)
        lanes = _update(lanes._replace(good=good, live=live), grads, J, step=step)
        ledger.append(J, norm, lanes.live)
        seen = ManyProgress(t, ledger.members, J, norm, lanes.live, n)
        lanes = ledger.look(lanes)
        if callback:
            stopped = bool(callback(seen))
        if ledger.steps % LOOK_EVERY == 0:
            ledger.read_seen()
            lanes = _without_those_over(lanes, ledger, orders, n)

    ledger.read_seen()
    ledger.leave(lanes, np.zeros(len(ledger.members), bool))
    return ledger.outcomes(optimizer, stopped=stopped)


def _held_out(
    params: Params, rows: ValidationRows | None, every: int, patience: int | None
) -> HeldOut:
    """Return the losses of many members like ``params`` on held-out rows, and when to take them."""
    check_validation(rows is not None, every, patience)
    if rows is None:
        return HeldOut(None, every, patience)
    X, y, s = check_validation_rows(rows, params)
    return HeldOut(partial(mean_losses, X=X, y=y, s=s, mesh=shard.mesh_of(X)), every, patience)


def _without_those_over(lanes: Lanes, ledger: Ledger, orders: Orders | None, n: int) -> Lanes:
    """Leave out the members that are over, where enough are to be worth another program."""
    going = ledger.going()
    numbers = n * lanes.params.w.size
    if not 0 < 2 * going.sum() <= len(going) or numbers < _WORTH_COMPILING:
        return lanes
    lanes = ledger.leave(lanes, going)
    if orders:
        orders.take(ledger.members)
    return lanes


@partial(jax.jit, static_argnames="mesh")
def _gradient(
    params: Params,
    good: Params,
    live: Array,
    X: Array,
    y: Array,
    s: Array | None,
    l2: Array,
    turn: Turn | None,
    *,
    mesh: Mesh | None,
) -> tuple[Array, Array, Params, Params, Array]:
    """Losses, norms and gradients; ``good`` follows ``params`` while they are finite."""
    J, grads = objectives(params, X, y, s, l2, turn, mesh=mesh)
    dw, db = (g.astype(J.dtype) for g in grads)
    norm = jnp.sqrt(jnp.square(dw).sum(1) + jnp.square(db))
    live = live & jnp.isfinite(J) & jnp.isfinite(norm)
    return J, norm, grads, where(live, params, good), live


@partial(jax.jit, static_argnames="step")
def _update(
    lanes: Lanes, grads: Params, J: Array, *, step: Callable[..., tuple[Params, State]]
) -> Lanes:
    """One step of the members that are live."""
    before = (lanes.params, lanes.optimizer)
    after = jax.vmap(step)(lanes.params, grads, lanes.optimizer, J)
    params, optimizer = where(lanes.live, after, before)
    return lanes._replace(params=params, optimizer=optimizer)
