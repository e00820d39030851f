"""In what K trainings differ: where they start, their learning rates, penalties and orders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from jaxlr import batch
from jaxlr.core import Params
from jaxlr.train.optimizer import Optimizer, State, as_optimizer, check_alpha, plain

# Learning rate to optimiser: `plain`, `optax.adam`.
OptimizerOf = Callable[[Any], Optimizer | optax.GradientTransformation | optax.MultiSteps]


class Member(NamedTuple):
    """One of K trainings: its learning rate ``alpha``, penalty ``l2``, and ``key``.

    ``key`` is for the order of mini-batches; ``jax.random.key(0)`` unless given.
    """

    alpha: float
    l2: float = 0.0
    key: Array | None = None


def check_members(members: Sequence[Member]) -> list[Member]:
    """Return the members as a list, at least one, each with settings in range."""
    members = list(members)
    if not members:
        raise ValueError("members is empty: name a Member or more")
    for k, member in enumerate(members):
        if not isinstance(member, Member):
            raise TypeError(f"members[{k}] is {member!r}: make it a jaxlr.Member(alpha, l2)")
        try:
            check_alpha(member.alpha)
            batch.check_penalty(member.l2)
        except ValueError as error:
            raise ValueError(f"members[{k}]: {error}") from error
    return members


def starts(params: Params, K: int) -> Params:
    """Return w (K, d) and b (K,): one start for all members, or those of each."""
    w, b = jnp.asarray(params.w), jnp.asarray(params.b)
    if (w.ndim, b.ndim) == (1, 0):
        return Params(jnp.tile(w, (K, 1)), jnp.tile(b, K).astype(w.dtype))
    if w.ndim != 2 or len(w) != K or b.shape != (K,):
        raise ValueError(
            f"params of {K} members must be w (d,) and b (), or w ({K}, d) and b ({K},): w is "
            f"{w.shape} and b is {b.shape}"
        )
    return Params(w, b.astype(w.dtype))


def first_states(
    optimizer: OptimizerOf, members: Sequence[Member], params: Params
) -> tuple[Callable[..., tuple[Params, State]], State]:
    """Return the step of one member, and the states of all, stacked.

    The learning rate is part of the state, so that one step serves all of them.
    """
    if not callable(optimizer):
        raise TypeError(
            f"optimizer is {optimizer!r}: it must be a function of the learning rate, which each "
            "member has its own: jaxlr.plain or optax.adam, say, without calling it"
        )
    if optimizer is plain:
        rates = [member.alpha for member in members]
        return plain(1.0).step, jnp.asarray(rates, params.w.dtype)
    # Of a weak type, as a number of Python's is: optax's schedules compute in other types then.
    alpha = jnp.stack([jnp.asarray(float(member.alpha)) for member in members])
    as_optimizer(optimizer(members[0].alpha))  # what cannot be used is said outside of a trace

    def init(alpha: Array, params: Params) -> State:
        return as_optimizer(optimizer(alpha)).init(params)

    return _StepAtRate(optimizer), (alpha, jax.vmap(init)(alpha, params))


def own_state(optimizer: OptimizerOf, state: State) -> State:
    """Return the state of one member as `train` knows it."""
    return state if optimizer is plain else state[1]


@dataclass(frozen=True)
class _StepAtRate:
    """Make the optimiser of a learning rate that is traced, and take its step."""

    optimizer: OptimizerOf

    def __call__(
        self, params: Params, grads: Params, state: tuple[Array, State], loss: ArrayLike
    ) -> tuple[Params, tuple[Array, State]]:
        alpha, own = state
        rule: Any = as_optimizer(self.optimizer(alpha))
        params, own = rule.step(params, grads, own, loss)
        return params, (alpha, own)
