"""`check_derivatives`: a function with a rule of its own against oracles that share no code."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import DTypeLike

from jaxlr.check.derivative.batches import axes_of, leading_axes
from jaxlr.check.derivative.compare import Comparison, Tolerance
from jaxlr.check.derivative.culprits import culprits
from jaxlr.check.derivative.elementwise import is_elementwise
from jaxlr.check.derivative.judge import Judge
from jaxlr.check.derivative.layout import Layout, layout
from jaxlr.check.derivative.plan import Plan, names_of
from jaxlr.check.derivative.programs import Programs, programs
from jaxlr.check.derivative.quantities import Point, gradient, second, tangent
from jaxlr.check.derivative.report import DerivativeReport, Finding
from jaxlr.check.derivative.shrink import Failing
from jaxlr.check.graph import NodeVerdict, body
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
    vary: Sequence[int] | None = None,
    domain: Mapping[int, tuple[float, float]] | None = None,
    nodes: Callable[..., dict[str, Any]] | None = None,
    accuracy: Literal["reference", "inputs", "steps"] = "reference",
    atol: float = 0.0,
    fail_fast: bool = False,
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
    vary : sequence of int, optional
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
    >>> report.verdict.value, report.findings[0].path, report.findings[0].hand
    ('wrong', 'dx[0]', nan)
    """
    _check_options(order, level, accuracy, atol)
    reference = _own_body(f) if reference is None else reference
    argnums = (argnums,) if isinstance(argnums, int) else argnums
    leaves, floats, others = layout(reference, args, argnums, vary)
    name = _name(f)
    run = programs(f, reference, leaves)
    left_out: list[str] = []
    given = _given(floats)
    wrong = _structure(run, floats, others)
    if wrong:
        return DerivativeReport(name, Verdict.WRONG, (wrong,), (), (), seed=seed)
    narrow = [np.asarray(v).astype(given) for v in floats]
    orders = _order(run, narrow, others, order, quick=level == "quick", left_out=left_out)
    wanted = (given,) if level == "quick" else names_of(dtypes)
    plan = Plan(
        floats, others, leaves.varied, _bounds(leaves, domain), leaves.moving,
        _axes(run, args, floats, others, batch_axes), _shapes(run), given,
        _supported(run, floats, others, wanted, dtypes is not None, left_out), orders,
        forward=level == "full" and _takes(run, tangent, narrow, others) is None,
        quick=level == "quick", seed=seed,
    )  # fmt: skip
    judge = Judge(run, _tolerance(run, floats, others, accuracy, atol), _CONFIRMED[level])
    for leg in plan.legs():
        judge.walk(leg)
        judge.settle()
        if fail_fast and judge.failing:
            left_out.append("all that follows the first inputs at which something was wrong")
            break
    found = _culprits(judge, nodes, given)
    return _report(name, judge, (*left_out, *plan.left_out()), seed, given, level == "quick", found)


def _report(
    name: str,
    judge: Judge,
    left_out: Sequence[str],
    seed: int,
    given: str,
    quick: bool,
    blamed: tuple[NodeVerdict, ...],
) -> DerivativeReport:
    records = list(judge.records.all.values())
    _check_vacuous(records)
    nodes = tuple(r.node(judge.verdict_of(r)) for r in records)
    verdicts = [f.verdict for f in judge.findings]
    if Verdict.WRONG in verdicts:
        verdict = Verdict.WRONG
    elif not all(n.canaries and all(n.canaries.values()) for n in nodes):
        verdict = Verdict.VACUOUS
    else:
        verdict = Verdict.UNDECIDED if verdicts else Verdict.PASS
    notes = [
        f"{note} ({count} times)" if count > 1 else note for note, count in judge.notes.items()
    ]
    if judge.kinks:
        notes.append("not differentiable, and not judged, at inputs: " + ", ".join(judge.kinks))
    notes += [f"{r.name} is 0 at every input ({r.dtype})" for r in records if r.zero]
    code = edge = ""
    if verdict is Verdict.WRONG and judge.failing and not quick:
        made = _plainest(judge, given)
        failing = Failing(judge.programs, judge.tolerance, made)
        code = failing.code(name)
        edge = failing.edge(judge.given[made.quantity, made.place.dtype, made.place.rows])
    return DerivativeReport(
        name, verdict, tuple(judge.findings), nodes, judge.oracles(), blamed, code, edge,
        tuple(notes), tuple(left_out), len(judge.places), judge.records.comparisons, seed,
    )  # fmt: skip


def _plainest(judge: Judge, given: str) -> Comparison:
    """Return a comparison that failed, in the type that the user gave if there is one."""
    return next((m for m in judge.failing if m.place.dtype == given), judge.failing[0])


def _culprits(
    judge: Judge, nodes: Callable[..., dict[str, Any]] | None, given: str
) -> tuple[NodeVerdict, ...]:
    """Judge the nodes where the gradient failed first; where it did not, at the given point.

    A node that is wrong where the gradient is right leaves the check undecided.
    """
    if nodes is None:
        return ()
    failed = bool(judge.failing)
    place = _plainest(judge, given).place if failed else judge.places[0]
    found = culprits(judge.programs, nodes, place, judge.tolerance)
    wrong = [v for v in found if v.status in ("wrong here", "inherited")]
    if wrong and not failed:
        worst = wrong[0]
        judge.findings.append(
            Finding(
                Verdict.UNDECIDED, "node", worst.node, worst.hand, worst.truth, math.nan, 0.0,
                str(place), "the node gradients do not add up to the gradient, which is right",
            )
        )  # fmt: skip
    return found


def _check_vacuous(records: Sequence[Any]) -> None:
    """Raise where nothing was compared, or everything is 0."""
    gradients = [r for r in records if r.kind == "gradient"]
    if not sum(r.compared for r in gradients):
        raise ValueError("the reference's gradient is not a number anywhere: nothing was compared")
    if all(r.zero for r in gradients):
        raise ValueError("the reference's gradient is 0 everywhere: a check of it proves nothing")


def _name(f: Callable[..., Any]) -> str:
    """Return module and name, as in ``ops:softplus``; of what has none, that of its type."""
    function = getattr(f, "__wrapped__", f)
    name = getattr(function, "__qualname__", type(f).__name__)
    return f"{function.__module__}:{name}" if hasattr(function, "__module__") else name


@lru_cache(maxsize=32)
def _own_body(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function without its rule, the same object for the same function."""
    return body(f)


def _check_options(order: Any, level: str, accuracy: str, atol: float) -> None:
    for name, value, known in (
        ("order", order, (None, 1, 2)),
        ("level", level, ("full", "quick")),
        ("accuracy", accuracy, ("reference", "inputs", "steps")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}: it may be {', '.join(map(repr, known))}")
    if not 0 <= atol < math.inf:
        raise ValueError(f"atol is {atol}: it must be a number of at least 0")


def _given(floats: Sequence[np.ndarray]) -> str:
    """Coarsest type among the arguments; they are judged in one type together."""
    return max((v.dtype for v in floats), key=lambda d: float(jax.numpy.finfo(d).eps)).name


def _structure(run: Programs, floats: Sequence[Any], others: Sequence[Any]) -> Finding | None:
    """Compare trees and shapes of the outputs; raise if there is nothing to differentiate."""

    def outputs(f: Callable[..., Any]) -> Any:
        return jax.eval_shape(lambda fl, ot: f(*run.layout.arguments(fl, ot)), floats, others)

    hand, truth = outputs(run.hand.function), outputs(run.reference.function)
    reason = ""
    if jax.tree.structure(hand) != jax.tree.structure(truth):
        reason = f"returns {jax.tree.structure(hand)}, the reference {jax.tree.structure(truth)}"
    else:
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(hand), jax.tree.leaves(truth), strict=True
        ):
            if a.shape != b.shape:
                where = jax.tree_util.keystr(path)
                reason = reason or f"out{where} has shape {a.shape}, of the reference {b.shape}"
    if not reason and not _shapes(run)(floats, others):
        raise ValueError("the function returns no floating-point array: nothing to differentiate")
    why = reason or _takes(run, gradient, floats, others) or ""
    nan = math.nan
    return (
        Finding(Verdict.WRONG, "structure", "structure", nan, nan, nan, nan, "", why)
        if why
        else None
    )


def _shapes(run: Programs) -> Callable[[Sequence[Any], Sequence[Any]], list[tuple[int, ...]]]:
    def shapes(floats: Sequence[Any], others: Sequence[Any]) -> list[tuple[int, ...]]:
        out = jax.eval_shape(
            lambda fl, ot: run.layout.call(run.reference.function, fl, ot),
            list(floats),
            list(others),
        )
        return [v.shape for v in out]

    return shapes


def _takes(run: Programs, quantity: Any, floats: Any, others: Any) -> str | None:
    """Why ``f`` has no such derivative for arguments of these types; None if it has.

    JAX refuses forward mode through a ``custom_vjp`` only when it lowers.
    """
    cotangent = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in _outputs(run, floats, others)]
    point = Point(list(floats), cotangent, [floats[i] for i in run.layout.moving])
    wide = any(np.asarray(v).dtype == np.float64 for v in floats)
    try:
        with jax.enable_x64(wide or jax.config.jax_enable_x64):  # pyright: ignore
            jax.jit(lambda at, ot: run.hand.ask(quantity, at, ot)).lower(point, list(others))
    except Exception as error:  # whatever JAX or the user's rule says to it
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return None


def _outputs(run: Programs, floats: Any, others: Any) -> list[Any]:
    wide = any(np.asarray(v).dtype == np.float64 for v in floats)
    with jax.enable_x64(wide or jax.config.jax_enable_x64):  # pyright: ignore
        return jax.eval_shape(
            lambda fl, ot: run.layout.call(run.hand.function, fl, ot), list(floats), list(others)
        )


def _order(
    run: Programs, floats: Any, others: Any, order: int | None, quick: bool, left_out: list[str]
) -> int:
    if order == 1 or (order is None and quick):
        return 1
    why = _takes(run, second, floats, others)
    if why is None:
        return 2
    if order == 2:
        raise ValueError(f"f cannot be differentiated twice: {why}; pass order=1")
    left_out.append(f"order 2: f cannot be differentiated twice ({why})")
    return 1


def _supported(
    run: Programs,
    floats: Sequence[np.ndarray],
    others: Sequence[Any],
    dtypes: tuple[str, ...],
    asked: bool,
    left_out: list[str],
) -> tuple[str, ...]:
    """Types that ``f`` follows: those it refuses or casts are left out, unless asked for."""
    found = []
    for dtype in dtypes:
        moved = [v.astype(dtype) for v in floats]
        try:
            out = {v.dtype.name for v in _outputs(run, moved, others)}
            why = _takes(run, gradient, moved, others)
            if dtype == "float64" and out != {"float64"}:
                why = f"it returns {', '.join(sorted(out))} for float64"
        except Exception as error:  # whatever a function says to a type that it does not take
            why = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        if why is None:
            found.append(dtype)
        elif asked:
            raise ValueError(f"f does not take {dtype}: {why}")
        else:
            left_out.append(f"{dtype}: {why}")
    if not found:
        raise ValueError("f takes none of the types: " + "; ".join(left_out))
    return tuple(found)


def _bounds(
    leaves: Layout, domain: Mapping[int, tuple[float, float]] | None
) -> list[tuple[float, float] | None]:
    return [(domain or {}).get(number) for number in leaves.argument]


def _axes(run: Programs, args: Any, floats: Any, others: Any, batch_axes: Any) -> Any:
    if isinstance(batch_axes, str):
        if batch_axes != "find":
            raise ValueError(
                f"batch_axes is {batch_axes!r}: it may be 'find', or as in_axes of vmap"
            )
        return leading_axes(_shapes(run), floats, others)
    return axes_of(run.layout, args, batch_axes)


def _tolerance(run: Programs, floats: Any, others: Any, accuracy: str, atol: float) -> Tolerance:
    elementwise = is_elementwise(
        lambda fl: run.layout.call(run.reference.function, fl, others),
        [jax.numpy.asarray(v) for v in floats],
    )
    return Tolerance.of(elementwise, accuracy, atol)
