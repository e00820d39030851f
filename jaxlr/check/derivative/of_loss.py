"""`check_gradient`: a function that returns gradients, judged as the rule of its loss."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxlr.check.derivative.derivatives import check_derivatives
from jaxlr.check.derivative.report import DerivativeReport
from jaxlr.check.graph.body import is_array

PyTree = Any


def check_gradient(
    loss: Callable[..., Any],
    grads: Callable[..., PyTree],
    params: PyTree,
    *args: Any,
    **options: Any,
) -> DerivativeReport:
    """Judge a function that returns the gradient of a loss by its first argument.

    Parameters
    ----------
    loss : callable
        ``loss(params, *args)``, a number.
    grads : callable
        ``grads(params, *args)``, of the structure and shapes of ``params``.
    params : PyTree
        An ordinary point; its floating-point arrays are differentiated by.
    args
        Further arguments of both: data, labels, numbers, functions.
    options
        ``level``, ``dtypes``, ``batch_axes``, ``vary``, ``domain``, ``accuracy``, ``atol``,
        ``nodes``, ``fail_fast``, ``smallest`` and ``seed`` of `check_derivatives`. Arguments are
        counted from 0, ``params``.

    Returns
    -------
    DerivativeReport
        True when it passed.

    Raises
    ------
    ValueError
        As `check_derivatives`; also if the loss is no single number.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> def loss(w, x):
    ...     return jnp.sum(jnp.tanh(w * x))
    >>> def grads(w, x):
    ...     return x / jnp.cosh(w * x) ** 2
    >>> w, x = jnp.array([0.5, -1.0]), jnp.array([2.0, 1.0])
    >>> bool(check_gradient(loss, grads, w, x, level="quick"))
    True
    >>> check_gradient(loss, lambda w, x: 1 / jnp.cosh(w * x) ** 2, w, x, level="quick").verdict
    <Verdict.WRONG: 'wrong'>
    """
    for name in {"argnums", "reference"} & set(options):
        raise ValueError(
            f"{name} is no option here: the loss is the reference, by its first argument"
        )
    if options.get("order", 1) != 1:
        raise ValueError(
            "order must be 1: of a function that returns gradients, the first is judged"
        )
    leaves, tree = jax.tree.flatten((params, args))
    arrays = {i: v for i, v in enumerate(leaves) if is_array(v)}

    def of_arrays(arrays: dict[int, Any]) -> Any:
        params, args = tree.unflatten([arrays.get(i, v) for i, v in enumerate(leaves)])
        return loss(params, *args)

    out = jax.eval_shape(of_arrays, arrays)
    if getattr(out, "shape", None) != ():
        found = f"has shape {out.shape}" if hasattr(out, "shape") else f"is {type(out).__name__}"
        raise ValueError(f"the loss must be one number and {found}")
    rule = _rule(loss, grads)
    options["order"] = 1
    return check_derivatives(rule, params, *args, reference=loss, argnums=0, **options)


def _rule(loss: Callable[..., Any], grads: Callable[..., PyTree]) -> Callable[..., Any]:
    """Return the loss with its gradient by hand as a rule."""

    @functools.wraps(grads)
    def with_rule(params: PyTree, *args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        arrays = [v for v in leaves if is_array(v)]

        def merged(arrays: list[Any]) -> tuple[Any, ...]:
            given = iter(arrays)
            return tree.unflatten([next(given) if is_array(v) else v for v in leaves])

        @jax.custom_vjp
        def rule(params: PyTree, arrays: list[Any]) -> Any:
            return loss(params, *merged(arrays))

        def backward(saved: tuple[Any, ...], c: jax.Array) -> tuple[Any, ...]:
            by_hand = grads(saved[0], *merged(saved[1]))
            return jax.tree.map(lambda g: c.astype(g.dtype) * g, by_hand), None

        rule.defvjp(lambda *given: (rule(*given), given), backward)
        return rule(params, arrays)

    return with_rule
