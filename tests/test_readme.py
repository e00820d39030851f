"""The README tells the truth: its shell commands run, and its claims of what lies where hold.

Its Python examples are doctests, which pytest collects from the file itself.
"""

import ast
import re
import shlex
from pathlib import Path

import pytest

from jaxlr import core
from jaxlr.cli import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


@pytest.mark.relaxed
def test_the_shell_tour_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("jaxlr ")]
    assert len(commands) >= 3
    for command in commands:
        assert main(command) == 0, command
    assert "all checks passed" in capsys.readouterr().out


class Bare(ast.NodeTransformer):
    """Code as the README shows it: no ``jnp.``, and no keywords, which say how and not what."""

    def visit_Attribute(self, node):
        self.generic_visit(node)
        is_jnp = isinstance(node.value, ast.Name) and node.value.id == "jnp"
        return ast.Name(node.attr) if is_jnp else node

    def visit_Call(self, node):
        self.generic_visit(node)
        return ast.Call(node.func, node.args, [])


def test_the_code_beside_the_derivation_is_that_of_core():
    files = Path(core.__file__).parent.glob("*.py")
    bare = Bare().visit(ast.parse("\n".join(path.read_text() for path in files)))
    lines = {ast.unparse(node) for node in ast.walk(bare) if isinstance(node, ast.expr | ast.stmt)}
    table = TEXT.partition("| on paper |")[2].partition("\n\n")[0]
    cells = [row.split("|")[2] for row in table.splitlines()[2:]]
    assert len(cells) == 8
    for code in [code for cell in cells for code in re.findall("`(.*?)`", cell)]:
        assert ast.unparse(ast.parse(code)) in lines, code


def test_the_run_folder_is_as_described(tmp_path):
    assert main(["train", "--steps", "2", "--out", str(tmp_path / "run")]) == 0
    described = set(re.findall(r"^\| `([a-z.]+)` \|", TEXT, re.MULTILINE))
    found = {path.name for path in (tmp_path / "run").iterdir() if path.name[0] != "."}
    assert described == found | {"checkpoints"}  # which this run is too short for


def test_ci_runs_the_test_command_of_the_readme():
    assert "$ scripts/test " in TEXT
    assert "\nscripts/test\n" in (ROOT / ".ci" / "run").read_text()
