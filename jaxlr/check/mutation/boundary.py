"""Faults at a function's boundary, as edits of its text: what it returns, what it takes."""

import ast
from collections.abc import Iterator

from jaxlr.check.mutation import faults
from jaxlr.check.mutation.operators import outputs
from jaxlr.check.mutation.source import Edit, Source

FAULTY_OUTPUT, FAULTY_AT, IGNORED = "faulty output", "faulty at an input", "input ignored"
NAMES = [FAULTY_OUTPUT, FAULTY_AT, IGNORED]
ADDED_NAMES = {**faults.OUTPUTS, **faults.INPUTS, "ones_like": faults.ones_like}


def edits(source: Source) -> Iterator[Edit]:
    """Wrap each returned value in each fault, and replace each input by ones."""
    used = list(_used_parameters(source.node))
    for value in _returned(source.node):
        text = source.text(value)
        for output in outputs(value):
            for fault in faults.OUTPUTS:
                new = f"{fault}({source.text(output)})"
                yield Edit(FAULTY_OUTPUT, *source.span(output), new)
        for name in used:
            for fault in faults.INPUTS:
                new = f"{fault}({source.operand(value, 0)}, {name})"
                yield Edit(FAULTY_AT, *source.span(value), new)
        if isinstance(source.node, ast.Lambda):
            for name in used:
                new = f"(lambda {name}: {text})(ones_like({name}))"
                yield Edit(IGNORED, *source.span(value), new)
    if not isinstance(source.node, ast.Lambda):
        first = source.node.body[1 if ast.get_docstring(source.node) else 0]
        start, _ = source.span(first)
        indent = "\n" + " " * first.col_offset
        for name in used:
            yield Edit(IGNORED, start, start, f"{name} = ones_like({name}){indent}")


def _returned(node: ast.AST) -> Iterator[ast.expr]:
    """Values that a function itself returns, not the functions within it."""
    if isinstance(node, ast.Lambda):
        yield node.body
        return
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        child = waiting.pop(0)
        if isinstance(child, ast.Return) and child.value is not None:
            yield child.value
        elif not isinstance(child, ast.Lambda | ast.FunctionDef | ast.ClassDef):
            waiting += ast.iter_child_nodes(child)


def _used_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    body = node.body if isinstance(node.body, list) else [node.body]
    read = {
        child.id
        for part in body
        for child in ast.walk(part)
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load)
    }
    for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        if arg.arg in read and arg.arg not in ("self", "cls"):
            yield arg.arg
