"""The rules that the source must keep: who imports whom, where autodiff is, what import costs."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxlr"
# Each module may import those it names here, and what those may.
ALLOWED = {
    "core": set(),
    "check": set(),
    "extras": set(),
    "plugin": {"check"},
    "data": {"extras", "shard"},
    "shard": set(),
    "batch": {"core", "shard"},
    "train": {"core", "shard", "batch"},
    "solve": {"core", "shard", "batch"},
    "estimator": {"core", "shard", "batch", "train", "solve", "extras"},
    "run": {"core", "shard", "batch", "train", "solve", "check", "data", "extras"},
    "export": {"core", "data", "extras", "run"},
    "cli": {"core", "shard", "batch", "train", "solve", "check", "data", "extras", "run", "export"},
}
AUTODIFF = {
    "grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "hessian",
    "jacobian", "jacfwd", "jacrev", "custom_vjp", "custom_jvp",
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_its_layer():
    assert {module_of(path) for path in FILES} == {*ALLOWED, "__init__"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    module = module_of(path)
    if module == "__init__":
        return
    names = [name.split(".") for name in imports(ast.parse(path.read_text()))]
    ours = {parts[1] for parts in names if parts[0] == "jaxlr" and len(parts) > 1}
    assert ours <= {*ALLOWED[module], module}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_private_jax_and_no_autodiff_outside_check(path):
    tree = ast.parse(path.read_text())
    assert not [name for name in imports(tree) if "jax._src" in name]
    if module_of(path) != "check":
        assert not autodiff_names(tree)


def autodiff_names(tree):
    """Names of autodiff, wherever they come from but `batch`, whose Hessian is by hand."""
    ours = {"jaxlr.batch", "batch"}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and not (isinstance(node.value, ast.Name) and node.value.id in ours)
    }
    for name in imports(tree):
        module, _, last = name.rpartition(".")
        if not module.startswith("jaxlr.batch"):
            used.add(last)
    return used & AUTODIFF


def test_the_search_for_autodiff_finds_it_where_it_is():
    source = (PACKAGE / "check" / "point.py").read_text()
    assert autodiff_names(ast.parse(source)) == {"grad"}
    for line in ("jax.hessian(f)", "from jax import jvp", "import jax\njax.vjp(f, x)"):
        assert autodiff_names(ast.parse(line)), line
    assert not autodiff_names(ast.parse("from jaxlr.batch import hessian\nbatch.hessian(p, X)"))


def test_what_is_imported_is_declared():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^\w-]", need)[0].replace("-", "_") for need in needs}
    names = {"scikit_learn": "sklearn", "jaxlib": "jax", "orbax_checkpoint": "orbax"}
    declared = {names.get(name, name) for name in declared}
    for path in FILES:
        found = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()))}
        assert found - {"jaxlr", "no_such_package"} - sys.stdlib_module_names <= declared, path


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_light_and_changes_nothing():
    code = """
import sys, jax
before = dict(jax.config.values)
import jaxlr
assert dict(jax.config.values) == before
heavy = ["sklearn", "pyarrow", "matplotlib", "tyro", "rich", "safetensors", "pandas", "torch"]
print([name for name in heavy if name in sys.modules])
# A backend that had started would refuse this.
jax.config.update("jax_num_cpu_devices", 3)
print(len(jax.devices("cpu")))
"""
    assert python(code).split("\n") == ["[]", "3"]


def test_import_loads_no_package_but_jax_and_optax_and_no_room_of_scripts():
    code = """
import sys, jax, optax
packages = lambda: {name.partition(".")[0] for name in sys.modules}
before = packages()
import jaxlr
print(sorted(packages() - before - sys.stdlib_module_names))
print([room for room in ("cli", "run", "data") if f"jaxlr.{room}" in sys.modules])
"""
    assert python(code).split("\n") == ["['jaxlr']", "[]"]


@pytest.mark.thorough
def test_python_dash_O_changes_no_verdict():
    code = """
import jax.numpy as jnp, jaxlr
grads = lambda w: -2 * w
print(bool(jaxlr.check_gradient(lambda w: (w**2).sum(), grads, jnp.ones(2), level="quick")))
"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
