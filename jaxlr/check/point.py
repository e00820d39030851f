"""A hand-written gradient against autodiff in float64 and against central differences.

Three ways to the same numbers, which share no code:

- the hand-written gradient, in the types it was given;
- ``jax.grad`` of the loss, everything in float64;
- ``(f(p + h) - f(p - h)) / 2h`` of the loss in float64, with h taken from a ladder where two
  neighbouring rungs agree best, and that agreement as its error. One ladder starts at 1 or |p|,
  one at |p|: for a loss that ends (log p) or bends (features of 1e30) as near as that.

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
from jaxlr.check.compiling import compiled, in_a_hurry
from jaxlr.check.report import Coordinate, Report, Verdict

PyTree = Any
_ROUNDING_FACTOR = 16  # hand-written sums may be in another order than autodiff's
_ULPS = 8  # of the value itself, where the loss amplifies nothing
_NEARBY = 4  # points at which rounding is measured, beside the given one
_RUNGS = tuple(2.0**-k for k in range(3, 31, 3))  # steps of the central differences, relative
_RESOLVED = 1e-3  # error, relative, from which on the nearer ladder has something to say


def check_point(
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
        ``params`` do; all else (functions, text, Python numbers) is passed on as it is.

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
    >>> report = check_point(loss, lambda w: 3 * w**2, jnp.array([1.0, 2.0]))
    >>> bool(report)
    True
    >>> report = check_point(loss, lambda w: 3 * w * abs(w), jnp.array([1.0, -2.0]))
    >>> bool(report), report.worst.path, report.worst.hand, report.worst.autodiff
    (False, '[1]', -12.0, 12.0)
    """
    _check_floating(params, "params")
    hand = grads(params, *args) if callable(grads) else grads
    _check_alike(hand, params)
    params = jax.tree.map(np.asarray, params)
    with jax.enable_x64(True):
        point, unravel = ravel_pytree(_cast(params, np.float64))
        wide_args = _cast(args, np.float64)

        def f(p: jax.Array) -> jax.Array:
            return loss(unravel(p), *wide_args)

        _check_scalar(jax.eval_shape(f, point))
        hurried = in_a_hurry(
            sum(np.size(v) for v in jax.tree.leaves((point, args)) if _is_array(v))
        )
        autodiff = np.asarray(compiled(jax.grad(f), hurried=hurried)(point))
        numeric, numeric_error = _central_differences(f, point, hurried=hurried)
    with np.errstate(over="ignore", invalid="ignore"):
        amplification = _measure_rounding(loss, params, args)

    eps, tiny, units = _rounding_units(hand, autodiff)
    allowed = eps * (_ROUNDING_FACTOR * amplification + _ULPS * abs(autodiff)) + tiny
    columns = (_flat(hand), autodiff, numeric, numeric_error + tiny, allowed, units)
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
    agree = abs(autodiff - numeric) <= numeric_error < np.inf  # False where any of them is NaN
    if not agree:
        return Verdict.UNDECIDED
    if abs(hand - autodiff) <= allowed:
        return Verdict.PASS
    resolved = not abs(hand - numeric) <= numeric_error
    return Verdict.WRONG if resolved else Verdict.UNDECIDED


def _central_differences(
    f: Callable[[jax.Array], jax.Array], point: jax.Array, *, hurried: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivative of f by each coordinate and a bound of its error, both (d,)."""
    at = np.asarray(point)
    scales = np.stack([np.maximum(1, abs(at)), abs(at)])  # (2, d)
    h = scales[..., None] * _RUNGS  # (2, d, rungs)
    above, below = at[:, None] + h, at[:, None] - h
    moved = np.stack([above, below], axis=-1)  # (2, d, rungs, 2)
    coordinate = np.broadcast_to(np.arange(at.size)[:, None, None], moved.shape)

    def value(moved: tuple[jax.Array, jax.Array]) -> jax.Array:
        j, to = moved
        return f(point.at[j].set(to))

    together = 2 * len(_RUNGS)  # values at a time: bounds the memory of vmap
    values = compiled(
        lambda *moved: jax.lax.map(value, moved, batch_size=together), hurried=hurried
    )(coordinate.ravel(), moved.ravel())
    up, down = np.moveaxis(np.asarray(values).reshape(moved.shape), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope = (up - down) / (above - below)
        rounding = 8 * np.finfo(np.float64).eps * np.maximum(abs(up), abs(down)) / (above - below)
        error = 2 * (abs(np.diff(slope, prepend=np.nan)) + rounding)
        return _nearer_ladder(*_best_rung(slope, error))


def _best_rung(slope: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the rungs, the last axis, take the one of the smallest error; a number if there is one."""
    error = np.where(np.isfinite(error), error, np.inf)
    rank = np.where(np.isfinite(slope), np.minimum(error, np.finfo(np.float64).max), np.inf)
    best = np.argmin(rank, axis=-1, keepdims=True)
    slope, error = (np.take_along_axis(v, best, axis=-1)[..., 0] for v in (slope, error))
    return slope, error


def _nearer_ladder(slope: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the two ladders, the first axis, take the nearer where it knows better."""
    (far, near), (far_error, near_error) = slope, error
    contradicts = abs(far - near) > far_error + near_error
    resolved = near_error < _RESOLVED * abs(near)
    knows_better = resolved & (contradicts | (near_error < far_error)) | np.isinf(far_error)
    use = knows_better & np.isfinite(near)
    return np.where(use, near, far), np.where(use, near_error, far_error)


def _measure_rounding(loss: Callable[..., Any], params: PyTree, args: Any) -> np.ndarray:
    """How much each coordinate of the gradient amplifies a rounding unit, of shape (d,)."""
    rng = np.random.default_rng(0)
    leaves, tree = jax.tree.flatten((params, args))
    here = {i: v for i, v in enumerate(leaves) if _is_array(v)}

    @jax.jit
    def gradient(arrays: dict[int, jax.Array]) -> PyTree:
        p, a = tree.unflatten([arrays.get(i, v) for i, v in enumerate(leaves)])
        return jax.grad(loss)(p, *a)

    def nearby(v: Any) -> Any:
        if not _is_floating(v):
            return v
        v = np.asarray(v).astype(np.float64)
        return v * (1 - 2.0**-10 * rng.random(v.shape))  # towards 0, so that [0, 1] stays [0, 1]

    found = []
    for turn in range(1 + _NEARBY):
        near = _cast(jax.tree.map(nearby, here) if turn else here, np.float32)
        with jax.enable_x64(False):
            narrow = _flat(gradient(near))
        with jax.enable_x64(True):
            wide = _flat(gradient(_cast(near, np.float64)))
        found.append(abs(narrow - wide))
    found = np.array(found)
    return np.where(np.isfinite(found), found, 0).max(axis=0) / np.finfo(np.float32).eps


def _cast(tree: PyTree, dtype: DTypeLike) -> PyTree:
    """Arrays of ``tree`` on the device, floating-point ones in another type; all else as it is."""

    def on_leaf(v: Any) -> Any:
        if not _is_array(v):
            return v
        return jnp.asarray(np.asarray(v).astype(dtype) if _is_floating(v) else v)

    return jax.tree.map(on_leaf, tree)


def _is_array(v: Any) -> bool:
    return isinstance(v, jax.Array) or (
        isinstance(v, np.ndarray | np.floating)
        and (jnp.issubdtype(v.dtype, np.number) or v.dtype == bool)
    )


def _is_floating(v: Any) -> bool:
    return jnp.issubdtype(v.dtype, jnp.floating)


def _flat(tree: PyTree) -> np.ndarray:
    leaves = [np.asarray(v).astype(np.float64).ravel() for v in jax.tree.leaves(tree)]
    return np.concatenate(leaves)


def _rounding_units(hand: PyTree, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each coordinate's rounding unit and smallest number, and one ULP at ``values``."""
    leaves = [np.asarray(v) for v in jax.tree.leaves(hand)]
    infos = [ml_dtypes.finfo(v.dtype) for v in leaves]
    sizes = [v.size for v in leaves]
    eps = np.repeat([float(info.eps) for info in infos], sizes)
    # XLA flushes what is below to 0, but computes float16 in float32.
    tiny = np.repeat([min(float(info.tiny), 2.0**-126) for info in infos], sizes)
    pieces = zip(np.split(values, np.cumsum(sizes)[:-1]), leaves, strict=True)
    return eps, tiny, np.concatenate([ulp.unit(piece, v.dtype) for piece, v in pieces])


def _paths(tree: PyTree) -> list[str]:
    """Name of each coordinate; a tree that is one number is `params` itself."""
    return [
        jax.tree_util.keystr(path) + (f"[{', '.join(map(str, index))}]" if index else "")
        or "params"
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
        found = f"has shape {out.shape}" if hasattr(out, "shape") else f"is {type(out).__name__}"
        raise ValueError(f"the loss must be one number and {found}")
    if out.dtype != np.float64:
        raise ValueError(
            f"the loss is {out.dtype} for float64 arguments: it casts inside, and there is no "
            "float64 to compare with. Let it follow the type of its arguments"
        )
