"""A failing input as a few lines of Python, ready to paste."""

import keyword
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxlr.check.smallest.arrays import is_array, is_floating
from jaxlr.check.smallest.literals import Words, fill
from jaxlr.check.smallest.trees import Writer

PyTree = Any
_OURS = {"jax", "jnp", "np", "c", "out", "pull", "no_cotangent"}
_TWICE = {"along", "function", "given", "slope"}  # of a second derivative
_ONCE_MORE = """

def slope(given, c):
    grads = jax.vjp(function, *given)[1](c)
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, grads, along)))


print(jax.grad(slope, (0, 1))(given, c))"""
_FILL = """

def no_cotangent(o):
    if jnp.issubdtype(o.dtype, jnp.inexact):
        return jnp.zeros_like(o)
    return np.zeros(o.shape, jax.dtypes.float0)


c = jax.tree.map(lambda o, v: no_cotangent(o) if v is None else v, out, c)"""


def as_code(
    f_name: str,
    args: tuple[PyTree, ...],
    cotangent: PyTree,
    found: Sequence[tuple[str, Any, Any]],
    names: Sequence[str] | None = None,
    along: tuple[PyTree, ...] | None = None,
) -> str:
    """Write the pullback of a function at one input as a program that reproduces it.

    Parameters
    ----------
    f_name : str
        Function as ``"module:qualname"``. One that no import reaches (a lambda, a function in a
        function, one of ``__main__``) is named in a comment, to be put there by the reader.
    args : tuple of PyTree
        Arguments; only their floating-point arrays are differentiated.
    cotangent : PyTree of arrays
        Cotangent of the output; None where an output has none.
    found : sequence of (str, number, number)
        What was wrong: the coordinate, what the hand has, and the truth.
    names : sequence of str, optional
        Names of the arguments; ``x0, x1, ...`` where they are missing or cannot be used.
    along : tuple of PyTree, optional
        Directions, of the structure of ``args``: the program then differentiates the pullback
        along them once more, by the arguments and by the cotangent.

    Returns
    -------
    str
        Lines of Python, with every number to the bit (a NaN by its sign only). Arrays are JAX's,
        but NumPy's integers. 64-bit mode is switched on where an array needs it.

    Examples
    --------
    >>> import numpy as np
    >>> x, k = np.float32([16.64, 0.1]), 2
    >>> print(as_code("mine:power", (x, k), np.ones(2, np.float32), [("x[0]", 0.0, 33.28)], "xk"))
    import jax
    import jax.numpy as jnp
    from mine import power
    <BLANKLINE>
    x = jnp.array([16.64, 0.1], jnp.float32)
    k = 2
    c = jnp.array([1.0, 1.0], jnp.float32)
    out, pull = jax.vjp(lambda x: power(x, k), x)
    print(pull(c))
    # x[0]: by hand 0.0, truth 33.28
    """
    writer = Writer(set(_OURS) if along is None else _OURS | _TWICE)
    f = _function(writer, f_name)
    names = [_usable(writer, names, i) for i in range(len(args))]
    body, call, variables = _arguments(writer, args, names, f)
    given = [word for key, _ in variables for word in (", ", key)]
    body.append(fill(["c = ", *writer.tree(cotangent)]))
    body.append(fill(["out, pull = jax.vjp(", *call, *given, ")"]))
    if any(v is None for v in jax.tree.leaves(cotangent, is_leaf=lambda v: v is None)):
        body.append(_FILL)
    if along is None:
        body.append("print(pull(c))")
    else:
        directions = tuple(pick(along) for _, pick in variables)
        body.append(fill(["along = ", *writer.tree(directions)]))
        body.append(fill(["given = (", *given[1:], ",)"]))
        body.append(fill(["function = ", *call]))
        body.append(_ONCE_MORE)
    body += [f"# {path}: by hand {hand!s}, truth {truth!s}" for path, hand, truth in found]
    return "\n".join([*_head(writer, body, _needs_64_bits((args, cotangent))), "", *body])


def _function(writer: Writer, f_name: str) -> str:
    module, _, qualname = f_name.rpartition(":")
    reached = all(part.isidentifier() for part in [*module.split("."), *qualname.split(".")])
    if reached and module != "__main__":
        return writer.bring(module, qualname)
    last = qualname.rpartition(".")[2]
    name = writer.fresh(last if last.isidentifier() else "f")
    writer.missing[name] = f_name
    return name


def _usable(writer: Writer, names: Sequence[str] | None, i: int) -> str:
    name = names[i] if names is not None and i < len(names) else ""
    good = name.isidentifier() and not keyword.iskeyword(name) and name not in writer.taken
    return writer.fresh(name if good else f"x{i}")


Variable = tuple[str, Callable[[Any], Any]]  # its name, and how to find it in the arguments


def _arguments(
    writer: Writer, args: tuple[PyTree, ...], names: list[str], f: str
) -> tuple[list[str], Words, list[Variable]]:
    """Write the lines that make the arguments, the function of the variables, and those."""
    lines: list[str] = []
    variables: list[Variable] = []
    passed = []
    for i, (arg, name) in enumerate(zip(args, names, strict=True)):
        leaves = jax.tree.leaves(arg)
        floating = [is_floating(leaf) for leaf in leaves]
        if any(floating) and not all(floating):
            own, words = _apart(writer, arg, name)
            lines += [fill([f"{key} = ", *writer.tree(leaves[k])]) for key, k in own]
            variables += [(key, _leaf(i, k)) for key, k in own if floating[k]]
            passed.append(words)
            continue
        lines.append(fill([f"{name} = ", *writer.tree(arg)]))
        variables += [(name, operator.itemgetter(i))] if floating and all(floating) else []
        passed.append([name])
    if passed == [[name] for name, _ in variables]:
        return lines, [f], variables
    inside = [word for i, words in enumerate(passed) for word in ([", "] if i else []) + words]
    head = ", ".join(name for name, _ in variables)
    return lines, [f"lambda {head}: " if head else "lambda: ", f, "(", *inside, ")"], variables


def _leaf(argument: int, leaf: int) -> Callable[[Any], Any]:
    return lambda args: jax.tree.leaves(args[argument])[leaf]


def _apart(writer: Writer, arg: PyTree, name: str) -> tuple[list[tuple[str, int]], Words]:
    """Give every array of an argument that has also others than floating-point ones a variable."""
    own: list[tuple[str, int]] = []
    leaves = jax.tree.leaves(arg)

    def named(leaf: Any) -> str | None:
        if not is_array(leaf):
            return None
        known = {at for _, at in own}
        at = next(i for i, v in enumerate(leaves) if v is leaf and i not in known)
        own.append((writer.fresh(f"{name}_{len(own)}"), at))
        return own[-1][0]

    words = writer.tree(arg, named)
    return own, words


def _needs_64_bits(trees: Any) -> bool:
    return any(
        leaf.dtype.itemsize >= (16 if leaf.dtype.kind == "c" else 8)
        and (is_floating(leaf) or isinstance(leaf, jax.Array))
        for leaf in jax.tree.leaves(trees)
        if is_array(leaf)
    )


def _head(writer: Writer, body: list[str], wide: bool) -> list[str]:
    text = "\n".join(body)
    head = ["import jax", "import jax.numpy as jnp"]
    head += ["import numpy as np"] if re.search(r"\bnp\.", text) else []
    head += writer.imports.values()
    head += ["", 'jax.config.update("jax_enable_x64", True)'] if wide else []
    missing = [
        f"# {name if what == name else f'{name} is {what}'}: no import reaches it, put it here"
        for name, what in writer.missing.items()
    ]
    return [*head, *([""] if missing else []), *missing]
