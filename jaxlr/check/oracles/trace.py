"""A function traced once: its jaxpr, its values at many points, and how much work they are."""

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun, jaxprs_in_params
from numpy.typing import ArrayLike

from jaxlr.check.compiling import compiled, in_a_hurry

Function = Callable[[jax.Array], jax.Array]
_TOGETHER = 2**22  # numbers that all points evaluated side by side may take
_POINTS = 64  # at which it is evaluated, at least
_WHILE = 100  # turns counted for a loop whose length is not known
_cache: weakref.WeakKeyDictionary[Any, dict[int, "Traced"]] = weakref.WeakKeyDictionary()


class Traced:
    """Jaxpr of a function of ``d`` numbers, and what is compiled from it.

    Attributes
    ----------
    jaxpr : ClosedJaxpr
        From float64 (d,) to float64 ().
    work : int
        Numbers that one evaluation computes, see ``work``.
    hurried : bool
        Whether what is compiled is better not optimised.
    kept : dict
        What oracles have built from the jaxpr and want to find again.
    """

    def __init__(self, f: Function, d: int) -> None:
        self.jaxpr = jax.make_jaxpr(f)(jax.ShapeDtypeStruct((d,), np.float64))
        _check_types(self.jaxpr)
        self.work = work(self.jaxpr.jaxpr)
        self.kept: dict[str, Any] = {}
        self._batch = max(1, _TOGETHER // max(self.work, d))
        of_all = functools.partial(_values, self.jaxpr.jaxpr, self._batch)
        self.hurried = in_a_hurry(_POINTS * self.work)
        self._values = compiled(of_all, hurried=self.hurried)

    def values(
        self, x: np.ndarray, directions: np.ndarray, steps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evaluate at ``x + sum_q steps[m, p, q] directions[m, q]`` for all m and p.

        Steps are powers of two, or 0: products with them are exact, so that the points are the
        same whether or not the compiler fuses multiplication and addition.

        Returns
        -------
        values, moved, off : (m, p) arrays
            ``f``; the step as it was after rounding (of one direction); the largest relative
            rounding of a coordinate's move.
        """
        points = steps.shape[1]
        batch = min(points, self._batch)
        spare = -points % batch  # a batch of another size would be compiled again
        steps = np.pad(steps, [(0, 0), (0, spare), (0, 0)])
        values, moved, off = self._values(self.jaxpr.consts, x, directions, steps)
        return tuple(np.asarray(v)[:, :points] for v in (values, moved, off))  # pyright: ignore

    def at(self, x: np.ndarray) -> float:
        """Evaluate at one point."""
        return float(self.values(x, np.zeros((1, 1, x.size)), np.zeros((1, 1, 1)))[0][0, 0])


def _values(
    jaxpr: Jaxpr, batch: int, consts: list[Any], x: jax.Array, directions: Any, steps: Any
) -> Any:
    f = jaxpr_as_fun(ClosedJaxpr(jaxpr, consts))

    def along(item: tuple[jax.Array, jax.Array]) -> Any:
        u, all_steps = item  # (q, d), (p, q)

        def at(step: jax.Array) -> Any:
            moves = step[:, None] * u
            move, reach = moves.sum(0), abs(moves).sum(0)
            point = x + move
            made = point - x
            lost = ((step[:, None] != 0) & (u != 0)).any(0)  # a product that underflows
            off = jnp.where(reach > 0, abs(made - move) / reach, jnp.where(lost, 1.0, 0.0)).max()
            return f(point)[0], made @ u[0] / (u[0] @ u[0]), off

        return jax.lax.map(at, all_steps, batch_size=min(batch, len(all_steps)))

    return jax.lax.map(along, (directions, steps))


def traced(f: Function, x: np.ndarray) -> Traced:
    """Jaxpr of ``f`` at the shape of ``x``, traced once for as long as ``f`` lives."""
    d = len(x)
    try:
        known = _cache.setdefault(f, {})
    except TypeError:  # no hash, or no weak reference
        return Traced(f, d)
    if d not in known:
        known[d] = Traced(f, d)
    return known[d]


def vector(x: ArrayLike) -> np.ndarray:
    """``x`` as the float64 (d,) that oracles work on."""
    if not jax.config.jax_enable_x64:  # pyright: ignore
        raise ValueError("oracles work in float64: call them under jax.enable_x64(True)")
    point = np.asarray(x)
    if point.ndim != 1 or not point.size or point.dtype != np.float64:
        raise ValueError(
            f"the point must be a vector of float64 with something in it, "
            f"and is {point.dtype} of shape {point.shape}"
        )
    return point


def vectors(u: ArrayLike, x: np.ndarray, order: int) -> np.ndarray:
    """Directions as float64 (m, order, d)."""
    found = np.asarray(u, np.float64)
    shape = (x.size,) if order == 1 else (order, x.size)
    if found.ndim != len(shape) + 1 or found.shape[1:] != shape:
        raise ValueError(f"directions must be of shape (m, {', '.join(map(str, shape))}), "
                         f"and are {found.shape}")  # fmt: skip
    if not np.isfinite(found).all():
        raise ValueError("directions must be finite")
    return found.reshape(len(found), order, x.size)


def work(jaxpr: Jaxpr) -> int:
    """Count the numbers that a jaxpr computes: outputs, or terms where it sums.

    Examples
    --------
    >>> import jax, numpy as np
    >>> X = np.ones((3, 5), np.float32)
    >>> work(jax.make_jaxpr(lambda w: jax.numpy.tanh(X @ w).sum())(X[0]).jaxpr)
    21
    """
    return sum(_work_of(eqn) for eqn in jaxpr.eqns)


def _work_of(eqn: JaxprEqn) -> int:
    inner = list(jaxprs_in_params(eqn.params))
    name = eqn.primitive.name
    if inner and not name.startswith(("reduce", "scatter", "cum")):
        turns = eqn.params.get("length", 1) if name == "scan" else 1
        return sum(map(work, inner)) * (_WHILE if name == "while" else turns)
    sizes = [math.prod(v.aval.shape) for v in (*eqn.invars, *eqn.outvars)]  # pyright: ignore
    if name == "dot_general":
        (left, _), _ = eqn.params["dimension_numbers"]
        shape = eqn.invars[0].aval.shape  # pyright: ignore
        return sizes[-1] * math.prod(shape[i] for i in left)
    return max(sizes)


def _check_types(jaxpr: ClosedJaxpr) -> None:
    avals = jaxpr.out_avals
    if [(v.shape, v.dtype) for v in avals] != [((), np.float64)]:  # pyright: ignore
        found = ", ".join(v.str_short() for v in avals)
        raise ValueError(f"the function must return one float64 number, and returns {found}")
