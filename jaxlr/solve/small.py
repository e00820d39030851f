"""Newton's method as one compiled program, where calls of the device would cost more than the rows.

The turn is that of `jaxlr.solve.descent`, for one model and with the curvature of all rows each
time; models are taken one after the other, or side by side where that is faster. Where the way is
not plain (no optimum, a matrix that is singular, no step that lowers the objective) it is given
up, and `descend` goes on from there.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxlr import batch
from jaxlr.batch import Models, Part, Rows, View
from jaxlr.solve.newton import to_unit, with_penalty
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.steps import WIDE, is_good, shortened
from jaxlr.solve.values import Values

TURNS = 30  # reads before a way is given up


class Problems(NamedTuple):
    """K problems: start u (K, P), center and scale (K, d), how they see rows.

    ``tol`` (K,) is the largest entry of the gradient to leave. ``l2`` (K,) are the penalties, and
    ``penalty`` (K, P) what they are on u^2 / 2.
    """

    tol: Array
    u: Array
    center: Array
    scale: Array
    penalty: Array
    l2: Array
    view: View


class Place(NamedTuple):
    """Where a model is: u, g (P,), J, the Newton matrix H (P, P), and whether all is in order.

    ``plain`` is whether nothing is seen yet that proves that there is no optimum.
    """

    u: Array
    J: Array
    g: Array
    H: Array
    plain: Array


class Way(NamedTuple):
    """A model on its way: the step to try, how much of it, and how far it has come.

    ``history`` (TURNS, 3) is, after each step: reads so far, J, largest entry of g.
    """

    place: Place
    step: Array
    t: Array
    turns: Array
    steps: Array
    history: Array


@partial(jax.jit, static_argnames=("apart", "n_classes"))
def newton(
    problems: Problems,
    rows: Rows,
    max_steps: Array | int,
    part: Part | None = None,
    *,
    apart: bool = False,
    n_classes: int | None = None,
) -> Way:
    """Minimise K problems, over shared rows or ``apart``: each over rows of its own, X (K, m, d).

    Of the models that are not of this ``part``, everything is 0.
    """

    def of_model(problem: Problems, own: Rows | None) -> Way:
        look = partial(_look, problem, rows if own is None else own, n_classes)
        return _descend(problem, look, max_steps)

    return batch.map_models(of_model, problems, rows if apart else None, part=part)


def _descend(problem: Problems, look: Callable[[Array], Place], max_steps: Array | int) -> Way:
    def on_its_way(way: Way) -> Array:
        size = jnp.abs(way.place.g).max(initial=0)
        able = way.place.plain & (way.t >= WIDE.shortest) & jnp.isfinite(way.step).all()
        going = able & (size > problem.tol) & (way.turns < TURNS) & (way.steps < max_steps)
        return going | (way.turns == 0)

    def turn(way: Way) -> Way:
        here, step, t = way.place, way.step, way.t
        there = look(here.u + t * step)
        down, up = jnp.sum(here.g * step), jnp.sum(there.g * step)
        first = way.turns == 0
        good = is_good(here.J, there.J, down, up, WIDE) | first
        place = jax.tree.map(partial(jnp.where, good), there, here)
        steps = way.steps + (good & ~first).astype(way.steps.dtype)
        return Way(
            place,
            step=jnp.where(good, _newton_step(there), step),
            t=jnp.where(good, 1.0, shortened(t, down, up)),
            turns=way.turns + 1,
            steps=steps,
            history=way.history.at[steps].set(_line(way.turns + 1, place)),
        )

    u, zero = problem.u, jnp.zeros((), jnp.int32)
    H, nothing = jnp.zeros((len(u), len(u)), u.dtype), jnp.zeros_like(u)
    start = Place(u, jnp.full((), jnp.inf, u.dtype), nothing, H, jnp.ones((), jnp.bool_))
    history = jnp.zeros((TURNS, 3), u.dtype)
    way = Way(start, nothing, jnp.ones((), u.dtype), zero, zero, history)
    return lax.while_loop(on_its_way, turn, way)


def _line(reads: Array, place: Place) -> Array:
    size = jnp.abs(place.g).max(initial=0)
    return jnp.stack([reads.astype(size.dtype), place.J, size])


def _look(problem: Problems, rows: Rows, n_classes: int | None, u: Array) -> Place:
    """Read the rows at u, in standardised parameters (`jaxlr.solve.scaling`)."""
    _, _, center, scale, penalty, l2, view = problem
    arrays: Any = (center[None], scale[None])
    alone: Any = u[None]
    intercept = len(u) // (n_classes or 1) > len(scale)
    scaling = Scaling(*arrays, intercept=intercept, n_classes=n_classes)
    raw: Any = scaling.to_raw(alone)
    models = Models(raw[0], raw[1], jax.tree.map(lambda v: v[None], view))
    total, bend = batch.gradient_and_curvature(models, rows, center, scale)
    alone_penalty: Any = penalty[None]
    values: Any = Values.of(total, alone, scaling, alone_penalty, l2[None])
    H: Any = scaling.matrix(bend.H)  # pyright: ignore[reportArgumentType]
    H = with_penalty(H / bend.s[:, None, None], alone_penalty, n_classes)
    return Place(u, values.J[0], values.g[0], H[0], ~values.hopeless[0])


def _newton_step(place: Place) -> Array:
    """``-H^-1 g``, NaN where H is not positive definite."""
    (unit,), (root,) = to_unit(place.H[None])
    factor = jax.scipy.linalg.cho_factor(unit, lower=True, check_finite=False)
    return -jax.scipy.linalg.cho_solve(factor, place.g / root, check_finite=False) / root
