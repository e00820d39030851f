"""A hand-written gradient against autodiff in float64 and against central differences.

Three ways to the same numbers, which share no code:

- the hand-written gradient, in the types it was given;
- ``jax.grad`` of the loss, everything in float64;
- ``(f(p + h) - f(p - h)) / 2h`` of the loss in float64, with h taken from a ladder where two
  neighbouring rungs agree best, and that agreement as its error.

How much the hand may differ from autodiff is not guessed but measured: ``jax.grad`` of the same
loss is run in float32 at several points close by, and its distance from float64 there, divided
by the rounding unit, says how much this coordinate of this loss amplifies rounding.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import DTypeLike

from jaxlr.check import ulp
from jaxlr.check.report import Coordinate, Report, Verdict

PyTree = Any
_ROUNDING_FACTOR = 16  # hand-written sums may be in another order than autodiff's
_ULPS = 8  # of the value itself, where the loss amplifies nothing
_NEARBY = 4  # points at which rounding is measured, beside the given one
_RUNGS = tuple(2.0**-k for k in range(3, 31, 3))  # steps of the central differences, relative


def check_gradient(
    loss: Callable[..., Any],
    grads: Callable[..., PyTree] | PyTree,
    params: PyTree,
    *args: Any,
) -> Report:
    """Compare a hand-written gradient with autodiff and central differences, everywhere.

    Parameters
    ----------
    loss : callable
        ``loss(params, *args)``, a scalar that JAX can trace.
    grads : callable or PyTree
        ``grads(params, *args)`` returning the gradient by hand, or that gradient itself; of the
        structure and shapes of ``params``.
    params : PyTree
        Point to compare at; every leaf floating point.
    args
        Further arguments of both. Their floating-point arrays go to float64 for the oracles, as
        ``params`` do.

    Returns
    -------
    Report
        True when every coordinate passed. A coordinate is wrong when autodiff and central
        differences agree with each other and not with the hand; it is undecided when the two
        do not agree with each other, at a kink of the loss for instance.

    Raises
    ------
    ValueError
        If there is nothing to compare, if structures or shapes differ, or if the loss is no
        scalar or does not follow its arguments to float64.
    TypeError
        If a leaf of ``params`` or of the gradient is not floating point.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> def loss(w):
    ...     return jnp.sum(w**3)
    >>> report = check_gradient(loss, lambda w: 3 * w**2, jnp.array([1.0, 2.0]))
    >>> bool(report)
    True
    >>> report = check_gradient(loss, lambda w: 3 * w * abs(w), jnp.array([1.0, -2.0]))
    >>> bool(report), report.worst.path, report.worst.hand, report.worst.autodiff
    (False, '[1]', -12.0, 12.0)
    """
    _check_floating(params, "params")
    hand = grads(params, *args) if callable(grads) else grads
    _check_alike(hand, params)
    with jax.enable_x64(True):
        point, unravel = ravel_pytree(_cast(params, np.float64))
        wide_args = _cast(args, np.float64)

        def f(p: jax.Array) -> jax.Array:
            return loss(unravel(p), *wide_args)

        _check_scalar(jax.eval_shape(f, point))
        autodiff = np.asarray(jax.jit(jax.grad(f))(point))
        numeric, numeric_error = _central_differences(f, point)
    amplification = _measure_rounding(loss, params, args)

    eps, units = _rounding_units(hand, autodiff)
    allowed = eps * (_ROUNDING_FACTOR * amplification + _ULPS * abs(autodiff))
    columns = (_flat(hand), autodiff, numeric, numeric_error, allowed, units)
    rows = np.stack(columns, axis=1).tolist()
    return Report(
        [
            Coordinate(path, *row, verdict=_judge(*row[:-1]))
            for path, row in zip(_paths(params), rows, strict=True)
        ]
    )


def _judge(
    hand: float, autodiff: float, numeric: float, numeric_error: float, allowed: float
) -> Verdict:
    agree = abs(autodiff - numeric) <= numeric_error  # False where any of them is NaN
    if not agree:
        return Verdict.UNDECIDED
    if abs(hand - autodiff) <= allowed:
        return Verdict.PASS
    resolved = not abs(hand - numeric) <= numeric_error
    return Verdict.WRONG if resolved else Verdict.UNDECIDED


def _central_differences(
    f: Callable[[jax.Array], jax.Array], point: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivative of f by each coordinate and a bound of its error, both (d,)."""
    at = np.asarray(point)
    h = np.maximum(1, abs(at))[:, None] * _RUNGS  # (d, rungs)
    above, below = at[:, None] + h, at[:, None] - h
    moved = np.stack([above, below], axis=-1)  # (d, rungs, 2)
    coordinate = np.broadcast_to(np.arange(at.size)[:, None, None], moved.shape)

    def value(moved: tuple[jax.Array, jax.Array]) -> jax.Array:
        j, to = moved
        return f(point.at[j].set(to))

    together = moved[0].size  # values at a time: bounds the memory of vmap
    values = jax.jit(lambda *moved: jax.lax.map(value, moved, batch_size=together))(
        coordinate.ravel(), moved.ravel()
    )
    up, down = np.moveaxis(np.asarray(values).reshape(moved.shape), -1, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        slope = (up - down) / (above - below)
        rounding = 8 * np.finfo(np.float64).eps * np.maximum(abs(up), abs(down)) / (above - below)
        error = 2 * (abs(np.diff(slope, axis=1)) + rounding[:, 1:])
    best = np.argmin(np.where(np.isfinite(error), error, np.inf), axis=1)
    rows = np.arange(at.size)
    return slope[rows, best + 1], error[rows, best]


def _measure_rounding(loss: Callable[..., Any], params: PyTree, args: Any) -> np.ndarray:
    """How much each coordinate of the gradient amplifies a rounding unit, of shape (d,)."""
    rng = np.random.default_rng(0)
    gradient = jax.jit(jax.grad(loss))

    def nearby(v: np.ndarray) -> np.ndarray:
        return v * (1 - 2.0**-10 * rng.random(v.shape))  # towards 0, so that [0, 1] stays [0, 1]

    found = []
    for i in range(1 + _NEARBY):
        moved = _map_floats(nearby, (params, args)) if i else (params, args)
        near = _cast(moved, np.float32)
        with jax.enable_x64(False):
            p, a = _cast(near, np.float32)
            narrow = _flat(gradient(p, *a))
        with jax.enable_x64(True):
            p, a = _cast(near, np.float64)
            wide = _flat(gradient(p, *a))
        found.append(abs(narrow - wide))
    found = np.array(found)
    return np.where(np.isfinite(found), found, 0).max(axis=0) / np.finfo(np.float32).eps


def _cast(tree: PyTree, dtype: DTypeLike) -> PyTree:
    """Floating-point arrays and numbers of ``tree`` as arrays of another type."""
    return _map_floats(lambda v: jnp.asarray(v.astype(dtype)), tree)


def _map_floats(f: Callable[[np.ndarray], Any], tree: PyTree) -> PyTree:
    """Apply ``f`` to the floating-point leaves, in float64, and leave the others as they are."""

    def on_leaf(v: Any) -> Any:
        if not isinstance(v, float | np.ndarray | np.generic | jax.Array):
            return v
        is_float = isinstance(v, float) or jnp.issubdtype(v.dtype, jnp.floating)
        return f(np.asarray(v).astype(np.float64)) if is_float else v

    return jax.tree.map(on_leaf, tree)


def _flat(tree: PyTree) -> np.ndarray:
    leaves = [np.asarray(v).astype(np.float64).ravel() for v in jax.tree.leaves(tree)]
    return np.concatenate(leaves)


def _rounding_units(hand: PyTree, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rounding unit of each coordinate's type, and one ULP at each of ``values``."""
    dtypes = [np.asarray(v).dtype for v in jax.tree.leaves(hand)]
    sizes = [np.size(v) for v in jax.tree.leaves(hand)]
    eps = np.repeat([float(ml_dtypes.finfo(dtype).eps) for dtype in dtypes], sizes)
    pieces = zip(np.split(values, np.cumsum(sizes)[:-1]), dtypes, strict=True)
    return eps, np.concatenate([ulp.unit(piece, dtype) for piece, dtype in pieces])


def _paths(tree: PyTree) -> list[str]:
    return [
        jax.tree_util.keystr(path) + (f"[{', '.join(map(str, index))}]" if index else "")
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        for index in np.ndindex(np.shape(leaf))
    ]


def _check_floating(tree: PyTree, name: str) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        dtype = jnp.asarray(leaf).dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            where = name + jax.tree_util.keystr(path)
            raise TypeError(f"{where} has dtype {dtype}: only floating point has derivatives")
    if not sum(np.size(leaf) for leaf in jax.tree.leaves(tree)):
        raise ValueError(f"{name} is empty: there is nothing to compare")


def _check_alike(hand: PyTree, params: PyTree) -> None:
    if jax.tree.structure(hand) != jax.tree.structure(params):
        raise ValueError(
            f"the gradient has the structure {jax.tree.structure(hand)}, "
            f"but params have {jax.tree.structure(params)}"
        )
    _check_floating(hand, "grads")
    ours = jax.tree_util.tree_leaves_with_path(hand)
    for (path, g), p in zip(ours, jax.tree.leaves(params), strict=True):
        if np.shape(g) != np.shape(p):
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"grads{where} has shape {np.shape(g)}, but params{where} has {np.shape(p)}"
            )


def _check_scalar(out: Any) -> None:
    if getattr(out, "shape", None) != ():
        raise ValueError(f"the loss must be one number and is {out}")
    if out.dtype != np.float64:
        raise ValueError(
            f"the loss is {out.dtype} for float64 arguments: it casts inside, and there is no "
            "float64 to compare with. Let it follow the type of its arguments"
        )
