"""Arguments of a function, as text: ``float32[9,4]``, ``int32[9]<4``, ``3``, ``"text"``."""

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

_ARRAY = re.compile(r"([a-z]+\d*)\[([\d\s,]*)\]\s*(?:([=<])\s*(\S+))?")
_FLOATING = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FORMS = 'float32[9,4], float32[9]=uniform, float32[9]=0.5, int32[9]<4, bool[9], 3, "text"'


@dataclass(frozen=True)
class Drawn:
    """An array to be drawn: its type, its shape, and how."""

    dtype: np.dtype
    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def parse(text: str) -> Any:
    """Read one SPEC: a `Drawn`, or a value of Python's.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> spec = parse("int32[2,3]<4")
    >>> spec.dtype.name, spec.shape
    ('int32', (2, 3))
    >>> parse("-3"), parse("'mean'")
    (-3, 'mean')
    """
    match = _ARRAY.fullmatch(text.strip())
    if match:
        dtype, shape, sign, value = match.groups()
        return Drawn(_dtype(dtype, text), _shape(shape, text), _draw(dtype, sign, value, text))
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"{text!r} is no argument; an argument is {_FORMS}") from None


def values(specs: tuple[str, ...], seed: int) -> tuple[Any, ...]:
    """Arguments that the SPECs describe; each is drawn on its own, so others do not change it."""
    return tuple(_value(parse(text), (seed, i)) for i, text in enumerate(specs))


def _value(spec: Any, seed: tuple[int, int]) -> Any:
    if not isinstance(spec, Drawn):
        return spec
    return np.asarray(spec.draw(np.random.default_rng(seed), spec.shape)).astype(spec.dtype)


def _dtype(name: str, text: str) -> np.dtype:
    if name in _FLOATING:
        return np.dtype(_FLOATING[name])
    if name == "bool" or name in _INTEGERS:
        return np.dtype(name)
    known = ", ".join([*_FLOATING, "bool", *sorted(_INTEGERS)])
    raise ValueError(f"{text!r}: {name} is none of {known}")


def _shape(text: str, spec: str) -> tuple[int, ...]:
    sizes = [size.strip() for size in text.split(",")] if text.strip() else []
    if sizes and not sizes[-1]:  # as in Python's (3,)
        sizes.pop()
    if not all(size.isdecimal() for size in sizes):
        raise ValueError(f"{spec!r}: a shape is sizes with commas between them, as in [9,4]")
    return tuple(map(int, sizes))


def _draw(dtype: str, sign: str | None, value: str | None, text: str) -> Any:
    if sign == "<":
        return _below(dtype, str(value), text)
    if value in ("normal", "uniform") and dtype not in _FLOATING:
        raise ValueError(f"{text!r}: only floating point is {value}; integers are {dtype}[...]<4")
    if value == "uniform":
        return lambda rng, shape: rng.random(shape)
    if value not in (None, "normal"):
        return _constant(dtype, str(value), text)
    if dtype in _FLOATING:
        return lambda rng, shape: rng.standard_normal(shape)
    if dtype == "bool":
        return lambda rng, shape: rng.integers(0, 2, shape)
    raise ValueError(f"{text!r}: say how large the integers may be, as in {text}<4")


def _below(dtype: str, bound: str, text: str) -> Any:
    if dtype not in _INTEGERS:
        raise ValueError(f"{text!r}: only integers have a bound; for [0, 1) write =uniform")
    most = np.iinfo(dtype).max
    if not bound.isdecimal() or not 1 <= int(bound) <= most:
        raise ValueError(f"{text!r}: the bound is a whole number from 1 to {most}")
    return lambda rng, shape: rng.integers(0, int(bound), shape)


def _constant(dtype: str, value: str, text: str) -> Any:
    try:
        number = float(value) if dtype in _FLOATING else int(value)
        if dtype not in _FLOATING:
            np.array(number, dtype)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r}: {value} is no number of type {dtype}") from None
    if math.isnan(number):
        raise ValueError(f"{text!r}: an argument must be an ordinary input, not NaN")
    return lambda rng, shape: np.full(shape, number)
