"""The text of a function as its file has it, and what its names mean."""

import __future__

import ast
import builtins
import linecache
import types
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_ATOM = 20
_UNARY = 12
_PRECEDENCE = {
    ast.Starred: -1, ast.NamedExpr: -1, ast.Yield: -1, ast.Lambda: 0, ast.IfExp: 1, ast.Or: 2,
    ast.And: 3, ast.Not: 4, ast.Compare: 5, ast.BitOr: 6, ast.BitXor: 7, ast.BitAnd: 8,
    ast.LShift: 9, ast.RShift: 9, ast.Add: 10, ast.Sub: 10, ast.Mult: 11, ast.Div: 11,
    ast.FloorDiv: 11, ast.Mod: 11, ast.MatMult: 11, ast.UnaryOp: _UNARY, ast.Pow: 13,
}  # fmt: skip


class NoSourceError(ValueError):
    """The text of a function cannot be read, so that no wrong copies can be made from it."""


class Edit(NamedTuple):
    """One change of the text: bytes ``start`` to ``end`` of the file give way to ``new``."""

    operator: str
    start: int
    end: int
    new: str


class Source:
    """Text of the file that a plain Python function stands in, and the function's place there."""

    def __init__(self, function: types.FunctionType) -> None:
        self.path = function.__code__.co_filename
        linecache.checkcache(self.path)
        lines = linecache.getlines(self.path, function.__globals__)
        if not lines:
            raise NoSourceError(
                f"the source of {function.__qualname__} is not available ({self.path}): define it "
                "in a file or a notebook cell, not by exec or in a compiled module"
            )
        encoded = [line.encode() for line in lines]
        self._data = b"".join(encoded)
        self._line_starts = list(accumulate((len(line) for line in encoded), initial=0))
        try:
            self._tree = ast.parse(self._data)
        except SyntaxError as error:
            raise NoSourceError(f"{self.path} does not parse: {error}") from error
        self.node = self._find(function)
        self._check_current(function)
        self.namespace = names_of(function)

    def text(self, node: ast.AST) -> str:
        """Text of a node, without the parentheses around it."""
        return self.slice(*self.span(node))

    def span(self, node: Any) -> tuple[int, int]:
        """First byte of a node in the file, and the one after its last."""
        return (
            self._line_starts[node.lineno - 1] + node.col_offset,
            self._line_starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def slice(self, start: int, end: int) -> str:
        """Text between two places."""
        return self._data[start:end].decode()

    def inside(self, node: ast.AST, place: ast.AST) -> str:
        """Text of ``node`` that can stand where ``place`` stands."""
        return self.operand(node, precedence(place))

    def operand(self, node: ast.AST, at_least: int = _UNARY) -> str:
        """Text of ``node``, in parentheses unless it binds as tightly as ``at_least``."""
        text = self.text(node)
        bare = isinstance(node, ast.Tuple) and not text.startswith("(")
        return f"({text})" if bare or precedence(node) < at_least else text

    def meaning(self, node: ast.AST) -> Any:
        """Object that a dotted name stands for outside the function, or None."""
        if isinstance(node, ast.Name):
            return self.namespace.get(node.id)
        if isinstance(node, ast.Attribute):
            return getattr(self.meaning(node.value), node.attr, None)
        return None

    def line_of(self, edit: Edit) -> int:
        """Line of the file, from 1, in which an edit begins."""
        return sum(start <= edit.start for start in self._line_starts)

    def diff(self, edit: Edit) -> tuple[str, str]:
        """Lines that an edit touches, before and after, as one line each."""
        start = self._data.rfind(b"\n", 0, edit.start) + 1
        end = self._data.find(b"\n", edit.end)
        end = len(self._data) if end < 0 else end
        new = edit.new.replace("\n", "; ") if edit.start == edit.end else edit.new
        after = self.slice(start, edit.start) + new + self.slice(edit.end, end)
        return " ".join(self.slice(start, end).split()), " ".join(after.split())

    def parsed(self, edit: Edit | None = None) -> FunctionNode:
        """Syntax tree of the function, with an edit made."""
        start, end = self.span(self.node)
        first = min([self.node.lineno, *(d.lineno for d in decorators(self.node))])
        is_lambda = isinstance(self.node, ast.Lambda)
        start = start if is_lambda else self._line_starts[first - 1]
        text = self.slice(start, end)
        if edit:
            text = self.slice(start, edit.start) + edit.new + self.slice(edit.end, end)
        before, after = ("(\n", "\n)") if is_lambda else ("if 1:\n", "")
        if not is_lambda and text[0] not in " \t":
            before = "\n"
        tree = ast.parse(before + text + after)
        ast.increment_lineno(tree, first - 2)
        return next(node for node in ast.walk(tree) if isinstance(node, FunctionNode))

    def _find(self, function: types.FunctionType) -> FunctionNode:
        code = function.__code__
        found = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, FunctionNode)
            and getattr(node, "name", "<lambda>") == code.co_name
            and min([node.lineno, *(d.lineno for d in decorators(node))]) == code.co_firstlineno
        ]
        if len(found) > 1:  # lambdas of one line: the innermost that holds all of the code
            places = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
            found = [node for node in found if all(_holds(node, place) for place in places)]
            found.sort(key=lambda node: len(self.text(node)))
        if not found:
            raise NoSourceError(
                f"{function.__qualname__} is not where it should be, line {code.co_firstlineno} "
                f"of {self.path}: was the file changed after its import?"
            )
        return found[0]

    def _check_current(self, function: types.FunctionType) -> None:
        """Refuse a file that no longer holds what runs (pytest writes assert statements anew)."""
        if any(isinstance(node, ast.Assert) for node in ast.walk(self.node)):
            return
        flags = function.__code__.co_flags & __future__.annotations.compiler_flag
        whole = compile(self._data, self.path, "exec", flags, dont_inherit=True)
        if function.__code__ not in _codes(whole):
            raise NoSourceError(
                f"{function.__qualname__} is not what stands in {self.path}: the file was changed "
                "after its import, or the import changes it"
            )


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)


def names_of(function: types.FunctionType) -> Mapping[str, Any]:
    """Names that a function can see from outside: builtins, globals, its closure."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closed_over = {name: cell.cell_contents for name, cell in cells if is_filled(cell)}
    return {**vars(builtins), **function.__globals__, **closed_over}


def is_filled(cell: types.CellType) -> bool:
    """Whether a cell of a closure holds a value already."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def decorators(node: FunctionNode) -> list[ast.expr]:
    """Expressions of a function's decorators, from top to bottom."""
    return getattr(node, "decorator_list", [])


def precedence(node: ast.AST) -> int:
    """How tightly an expression binds; the larger, the tighter."""
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
        return _UNARY
    kind = type(getattr(node, "op", node))
    return _PRECEDENCE.get(kind, _ATOM)


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that compute: no annotation, default, decorator, check of arguments or text."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("args", "decorator_list", "returns", "annotation") and not isinstance(
            node, ast.Call
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _only_checks(child):
                yield from parts(child)


def _only_checks(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return not node.orelse and all(isinstance(line, ast.Raise) for line in node.body)
    return isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr)


def _holds(node: Any, place: tuple[Any, ...]) -> bool:
    line, end_line, column, end_column = place
    after_start = (line, column) >= (node.lineno, node.col_offset)
    return after_start and (end_line, end_column) <= (node.end_lineno, node.end_col_offset)
