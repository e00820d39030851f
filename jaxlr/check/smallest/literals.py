"""Arrays as Python expressions that give back every bit.

An expression is a list of words: a line may be broken after a word that ends in a bracket or in
a comma and a space, and nowhere else.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Words = list[str]
_LONG = 4  # a constant array of more elements is written as `full`


def array(leaf: Any) -> Words:
    """Return the expression for an array; NumPy's integers stay NumPy's, all else is JAX's.

    NumPy's integers are of 64 bits by habit, and JAX has these only in its 64-bit mode.

    Examples
    --------
    >>> "".join(array(np.float32([0.1, -0.0, np.inf])))
    'jnp.array([0.1, -0.0, jnp.inf], jnp.float32)'
    >>> "".join(array(np.zeros((3, 4))))
    'jnp.zeros((3, 4), jnp.float64)'
    """
    values = np.asarray(leaf)
    room = "np" if values.dtype.kind in "iu" and not isinstance(leaf, jax.Array) else "jnp"
    dtype = "bool" if values.dtype == bool else f"{room}.{values.dtype.name}"
    shape = repr(tuple(map(int, values.shape)))
    if values.size == 0:
        return [f"{room}.zeros({shape}, {dtype})"]
    first = values.reshape(-1)[:1]
    if values.size > _LONG and first.tobytes() * values.size == values.tobytes():
        text = number(first[0])
        if text in ("0", "0.0", "1", "1.0"):
            name = "zeros" if text[0] == "0" else "ones"
            return [f"{room}.{name}({shape}, {dtype})"]
        if _is_subnormal(first[0]):  # on the device `full` would make it 0
            for length in reversed(values.shape):
                text = f"[{text}] * {length}"
            return [f"jnp.array({text}, {dtype})"]
        return [f"{room}.full({shape}, {text}, {dtype})"]
    return [f"{room}.array(", *_nested(values), ", ", f"{dtype})"]


def _is_subnormal(value: Any) -> bool:
    floating = jnp.issubdtype(value.dtype, jnp.floating)
    return bool(floating) and 0 < abs(float(value)) < float(jnp.finfo(value.dtype).tiny)


def number(value: Any) -> str:
    """Return the shortest literal that rounds to ``value``, a NumPy scalar, in its dtype.

    Examples
    --------
    >>> number(np.float32(0.1)), number(np.float16(65504)), number(np.float32(1e-45))
    ('0.1', '65500.0', '1e-45')
    """
    if isinstance(value, np.complexfloating):
        return f"complex({number(value.real)}, {number(value.imag)})"
    if value.dtype == bool or jnp.issubdtype(value.dtype, jnp.integer):
        return repr(bool(value) if value.dtype == bool else int(value))
    exact = float(value)
    if math.isnan(exact):
        return "-jnp.nan" if np.signbit(value) else "jnp.nan"
    if math.isinf(exact):
        return "-jnp.inf" if exact < 0 else "jnp.inf"
    bits = value.tobytes()
    with np.errstate(over="ignore", under="ignore"):
        for digits in range(17):
            short = float(f"{exact:.{digits}e}")
            if np.asarray(short).astype(value.dtype).tobytes() == bits:
                return repr(short)
    return repr(exact)


def _nested(values: np.ndarray) -> Words:
    if values.ndim == 0:
        return [number(values[()])]
    words = ["["]
    for i, row in enumerate(values):
        words += [", "] if i else []
        words += _nested(np.asarray(row))
    return [*words, "]"]


def fill(words: Words, width: int = 100) -> str:
    """Join words to lines of at most ``width`` where a line may be broken.

    Examples
    --------
    >>> print(fill(["x = f(", "1.0", ", ", "2.0", ")"], width=12))
    x = f(1.0,
        2.0)
    """
    pieces = [""]  # what stays on one line
    for word in words:
        if pieces[-1].endswith((", ", "(", "[", "{")):
            pieces.append("")
        pieces[-1] += word
    lines = [""]
    for piece in pieces:
        if lines[-1].strip() and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("    ")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
