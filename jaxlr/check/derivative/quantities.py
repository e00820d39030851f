"""What is compared: the value, the gradient, the second derivative, the tangent of a function.

One text for the function with its rule and for its reference: what differs is only who
differentiates, the rule of the user or JAX.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Arrays = list[Any]  # of JAX, or of NumPy
Function = Callable[[Sequence[Array]], Arrays]  # floating-point leaves in, floating-point ones out


class Point(NamedTuple):
    """Where a derivative is looked at.

    ``floats`` are the floating-point leaves of the arguments, ``cotangent`` belongs to the
    outputs, ``along`` is a direction in the leaves that are differentiated by.
    """

    floats: Arrays
    cotangent: Arrays
    along: Arrays


Quantity = Callable[[Function, tuple[int, ...], Point], dict[str, Arrays]]


def gradient(f: Function, moving: tuple[int, ...], at: Point) -> dict[str, Arrays]:
    """Value of f, and the gradient of ``<cotangent, f>``."""
    out, pull = jax.vjp(_by(f, moving, at.floats), _chosen(moving, at.floats))
    return {"value": out, "gradient": pull(_like(at.cotangent, out))[0]}


def second(f: Function, moving: tuple[int, ...], at: Point) -> dict[str, Arrays]:
    """Gradient of ``<gradient, along>``, by the arguments and by the cotangent."""

    def slope(given: Arrays, cotangent: Arrays) -> Array:
        out, pull = jax.vjp(_by(f, moving, at.floats), given)
        return dot(pull(_like(cotangent, out))[0], at.along)

    by_given, by_cotangent = jax.grad(slope, (0, 1))(_chosen(moving, at.floats), at.cotangent)
    return {"second": by_given, "second by cotangent": by_cotangent}


def primal(f: Function, moving: tuple[int, ...], at: Point) -> dict[str, Arrays]:
    """Gradient of the value that `jax.vjp` returns beside the pullback.

    A rule makes that value by a forward pass of its own, and whoever differentiates twice
    differentiates through it.
    """

    def value(given: Arrays) -> Array:
        out, _ = jax.vjp(_by(f, moving, at.floats), given)
        return dot(out, _like(at.cotangent, out))

    return {"gradient of the primal": jax.grad(value)(_chosen(moving, at.floats))}


def tangent(f: Function, moving: tuple[int, ...], at: Point) -> dict[str, Arrays]:
    """Return the derivative of f along ``along``, in forward mode."""
    given = _chosen(moving, at.floats)
    return {"tangent": jax.jvp(_by(f, moving, at.floats), (given,), (at.along,))[1]}


def _like(cotangent: Arrays, out: Arrays) -> Arrays:
    """Cotangents in the types of the outputs, which need not be that of the arguments."""
    return [c.astype(v.dtype) for c, v in zip(cotangent, out, strict=True)]


def dot(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Sum of the products of two lists of arrays."""
    products = [jnp.sum(x * y.astype(x.dtype)) for x, y in zip(a, b, strict=True)]
    return sum(products[1:], start=products[0])


def _chosen(moving: tuple[int, ...], floats: Arrays) -> Arrays:
    return [floats[i] for i in moving]


def _by(f: Function, moving: tuple[int, ...], floats: Arrays) -> Callable[[Arrays], Arrays]:
    def by(given: Arrays) -> Arrays:
        full = list(floats)
        for i, v in zip(moving, given, strict=True):
            full[i] = v
        return f(full)

    return by
