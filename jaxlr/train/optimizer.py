"""The optimiser seam: a rule that makes a step out of a gradient, as a pair of pure functions."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxlr import core
from jaxlr.core import Params

State = Any

_OWN_LOSS = (
    "evaluates the loss by itself, and would differentiate it by autodiff, as line searches do. "
    "Use one that does not"
)


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
    check_alpha(alpha)
    return Optimizer(init=lambda params: jnp.asarray(alpha, params.w.dtype), step=_plain_step)


def _plain_step(params: Params, grads: Params, alpha: State, loss: Array) -> tuple[Params, State]:
    return core.update(params, grads, alpha), alpha


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless ``alpha`` can be a learning rate."""
    if not 0 < alpha < float("inf"):
        raise ValueError(f"alpha is {alpha}: the learning rate must be finite and above 0")


def from_optax(transformation: optax.GradientTransformation | optax.MultiSteps) -> Optimizer:
    """Use an optax transformation: any alias, chain or schedule.

    The loss goes along for those that read it (`optax.contrib.reduce_on_plateau`).
    Transformations that call the loss function themselves, as line searches do, cannot be used:
    they would differentiate it by autodiff.

    Raises
    ------
    TypeError
        If it is no optax transformation, or one that cannot be used.

    Examples
    --------
    >>> import optax
    >>> optimizer = from_optax(optax.adam(optax.cosine_decay_schedule(0.1, 1000)))
    """
    if isinstance(transformation, optax.MultiSteps):
        transformation = transformation.gradient_transformation()
    if not isinstance(transformation, optax.GradientTransformation):
        raise TypeError(f"{transformation!r} is no optax transformation{_hint(transformation)}")
    transformation = optax.with_extra_args_support(transformation)
    parameters = inspect.signature(transformation.update).parameters.values()
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
        raise TypeError(f"this optax transformation {_OWN_LOSS}")  # optax.contrib.sam, say
    return Optimizer(transformation.init, _OptaxStep(transformation))


def as_optimizer(
    optimizer: Optimizer | optax.GradientTransformation | optax.MultiSteps,
) -> Optimizer:
    """Return an `Optimizer` as it is, and what optax makes as one."""
    return optimizer if isinstance(optimizer, Optimizer) else from_optax(optimizer)


def _hint(optimizer: object) -> str:
    if isinstance(optimizer, int | float):
        return f": for plain steps pass jaxlr.plain({optimizer})"
    if callable(optimizer):
        name = getattr(optimizer, "__name__", "it")
        return f": call it first, as in {name}(0.1)"
    return ", and no jaxlr.Optimizer"


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
            return cast("Params", optax.apply_updates(params, updates)), state


def _refuse_line_search(params: Params) -> Array:
    raise TypeError(f"this optax transformation {_OWN_LOSS}: optax.lbfgs(linesearch=None), say")
