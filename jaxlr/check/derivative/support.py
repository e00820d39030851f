"""What a function takes: shapes, types, orders."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxlr.check.derivative.programs import Programs, is_wide
from jaxlr.check.derivative.quantities import Point, gradient, second
from jaxlr.check.derivative.report import Finding
from jaxlr.check.report import Verdict

_ROUGH = 16  # part of the largest value, by which a careless program may be off
_FOLLOWS = 64  # rounding units of the terms, beyond which a value is another one


def structure(run: Programs, floats: Sequence[Any], others: Sequence[Any]) -> Finding | None:
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
    if not reason and not shapes(run)(floats, others):
        raise ValueError("the function returns no floating-point array: nothing to differentiate")
    why = reason or _fits(run, floats, others)
    nan = math.nan
    return (
        Finding(Verdict.WRONG, "structure", "structure", nan, nan, nan, nan, "", why)
        if why
        else None
    )


def shapes(run: Programs) -> Callable[[Sequence[Any], Sequence[Any]], list[tuple[int, ...]]]:
    """Return how the shapes of the floating-point outputs follow from those of the leaves."""

    def of_leaves(floats: Sequence[Any], others: Sequence[Any]) -> list[tuple[int, ...]]:
        out = jax.eval_shape(
            lambda fl, ot: run.layout.call(run.reference.function, fl, ot),
            list(floats),
            list(others),
        )
        return [v.shape for v in out]

    return of_leaves


def takes(run: Programs, quantity: Any, floats: Any, others: Any) -> str | None:
    """Why ``f`` has no such derivative for arguments of these types; None if it has.

    JAX refuses forward mode through a ``custom_vjp`` only when it lowers.
    """
    cotangent = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in _outputs(run, floats, others)]
    point = Point(list(floats), cotangent, [floats[i] for i in run.layout.moving])
    try:
        with jax.enable_x64(is_wide(floats)):
            jax.jit(lambda at, ot: run.hand.ask(quantity, at, ot)).lower(point, list(others))
    except Exception as error:  # whatever JAX or the user's rule says to it
        return words(error)
    return None


def _fits(run: Programs, floats: Any, others: Any) -> str:
    """Return what JAX says of a rule that returns other trees, shapes or types than it must."""
    found = takes(run, gradient, floats, others) or ""
    if found and not any(word in found.lower() for word in ("bwd", "custom", "cotangent", "vjp")):
        raise ValueError(f"the derivative of f cannot be taken: {found}")
    return found


def words(error: Exception) -> str:
    """Type of an exception, and its first line if it has one."""
    lines = str(error).strip().splitlines()
    return type(error).__name__ + (f": {lines[0]}" if lines else "")


def _outputs(run: Programs, floats: Any, others: Any) -> list[Any]:
    with jax.enable_x64(is_wide(floats)):
        return jax.eval_shape(
            lambda fl, ot: run.layout.call(run.hand.function, fl, ot), list(floats), list(others)
        )


def order(
    run: Programs, floats: Any, others: Any, order: int | None, quick: bool, left_out: list[str]
) -> int:
    """How often to differentiate; raise if the user asked for twice and that cannot be."""
    if order == 1 or (order is None and quick):
        return 1
    why = takes(run, second, floats, others)
    if why is None:
        return 2
    if order == 2:
        raise ValueError(f"f cannot be differentiated twice: {why}; pass order=1")
    left_out.append(f"order 2: f cannot be differentiated twice ({why})")
    return 1


def supported(
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
            why = takes(run, gradient, moved, others)
            if dtype == "float64" and out != {"float64"}:
                why = f"it returns {', '.join(sorted(out))} for float64"
        except Exception as error:  # whatever a function says to a type that it does not take
            why = words(error)
        if why is None:
            found.append(dtype)
        elif asked:
            raise ValueError(f"f does not take {dtype}: {why}")
        else:
            left_out.append(f"{dtype}: {why}")
    if not found:
        raise ValueError("f takes none of the types: " + "; ".join(left_out))
    return tuple(found)


def given_point(run: Programs, floats: Sequence[np.ndarray], others: Sequence[Any]) -> Point:
    """Return the arguments as they were given, with a cotangent of ones."""
    cotangent = [np.ones(v.shape, v.dtype) for v in _outputs(run, floats, others)]
    return Point(list(floats), cotangent, [floats[i] for i in run.layout.moving])


def check_follows(run: Programs, point: Point, others: Sequence[Any]) -> None:
    """Raise where the reference's value in the type that was given is another than in float64.

    Random numbers are others in float64; of their derivative there is no truth.
    """
    plain = run.reference.run(gradient, [point], list(others))[0]["value"]
    truth = run.truth(gradient, point, list(others))["value"]
    terms = run.reference.condition(gradient, point, list(others))["value"]
    for a, b, size in zip(plain, truth, terms, strict=True):
        loose = _FOLLOWS * float(jax.numpy.finfo(a.dtype).eps) * np.maximum(size, abs(b))
        with np.errstate(invalid="ignore", over="ignore"):
            off = abs(a.astype(np.float64) - b) > loose + np.max(abs(b), initial=0) / _ROUGH
        if np.any(off & np.isfinite(b) & np.isfinite(a)):
            raise ValueError(
                "the reference does not follow its arguments to float64: its value is another one "
                "there. Random numbers are; draw them outside, and pass them in"
            )
