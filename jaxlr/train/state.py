"""Where a training loop stands: all that its next step depends on, so that it can go on later."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr.core import Params
from jaxlr.train.optimizer import Optimizer, State


class Best(NamedTuple):
    """Parameters with the smallest validation ``loss`` (nats) so far.

    They are those after ``step`` steps, and ``since`` validations have brought no better ones.
    """

    params: Params
    step: int
    loss: float
    since: int


class TrainState(NamedTuple):
    """What a training loop knows after ``step`` steps: a PyTree.

    ``good`` are the last parameters whose loss and gradient were finite, ``optimizer`` is the
    optimiser's own state, ``best`` is None without validation. `train` goes on from it, to the bit,
    given the same rows and settings. What depends on the step alone, as the order of mini-batches
    does, is not in it.

    Examples
    --------
    >>> import jax.numpy as jnp, jaxlr
    >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
    >>> first = jaxlr.train(jaxlr.zeros(1), X, y, jaxlr.plain(0.5), steps=20)
    >>> more = jaxlr.train(first.state, X, y, jaxlr.plain(0.5), steps=50)
    >>> at_once = jaxlr.train(jaxlr.zeros(1), X, y, jaxlr.plain(0.5), steps=50)
    >>> more.steps, bool(more.params.w == at_once.params.w)
    (50, True)
    """

    step: int
    params: Params
    good: Params
    optimizer: State
    best: Best | None = None


def first_state(params: Params, optimizer: Optimizer) -> TrainState:
    """State before the first step."""
    return TrainState(0, params, params, optimizer.init(params))


def begin_at(given: Params | TrainState, checked: Params, optimizer: Optimizer) -> TrainState:
    """State to go on from: ``given``, or that before the first step, with parameters as checked."""
    if isinstance(given, TrainState):
        return check_state(given, checked, optimizer)
    return first_state(checked, optimizer)


def params_of(given: Params | TrainState) -> Params:
    """Parameters, which a state has as ``params``."""
    return given.params if isinstance(given, TrainState) else given


def check_state(state: TrainState, params: Params, optimizer: Optimizer) -> TrainState:
    """Return ``state`` with numbers of Python's and ``params``, its own as they were checked.

    Raises
    ------
    ValueError
        If it is the state of another optimiser, or of parameters of another shape or type.
    """
    expected = jax.eval_shape(lambda params: first_state(params, optimizer), params)
    for name in ("good", "optimizer"):
        found, wanted = _described(getattr(state, name)), _described(getattr(expected, name))
        if found != wanted:
            raise ValueError(
                f"state.{name} is {found}, and here it must be {wanted}: go on with the optimiser "
                "that the training began with"
            )
    best = state.best
    if best is not None:
        best = Best(Params(*best.params), int(best.step), float(best.loss), int(best.since))
    return state._replace(step=int(state.step), params=params, best=best)


def _described(tree: Any) -> str:
    """Names, types and shapes of the leaves."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    parts = [f"{jax.tree_util.keystr(p)} {_dtype(v)}{list(np.shape(v))}".strip() for p, v in leaves]
    return ", ".join(parts) or "empty"


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
