"""Compiling what is only asked for numbers in float64: of few of them, in a hurry."""

from collections.abc import Callable
from typing import Any

import jax

_FEW = 2**16  # numbers up to which compiling costs more than running
_HURRIED = {"xla_backend_optimization_level": 0}


def in_a_hurry(numbers: int) -> bool:
    """Whether a program of so many numbers is better not optimised: a fifth less to compile."""
    return numbers <= _FEW and jax.default_backend() == "cpu"


def compiled(f: Callable[..., Any], *, hurried: bool) -> Callable[..., Any]:
    """`jax.jit`, or the same without optimising; never for what is judged."""
    return jax.jit(f, compiler_options=_HURRIED if hurried else None)
