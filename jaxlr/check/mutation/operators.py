"""The table of operators: what can be wrong in an expression, a few lines each.

An operator looks at one node of the syntax tree and yields pairs of a node and the text that
takes its place. What has no effect, or does not parse, is dropped by whoever asks.
"""

import ast
import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from jaxlr.check.mutation.source import Edit, Source, parts, precedence

Changes = Iterator[tuple[ast.AST, str]]
_RULES: list[tuple[str, type | tuple[type, ...], Callable[[Any, Source], Changes]]] = []

_SYMBOLS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@",
    ast.Mod: "%", ast.FloorDiv: "//", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in", ast.And: "and",
    ast.Or: "or",
}  # fmt: skip
_OTHER = {
    "+": "-", "-": "+", "*": "/", "/": "*", "**": "*", "@": "*", "%": "*", "//": "*", "&": "|",
    "|": "&", "^": "&", "and": "or", "or": "and",
}  # fmt: skip
_COMPARISONS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",),
    "!=": ("==",), "is": ("is not",), "is not": ("is",), "in": ("not in",), "not in": ("in",),
}  # fmt: skip
_PAIRS = (
    "exp expm1", "log log1p", "log log2", "tanh sigmoid", "sin cos", "sinh cosh", "max min",
    "maximum minimum", "sum mean", "sum prod", "var std", "any all", "argmax argmin", "sqrt rsqrt",
    "sqrt square", "zeros_like ones_like", "softmax log_softmax", "relu softplus", "floor ceil",
    "cumsum cumprod",
)  # fmt: skip
_REDUCTIONS = {"sum", "mean", "prod", "max", "min", "var", "std", "logsumexp"}
_ELEMENTWISE = {
    "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "square", "abs", "absolute", "fabs", "sign",
    "tanh", "sigmoid", "relu", "softplus", "sin", "cos", "reciprocal", "negative", "astype",
    "stop_gradient", "clip", "cumsum", "flip",
}  # fmt: skip
_COMMUTATIVE = {"maximum", "minimum", "max", "min", "add", "multiply", "logaddexp"}
_NO_MATHS = {"isinstance", "getattr", "hasattr", "issubdtype", "astype", "reshape"}
_TRANSPOSES = {"transpose", "swapaxes", "matrix_transpose", "moveaxis"}
_OR, _NOT = 2, 4  # precedences
_PRODUCT = 11  # as tightly as a * b binds: -a * b needs no parentheses
_ATOM = 20
ADDED_NAMES = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}


def _rule(name: str, *kinds: type) -> Callable[[Callable], Callable]:
    def register(rule: Callable[[Any, Source], Changes]) -> Callable:
        _RULES.append((name, kinds, rule))
        return rule

    return register


def names() -> list[str]:
    """Names of the operators, in the order of the table."""
    return list(dict.fromkeys(name for name, _, _ in _RULES))


def edits(source: Source) -> Iterator[Edit]:
    """All single changes of the expressions of a function."""
    for node in parts(source.node):
        for name, kinds, rule in _RULES:
            if isinstance(node, kinds):
                for place, new in rule(node, source):
                    yield Edit(name, *source.span(place), new)


@_rule("operator", ast.BinOp)
def _operator(node: ast.BinOp, source: Source) -> Changes:
    symbol = _SYMBOLS.get(type(node.op))
    if symbol in _OTHER and not _is_text(node.left) and not _is_text(node.right):
        new = _between(source, node, node.left, node.right, symbol, _OTHER[symbol])
        yield node, f"({new})" if symbol == "**" else new


@_rule("operator", ast.AugAssign)
def _augmented(node: ast.AugAssign, source: Source) -> Changes:
    symbol = _SYMBOLS.get(type(node.op), "")
    for new in (_OTHER.get(symbol, ""), ""):  # x += y becomes x -= y and x = y
        yield node, _between(source, node, node.target, node.value, symbol + "=", new + "=")


@_rule("term dropped", ast.BinOp)
def _term(node: ast.BinOp, source: Source) -> Changes:
    if isinstance(node.op, ast.Add | ast.Sub):
        yield node, source.inside(node.left, node)
        added = isinstance(node.op, ast.Add)
        yield node, source.inside(node.right, node) if added else _minus(node.right, source)


@_rule("factor dropped", ast.BinOp)
def _factor(node: ast.BinOp, source: Source) -> Changes:
    if isinstance(node.op, ast.Mult | ast.Div | ast.Pow):
        yield node, source.inside(node.left, node)
    if isinstance(node.op, ast.Mult):
        yield node, source.inside(node.right, node)
    if isinstance(node.op, ast.Div):
        yield node, "1 / " + source.operand(node.right)


@_rule("sign", ast.UnaryOp)
def _minus_dropped(node: ast.UnaryOp, source: Source) -> Changes:
    if isinstance(node.op, ast.USub | ast.Invert):
        yield node, source.inside(node.operand, node)


@_rule("sign", ast.BinOp)
def _first_term(node: ast.BinOp, source: Source) -> Changes:
    first = not (isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Add | ast.Sub))
    if isinstance(node.op, ast.Add | ast.Sub) and first and not _is_text(node.left):
        yield node.left, _minus(node.left, source)


@_rule("sign", ast.Assign, ast.Return)
def _value_negated(node: ast.Assign | ast.Return, source: Source) -> Changes:
    targets = getattr(node, "targets", [])
    if any(not isinstance(target, ast.Name) for target in targets):
        return
    for value in outputs(node.value):
        if isinstance(value, ast.BinOp | ast.Call) or not targets:
            yield value, _minus(value, source)


@_rule("constant", ast.Constant)
def _constant(node: ast.Constant, _: Source) -> Changes:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if value in (0, 1, 2):
        others = {0: (1,), 1: (0, 2), 2: (1, 3)}[int(value)]
    else:
        others = (value + 1,) if isinstance(value, int) else (2 * value, value * 1.001)
    yield from ((node, repr(type(value)(other))) for other in others)


@_rule("comparison", ast.Compare)
def _comparison(node: ast.Compare, source: Source) -> Changes:
    if len(node.ops) == 1:
        symbol = _SYMBOLS[type(node.ops[0])]
        for new in _COMPARISONS[symbol]:
            yield node, _between(source, node, node.left, node.comparators[0], symbol, new)


@_rule("logic", ast.BoolOp)
def _logic(node: ast.BoolOp, source: Source) -> Changes:
    symbol = _SYMBOLS[type(node.op)]
    new = f" {_OTHER[symbol]} ".join(source.operand(value, _NOT) for value in node.values)
    yield node, f"({new})"


@_rule("logic", ast.UnaryOp)
def _not_dropped(node: ast.UnaryOp, source: Source) -> Changes:
    if isinstance(node.op, ast.Not):
        yield node, source.inside(node.operand, node)


@_rule("condition", ast.If, ast.While)
def _condition(node: ast.If | ast.While, source: Source) -> Changes:
    yield node.test, f"not ({source.text(node.test)})"


@_rule("condition", ast.IfExp)
def _arms(node: ast.IfExp, source: Source) -> Changes:
    test, yes, no = (source.operand(part, _OR) for part in (node.test, node.body, node.orelse))
    yield node, f"{no} if {test} else {yes}"
    yield node, yes
    yield node, no


@_rule("where", ast.Call)
def _where(node: ast.Call, source: Source) -> Changes:
    if called(node) in ("where", "select", "cond") and len(node.args) >= 3:
        start, end = source.span(node)
        (yes, yes_end), (no, no_end) = source.span(node.args[1]), source.span(node.args[2])
        before, comma, after = (
            source.slice(*s) for s in ((start, yes), (yes_end, no), (no_end, end))
        )
        a, b = source.text(node.args[1]), source.text(node.args[2])
        for first, second in ((b, a), (a, a), (b, b)):
            yield node, before + first + comma + second + after


@_rule("axis", ast.Call)
def _axis(node: ast.Call, source: Source) -> Changes:
    for keyword in node.keywords:
        if keyword.arg in ("axis", "keepdims"):
            yield (
                node,
                _call(node, source, [k for k in (*node.args, *node.keywords) if k != keyword]),
            )
    place = 0 if _is_method(node, source) else 1
    if called(node) in _REDUCTIONS and len(node.args) == place + 1:
        yield node, _call(node, source, [*node.args[:place], *node.keywords])


@_rule("reduction dropped", ast.Call)
def _reduction(node: ast.Call, source: Source) -> Changes:
    if called(node) in _REDUCTIONS and (operand := _operand(node, source)):
        yield node, source.inside(operand, node)


@_rule("function", ast.Call)
def _function(node: ast.Call, source: Source) -> Changes:
    for pair in map(str.split, _PAIRS):
        if called(node) in pair:
            other = pair[1 - pair.index(called(node))]
            if new := _named(node, other, source):
                yield node.func, new


@_rule("function dropped", ast.Call)
def _function_dropped(node: ast.Call, source: Source) -> Changes:
    if called(node) in _ELEMENTWISE and (operand := _operand(node, source)):
        yield node, source.inside(operand, node)
    if called(node) in ("maximum", "minimum") and len(node.args) == 2:
        yield from ((node, source.inside(arg, node)) for arg in node.args)


@_rule("order", ast.BinOp)
def _order(node: ast.BinOp, source: Source) -> Changes:
    left, right, tight = node.left, node.right, precedence(node)
    if isinstance(node.op, ast.Sub | ast.Div | ast.MatMult):
        new = f"{source.operand(right, tight)} {_SYMBOLS[type(node.op)]} "
        yield node, new + source.operand(left, tight + 1)
    if isinstance(node.op, ast.MatMult):  # x.T @ dz becomes dz.T @ x
        if (x := _transposed(left)) is not None:
            yield node, f"{source.operand(right, _ATOM)}.T @ {source.operand(x)}"
        if (x := _transposed(right)) is not None:
            yield node, f"{source.operand(x)} @ {source.operand(left, _ATOM)}.T"


@_rule("order", ast.Call, ast.Return)
def _neighbours(node: ast.Call | ast.Return, source: Source) -> Changes:
    """Arguments of a call, or values of a returned tuple, change places with their neighbours."""
    if isinstance(node, ast.Call):
        no_maths = called(node) in _COMMUTATIVE | _NO_MATHS | {"where", "select", "cond"}
        values = [] if no_maths else node.args
    else:
        values = node.value.elts if isinstance(node.value, ast.Tuple) else []
    for a, b in pairwise(values):
        if not any(isinstance(v, ast.Constant | ast.Starred) for v in (a, b)):
            comma = source.slice(source.span(a)[1], source.span(b)[0])
            yield _Span(a, b), source.text(b) + comma + source.text(a)


@_rule("transpose", ast.Attribute, ast.Call)
def _transpose(node: ast.Attribute | ast.Call, source: Source) -> Changes:
    if isinstance(node, ast.Attribute):
        operand = _transposed(node)
    else:
        operand = _operand(node, source) if called(node) in _TRANSPOSES else None
    if operand is not None:
        yield node, source.inside(operand, node)


def outputs(value: ast.expr | None) -> list[ast.expr]:
    """Values that a ``return`` gives, one by one: of a tuple, a dict, ``Params(dw, db)``."""
    if isinstance(value, ast.Tuple | ast.List) and value.elts:
        found = value.elts
    elif isinstance(value, ast.Dict):
        found = value.values
    elif isinstance(value, ast.Call) and called(value)[:1].isupper():
        found = [*value.args, *(k.value for k in value.keywords)]
    else:
        found = [value]
    return [v for v in found if v and not isinstance(v, ast.Constant | ast.Starred)]


def called(node: ast.Call) -> str:
    """Last part of the name of the function that a call calls."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


class _Span(ast.AST):
    """The place from one node to another."""

    def __init__(self, first: Any, last: Any) -> None:
        self.lineno, self.col_offset = first.lineno, first.col_offset
        self.end_lineno, self.end_col_offset = last.end_lineno, last.end_col_offset


def _between(source: Source, node: Any, left: Any, right: Any, old: str, new: str) -> str:
    """Text of ``left old right`` with another operator."""
    (start, end), (_, left_end), (right_start, _) = map(source.span, (node, left, right))
    operator = source.slice(left_end, right_start).replace(old, new, 1)
    return source.slice(start, left_end) + operator + source.slice(right_start, end)


def _minus(node: ast.AST, source: Source) -> str:
    return "-" + source.operand(node, _PRODUCT)


def _call(node: ast.Call, source: Source, arguments: list[ast.AST]) -> str:
    return f"{source.text(node.func)}({', '.join(map(source.text, arguments))})"


def _operand(node: ast.Call, source: Source) -> ast.AST | None:
    """Return what a call is about: x in ``jnp.sum(x)`` and in ``x.sum()``."""
    if _is_method(node, source):
        return node.func.value  # pyright: ignore[reportAttributeAccessIssue]
    return node.args[0] if node.args and not isinstance(node.args[0], ast.Starred) else None


def _is_method(node: ast.Call, source: Source) -> bool:
    return isinstance(node.func, ast.Attribute) and not inspect.ismodule(
        source.meaning(node.func.value)
    )


def _named(node: ast.Call, name: str, source: Source) -> str | None:
    """Text for the function of another name, from where the called one comes."""
    if not isinstance(node.func, ast.Attribute):
        return name if name in source.namespace or name in ADDED_NAMES else None
    home = jax.Array if _is_method(node, source) else source.meaning(node.func.value)
    if hasattr(home, name):
        return f"{source.operand(node.func.value, _ATOM)}.{name}"
    return name if name in ADDED_NAMES and inspect.ismodule(home) else None


def _transposed(node: ast.AST) -> ast.AST | None:
    """Return x of ``x.T`` and ``x.mT``."""
    return node.value if isinstance(node, ast.Attribute) and node.attr in ("T", "mT") else None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str)
