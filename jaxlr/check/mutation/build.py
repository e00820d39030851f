"""From a changed syntax tree to a function that differs from the user's in nothing else.

The copy shares the globals, the cells of the closure and the defaults of the original, and gets
its decorators again. Helpers of the same module come to it as cells, under their own names, so
that no module is touched.
"""

import __future__

import ast
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxlr.check.mutation import boundary, operators
from jaxlr.check.mutation.source import FunctionNode, Source, decorators, names_of

Wrapper = Callable[[Callable[..., Any]], Any]
Watcher = Callable[[types.FunctionType, Callable[..., Any]], Callable[..., Any]]
_ADDED_NAMES = {**operators.ADDED_NAMES, **boundary.ADDED_NAMES}


class Unit(NamedTuple):
    """One plain Python function: its source, how it is dressed, the helpers that it calls."""

    raw: Any  # types.FunctionType, which as an attribute is a descriptor to type checkers
    dress: Wrapper
    source: Source
    helpers: dict[str, types.FunctionType]


def units_of(functions: Sequence[Any], follow: bool, wrap: Wrapper | None) -> list[Unit]:
    """Return the given functions first, then the helpers of the same module that they reach."""
    found: dict[types.FunctionType, Unit] = {}
    waiting = [undress(function, wrap) for function in functions]
    while waiting:
        raw, dress = waiting.pop(0)
        if raw in found:
            continue
        source = Source(raw)
        helpers = _helpers(raw, source) if follow else {}
        found[raw] = Unit(raw, dress, source, {name: raw for name, (raw, _) in helpers.items()})
        waiting += helpers.values()
    return list(found.values())


def copies(
    units: Sequence[Unit],
    trees: Mapping[types.FunctionType, FunctionNode],
    watch: Watcher = lambda raw, copy: copy,
) -> dict[types.FunctionType, Any]:
    """Copy all units, so that they call each other's copies, some with another tree."""
    cells = {unit.raw: types.CellType() for unit in units}
    for unit in units:
        tree = trees.get(unit.raw) or unit.source.parsed()
        helpers = {name: cells[raw] for name, raw in unit.helpers.items()}
        copy = _function(unit, tree, {**_added(unit), **_closure(unit.raw), **helpers})
        cells[unit.raw].cell_contents = unit.dress(watch(unit.raw, copy))
    return {raw: cell.cell_contents for raw, cell in cells.items()}


def undress(function: Any, wrap: Wrapper | None = None) -> tuple[types.FunctionType, Wrapper]:
    """Plain function inside jit, partial, bound methods; and what puts all that on again."""
    if isinstance(function, jax.custom_vjp | jax.custom_jvp):
        raise TypeError(
            f"{function} has rules of its own: give mutants the rules, as in mutants(fwd, bwd), "
            "and the test finds them by install=[(f, 'fwd'), (f, 'bwd')]"
        )
    if isinstance(function, types.MethodType):
        raw, dress = undress(function.__func__, wrap)
        return raw, lambda copy: types.MethodType(dress(copy), function.__self__)
    if isinstance(function, functools.partial):
        raw, dress = undress(function.func, wrap)
        return raw, lambda copy: functools.partial(dress(copy), *function.args, **function.keywords)
    *layers, raw = _layers(function)
    if not isinstance(raw, types.FunctionType):
        raise TypeError(f"{function!r} is no Python function: its source is needed")
    if wrap or not layers:
        return raw, wrap or (lambda copy: copy)
    return raw, _decorate(raw, len(layers))


def _decorate(raw: types.FunctionType, layers: int) -> Wrapper:
    advice = f"give the plain function {raw.__qualname__}, and wrap=, as in wrap=jax.jit"
    expressions = decorators(Source(raw).node)
    if len(expressions) < layers:
        raise ValueError(f"{raw.__qualname__} was wrapped by a call, not by a decorator: {advice}")
    try:
        wrappers = [
            eval(compile(ast.Expression(e), raw.__code__.co_filename, "eval"), {**names_of(raw)})
            for e in expressions
        ]
    except NameError as error:
        raise ValueError(
            f"a decorator of {raw.__qualname__} is local ({error}): {advice}"
        ) from None

    def dress(copy: Any) -> Any:
        wanted = layers + len(_layers(copy))
        for wrapper in reversed(wrappers):  # those further out may not be on what was given
            if len(_layers(copy)) < wanted:
                copy = wrapper(copy)
        return copy

    return dress


def _layers(function: Any) -> list[Any]:
    """Return a function, what it wraps, what that wraps, and so on."""
    found = [function]
    while hasattr(found[-1], "__wrapped__"):
        found.append(found[-1].__wrapped__)
    return found


def _helpers(
    raw: types.FunctionType, source: Source
) -> dict[str, tuple[types.FunctionType, Wrapper]]:
    """Functions of the same module that a function names, dressed or not."""
    found = {}
    for node in ast.walk(source.node):
        value = source.namespace.get(node.id) if isinstance(node, ast.Name) else None
        if callable(value) and getattr(value, "__module__", None) == raw.__module__:
            try:
                inner, dress = undress(value)
                Source(inner)
            except (TypeError, ValueError):  # a class, or what cannot be copied: left as it is
                continue
            if inner.__globals__ is raw.__globals__:
                found[node.id] = (inner, dress)  # pyright: ignore[reportAttributeAccessIssue]
    return found


def _closure(raw: types.FunctionType) -> dict[str, types.CellType]:
    return dict(zip(raw.__code__.co_freevars, raw.__closure__ or (), strict=True))


def _added(unit: Unit) -> dict[str, types.CellType]:
    """Cells for the names that edits bring in, but for those that the function has already."""
    nodes = list(ast.walk(unit.source.node))
    own = {getattr(node, "id", getattr(node, "arg", None)) for node in nodes}
    return {name: types.CellType(v) for name, v in _ADDED_NAMES.items() if name not in own}


def _function(
    unit: Unit, tree: FunctionNode, cells: Mapping[str, types.CellType]
) -> types.FunctionType:
    raw = unit.raw
    code = _compiled(raw, tree, cells)
    closure = tuple(cells[name] for name in code.co_freevars)
    copy = types.FunctionType(code, raw.__globals__, raw.__name__, raw.__defaults__, closure)
    copy.__kwdefaults__ = raw.__kwdefaults__
    functools.update_wrapper(copy, raw)
    del copy.__wrapped__  # pyright: ignore[reportFunctionMemberAccess]
    return copy


def _compiled(
    raw: types.FunctionType, tree: FunctionNode, cells: Mapping[str, types.CellType]
) -> types.CodeType:
    """Code of ``tree`` as it stands among the names of ``cells``, and in its class."""
    outside = raw.__qualname__.split(".")[-2:-1]
    home = f"class {outside[0]}: pass" if outside and outside != ["<locals>"] else "if 1: pass"
    arguments = ", ".join(name for name in cells if name != "__class__")
    module = ast.parse(f"def factory({arguments}):\n {home}")
    statement = ast.Expr(tree) if isinstance(tree, ast.Lambda) else tree
    if not isinstance(tree, ast.Lambda):
        tree.decorator_list = []
    module.body[0].body[0].body = [statement]  # pyright: ignore[reportAttributeAccessIssue]
    flags = raw.__code__.co_flags & __future__.annotations.compiler_flag
    whole = compile(
        ast.fix_missing_locations(module), raw.__code__.co_filename, "exec", flags, True
    )
    waiting = [whole]
    while (code := waiting.pop(0)).co_name != raw.__code__.co_name:
        waiting += [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return code
