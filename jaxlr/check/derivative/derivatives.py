"""`check_derivatives`: a function with a rule of its own against oracles that share no code."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import DTypeLike

from jaxlr.check.derivative.conclude import blame, report
from jaxlr.check.derivative.judge import Judge
from jaxlr.check.derivative.layout import layout
from jaxlr.check.derivative.options import (
    axes_or_find,
    bounds_of,
    check_options,
    names_of,
    numbers,
)
from jaxlr.check.derivative.plan import Plan
from jaxlr.check.derivative.programs import programs, remembered
from jaxlr.check.derivative.quantities import tangent
from jaxlr.check.derivative.report import DerivativeReport
from jaxlr.check.derivative.support import (
    check_follows,
    given_point,
    shapes,
    structure,
    supported,
    takes,
)
from jaxlr.check.derivative.support import (
    order as order_of,
)
from jaxlr.check.derivative.tolerance import Tolerance
from jaxlr.check.graph import body
from jaxlr.check.report import Verdict

_CONFIRMED = {"full": 64, "quick": 1}  # points at which autodiff is confirmed


def check_derivatives(
    f: Callable[..., Any],
    *args: Any,
    reference: Callable[..., Any] | None = None,
    argnums: int | Sequence[int] | None = None,
    order: Literal[1, 2] | None = None,
    level: Literal["full", "quick"] = "full",
    dtypes: Sequence[DTypeLike] | None = None,
    batch_axes: Any = "find",
    vary: int | Sequence[int] | None = None,
    domain: Mapping[int, tuple[float, float]] | None = None,
    nodes: Callable[..., dict[str, Any]] | None = None,
    accuracy: Literal["reference", "inputs", "steps"] = "reference",
    atol: float = 0.0,
    fail_fast: bool = False,
    smallest: bool | None = None,
    seed: int = 0,
) -> DerivativeReport:
    """Judge the derivatives of a function with a ``custom_vjp`` or ``custom_jvp``.

    Parameters
    ----------
    f : callable
        Function of ``args`` that JAX can differentiate by a rule of the user.
    args
        An ordinary input. Floating-point arrays of any PyTree are differentiated by; integers,
        booleans, keys, Python's numbers, functions and text are handed on as they are.
    reference : callable, optional
        The same function without the rule. By default the body that the rule was put on.
    argnums : int or sequence of int, optional
        Arguments to differentiate by, as in `jax.grad`; by default all that hold floating point.
    order : {1, 2}, optional
        How often to differentiate. By default 2, and 1 where ``f`` can be differentiated only
        once; the report says so.
    level : {"full", "quick"}
        "quick" looks at a few inputs in the type that was given, for use inside a test suite.
    dtypes : sequence of dtype, optional
        Types to judge in; by default float64, float32, bfloat16 and float16, as far as ``f``
        takes them.
    batch_axes : int, None, or sequence of them
        Axis of the rows in each argument, as ``in_axes`` of `jax.vmap`; "find" looks for one.
    vary : int or sequence of int, optional
        Arguments whose values may be taken anywhere; by default those differentiated by. In the
        others, the numbers 0 and 1 are taken as exact: labels, masks, weights.
    domain : mapping of int to pair of float, optional
        Smallest and largest value of an argument, for instance ``{1: (0, 1)}`` for labels.
    nodes : callable, optional
        ``nodes(*args, cotangent)``, the gradients by hand at the values that ``reference`` names
        with `jax.ad_checkpoint.checkpoint_name`, and at the arguments: ``{"dz": ..., "dx": ...}``.
        The report then says which of them is wrong itself, and which inherit it.
    accuracy : {"reference", "inputs", "steps"}
        What rounding may explain. "inputs": what an accurate program loses, given its inputs.
        "reference": what autodiff of the reference loses in the same type, where that is more.
        "steps": whatever the steps of ``f``'s own program lose; second derivatives are always
        held to that.
    atol : float
        Absolute distance that is allowed besides; there is none by default.
    fail_fast : bool
        Stop after the first group of inputs in which something is wrong.
    smallest : bool, optional
        Whether to look for the smallest input that fails, and for the edge of the failure; by
        default at level "full". It takes some compilations more.
    seed : int
        Of everything that is random. The same seed gives the same report.

    Returns
    -------
    DerivativeReport
        True when it passed. ``print`` shows a table, ``to_json`` all of it.

    Raises
    ------
    ValueError
        If there is nothing to compare: no floating-point argument, no floating-point output, a
        gradient that is 0 or not a number everywhere, no rule and no reference; if an option is
        not one of those above; or if ``order=2`` and ``f`` cannot be differentiated twice.

    Notes
    -----
    A number is wrong when it is further from the truth than rounding explains, and two oracles
    that share no code agree on the truth: autodiff of the reference in float64, and one of central
    differences, complex step and arbitrary precision (extra ``check``). What rounding explains is
    computed, see `jaxlr.check.derivative.conditioning`: 4 rounding units of the condition number
    for elementwise functions, 8 of the sum of absolute terms for others, whatever the size.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> @jax.custom_vjp
    ... def softplus(x):
    ...     return jnp.logaddexp(x, 0.0)
    >>> softplus.defvjp(lambda x: (softplus(x), x), lambda x, c: (c * jax.nn.sigmoid(x),))
    >>> x = jnp.array([-1.0, 0.5, 2.0])
    >>> bool(check_derivatives(softplus, x, level="quick"))
    True
    >>> def backward(x, c):
    ...     return (c * jnp.exp(x) / (1 + jnp.exp(x)),)
    >>> softplus.defvjp(lambda x: (softplus(x), x), backward)
    >>> report = check_derivatives(softplus, x, level="quick")
    >>> report.verdict.value, report.findings[0].quantity, report.findings[0].hand
    ('wrong', 'gradient', nan)
    """
    check_options(order, level, accuracy, atol, seed)
    reference = body(f) if reference is None else reference
    n = len(args)
    chosen, varied = numbers("argnums", argnums, n), numbers("vary", vary, n)
    leaves, floats, others = layout(reference, args, chosen, varied)
    name = _name(f)
    left_out: list[str] = []
    given = given_type(floats)
    narrow = [np.asarray(v).astype(given) for v in floats]
    run = programs(f, reference, leaves)
    wrong = structure(run, floats, others)
    if wrong:
        return DerivativeReport(name, Verdict.WRONG, (wrong,), (), (), seed=seed)
    point = given_point(run, narrow, others)
    run = remembered(run, point, others)
    orders = order_of(run, narrow, others, order, quick=level == "quick", left_out=left_out)
    wanted = (given,) if level == "quick" and dtypes is None else names_of(dtypes)
    plan = Plan(
        floats, others, leaves.varied, bounds_of(leaves, domain, n), leaves.moving,
        axes_or_find(run, args, floats, others, batch_axes), shapes(run),
        supported(run, floats, others, wanted, dtypes is not None, left_out), orders,
        forward=level == "full" and takes(run, tangent, narrow, others) is None,
        quick=level == "quick", seed=seed,
    )  # fmt: skip
    check_follows(run, point, others)
    tolerance = Tolerance(run.reference.elementwise(point, others), accuracy, atol)
    judge = Judge(run, tolerance, _CONFIRMED[level])
    for leg in plan.legs():
        judge.walk(leg)
        judge.settle()
        if fail_fast and judge.findings and judge.findings[0].verdict is Verdict.WRONG:
            left_out.append("all that follows the first inputs at which something was wrong")
            break
    if smallest is None:
        smallest = level == "full"
    found = blame(judge, nodes, given)
    return report(
        name, judge, (*left_out, *judge.left_out, *plan.left_out()), seed, given, smallest, found
    )


def _name(f: Callable[..., Any]) -> str:
    """Return module and name, as in ``ops:softplus``, if that is where f is found; else a name."""
    function = getattr(f, "__wrapped__", f)
    name = getattr(function, "__qualname__", type(f).__name__)
    found: Any = sys.modules.get(getattr(function, "__module__", ""))
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{function.__module__}:{name}" if found is f else name


def given_type(floats: Sequence[np.ndarray]) -> str:
    """Coarsest type among the arguments; they are judged in one type together."""
    return max((v.dtype for v in floats), key=lambda d: float(jax.numpy.finfo(d).eps)).name
