"""The mutants are what they say, differ from the original in nothing else, and find weak tests."""

import functools
import importlib.util
import json
import subprocess
import sys
import threading
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlr import core
from jaxlr.check import logistic
from jaxlr.check.mutation import OPERATORS, NoSourceError, Status, faults, mutants
from jaxlr.check.mutation.run import TimedOutError, attempt, same_bits


@pytest.fixture
def load(tmp_path):
    """Write a module and import it."""

    def make(text, name="written"):
        path = tmp_path / f"{name}.py"
        path.write_text("import functools\nimport jax\nimport jax.numpy as jnp\n" + text)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return make


EXPRESSIONS = [
    ("operator", "a + b", ["a - b"]),
    ("operator", "a - (b)", ["a + (b)"]),
    ("operator", "a * b", ["a / b"]),
    ("operator", "(a + 1)/ b", ["(a - 1)/ b", "(a + 1)* b"]),
    ("operator", "a * b**2", ["a / b**2", "a * (b*2)"]),
    ("operator", "x @ x", ["x * x"]),
    ("operator", "7 // a % b", ["7 // a * b", "7 * a % b"]),
    ("term dropped", "a - b", ["a", "-b"]),
    ("term dropped", "a - b * c", ["a", "-b * c"]),
    ("term dropped", "a * (b + c)", ["a * (b)", "a * (c)"]),
    ("factor dropped", "a * (b + c)", ["a", "(b + c)"]),
    ("factor dropped", "a - b * (a + c)", ["a - b", "a - (a + c)"]),
    ("factor dropped", "a / (b + c)", ["a", "1 / (b + c)"]),
    ("factor dropped", "a / b**2", ["a", "1 / b**2", "a / b"]),
    ("sign", "a", ["-a"]),
    ("sign", "-a * b", ["--a * b", "a * b"]),
    ("sign", "a + b - c", ["-(a + b - c)", "-a + b - c"]),
    ("sign", "(a, b)", ["(-a, b)", "(a, -b)"]),
    ("sign", "{'w': a, 'b': b}", ["{'w': -a, 'b': b}", "{'w': a, 'b': -b}"]),
    ("constant", "a * 0.5", ["a * 1.0", "a * 0.5005"]),
    ("constant", "a + 1", ["a + 0", "a + 2"]),
    ("constant", "a + 0 + 2.0", ["a + 1 + 2.0", "a + 0 + 1.0", "a + 0 + 3.0"]),
    ("constant", "a * 7", ["a * 8"]),
    ("comparison", "a < b", ["a <= b", "a >= b"]),
    ("comparison", "a == b", ["a != b"]),
    ("comparison", "a is not None", ["a is None"]),
    ("logic", "a > 1 and b", ["(a > 1 or b)"]),
    ("logic", "not a", ["a"]),
    ("condition", "a if b else c", ["c if b else a", "a", "c"]),
    ("where", "jnp.where(x > 1, a, b)", ["jnp.where(x > 1, b, a)", "jnp.where(x > 1, a, a)",
                                         "jnp.where(x > 1, b, b)"]),
    ("axis", "x.sum(axis=0)", ["x.sum()"]),
    ("axis", "x.sum(0)", ["x.sum()"]),
    ("axis", "jnp.sum(x, 0)", ["jnp.sum(x)"]),
    ("axis", "jnp.max(x, axis=0, keepdims=True)", ["jnp.max(x, keepdims=True)",
                                                   "jnp.max(x, axis=0)"]),
    ("reduction dropped", "a * jnp.sum(x)", ["a * x"]),
    ("reduction dropped", "a * (x + 1).sum()", ["a * (x + 1)"]),
    ("function", "jnp.sum(x)", ["jnp.mean(x)", "jnp.prod(x)"]),
    ("function", "x.mean()", ["x.sum()"]),
    ("function", "(x + 1).mean(axis=0)", ["(x + 1).sum(axis=0)"]),
    ("axis", "(x + 1).mean(axis=0)", ["(x + 1).mean()"]),
    ("function", "jnp.exp(a)", ["jnp.expm1(a)"]),
    ("function", "jnp.log(a)", ["jnp.log1p(a)", "jnp.log2(a)"]),
    ("function", "jnp.tanh(a)", ["sigmoid(a)"]),
    ("function", "jax.nn.sigmoid(a)", ["jax.nn.tanh(a)"]),
    ("function", "jnp.maximum(a, b)", ["jnp.minimum(a, b)"]),
    ("function", "max(a, b)", ["min(a, b)"]),
    ("function dropped", "a - jnp.exp(a + b)", ["a - (a + b)"]),
    ("function dropped", "x.astype(x.dtype)", ["x"]),
    ("function dropped", "jnp.maximum(a, b)", ["a", "b"]),
    ("order", "a - b", ["b - a"]),
    ("order", "a - b / (b + c)", ["b / (b + c) - a", "a - (b + c) / b"]),
    ("order", "x.T @ (x + 1)", ["(x + 1) @ x.T", "(x + 1).T @ x"]),
    ("order", "x @ x.T", ["x.T @ x", "x @ x.T"][:1]),
    ("order", "jnp.dot(x, x + 1)", ["jnp.dot(x + 1, x)"]),
    ("order", "a, b", ["b, a"]),
    ("transpose", "x.T @ x", ["x @ x"]),
    ("transpose", "jnp.transpose(x)", ["x"]),
]  # fmt: skip


@pytest.mark.relaxed
@pytest.mark.parametrize(("operator", "before", "after"), EXPRESSIONS, ids=lambda v: str(v)[:30])
def test_each_operator_makes_exactly_these_and_runs_what_it_shows(load, operator, before, after):
    module = load(f"def f(a, b, c, x):\n    return {before}\n")
    found = mutants(module.f, operators=[operator])
    assert sorted(m.after for m in found) == sorted(f"return {text}" for text in after)
    given = {"a": 3.0, "b": 1.5, "c": 7.0, "x": jnp.array([[0.5, 2.0], [3.0, 5.0]])}
    for mutant in found:
        assert (mutant.name, mutant.line, mutant.where) == (operator, 5, "f")
        assert mutant.before == f"return {before}"
        text = mutant.after.removeprefix("return ")
        shown = eval(text, {**vars(module), "sigmoid": jax.nn.sigmoid, **given})
        assert jax.tree.all(jax.tree.map(np.array_equal, mutant.function(**given), shown))
        assert module.f.__code__ is not mutant.function.__code__


STATEMENTS = [
    ("operator", "x += 2 * a", ["x -= 2 * a", "x = 2 * a", "x += 2 / a"]),
    ("sign", "y = 2 * a", ["y = -2 * a"]),
    ("sign", "y, z = a, b", []),
    ("condition", "if a > b: a = b", ["if not (a > b): a = b"]),
    ("operator", "y: 'int + 1' = a + b", ["y: 'int + 1' = a - b"]),
    ("comparison", "if a < 0: raise ValueError", []),
    ("comparison", "assert a < 0", []),
    ("operator", "f'{a + b}'", []),
]


@pytest.mark.parametrize(("operator", "before", "after"), STATEMENTS)
def test_statements(load, operator, before, after):
    module = load(f"def f(a, b, x):\n    {before}\n    return a + b\n")
    found = mutants(module.f, operators=[operator, "constant", "order", "term dropped"])
    assert [m.after for m in found if m.line == 5 and m.name == operator] == after


def test_every_operator_is_in_these_tables():
    tried = {name for name, _, _ in EXPRESSIONS}
    assert tried | {"faulty output", "faulty at an input", "input ignored"} == set(OPERATORS)


def test_nested_functions_and_text_of_several_lines_and_letters_beyond_ascii(load):
    module = load("""
def f(a, β):
    def inner(v):
        return v * β
    return (inner(a)
            - a)
""")
    found = mutants(module.f, operators=["operator"])
    assert [m.after for m in found] == ["return v / β", "return (inner(a) + a)"]
    assert [m.function(6.0, 2.0) for m in found] == [6 / 2 - 6, 6 * 2 + 6]


FAULTS = {  # of [1e-4, 2, 3, -4] as two rows
    "zero": [0, 0, 0, 0],
    "off_by_a_thousandth": [1.001e-4, 2.002, 3.003, -4.004],
    "negate_first": [-1e-4, 2, 3, -4],
    "negate_last": [1e-4, 2, 3, 4],
    "double_last_row": [1e-4, 2, 6, -8],
    "zero_where_small": [0, 2, 3, -4],
    "double_if_traced": [1e-4, 2, 3, -4],
}


@pytest.mark.parametrize("of", [np.float32, jnp.float32])
@pytest.mark.parametrize("fault", faults.OUTPUTS)
def test_faults_of_outputs(fault, of):
    value = np.array([[1e-4, 2], [3, -4]], np.float32)
    given = {"dw": value if of is np.float32 else jnp.asarray(value), "n": 3}
    wrong = faults.OUTPUTS[fault](given)
    assert type(wrong["dw"]) is type(given["dw"])
    assert wrong["dw"].dtype == np.float32
    np.testing.assert_allclose(wrong["dw"].ravel(), FAULTS[fault], rtol=1e-6)
    assert wrong["n"] == 3
    compiled = jax.jit(lambda dw: faults.OUTPUTS[fault](dw))(given["dw"])
    factor = 2 if fault == "double_if_traced" else 1
    np.testing.assert_allclose(compiled, factor * wrong["dw"], rtol=1e-6)


@pytest.mark.parametrize("number", [3.0, np.float32(3), jnp.array(3.0), np.zeros((0, 2))])
@pytest.mark.parametrize("fault", faults.OUTPUTS)
def test_faults_of_one_number_and_of_none(fault, number):
    assert np.shape(faults.OUTPUTS[fault](number)) == np.shape(number)


def test_faults_at_inputs():
    value = jnp.ones(2)
    for given in ({"x": jnp.array([[1.0, 0.0]]), "n": 0}, np.array([3.0, 0.0]), 0.0):
        assert faults.off_by_one_at_zero(value, given).tolist() == [2, 2]
        assert faults.nan_at_large(value, given).tolist() == [1, 1]
    for given in (jnp.array([2.0, -31.0]), 30.5):
        assert faults.off_by_one_at_zero(value, given).tolist() == [1, 1]
        assert np.isnan(faults.nan_at_large(value, given)).all()
    with pytest.raises(TypeError, match="no floating-point array"):
        faults.nan_at_large(value, 40)


def test_the_boundary_is_changed_in_the_functions_given_only(load):
    module = load("""
def half(v):
    return v / 2

def bwd(res, g):
    '''Doc.'''
    x, n = res
    return half(x) * g, g

plus = lambda x, g: 2 * g
""")
    found = mutants(module.bwd, operators=["input ignored", "faulty output", "faulty at an input"])
    ignored = [m for m in found if m.name == "input ignored"]
    assert [m.after for m in ignored] == [f"{v} = ones_like({v}); x, n = res" for v in ("res", "g")]
    assert [m.function((6.0, 0.0), 5.0) for m in ignored] == [(2.5, 5.0), (3.0, 1.0)]
    outputs = [m.after for m in found if m.name == "faulty output"]
    assert len(outputs) == 2 * len(faults.OUTPUTS)
    assert "return half(x) * g, negate_first(g)" in outputs
    assert "return nan_at_large((half(x) * g, g), g)" in [m.after for m in found]
    (ignored,) = mutants(module.plus, operators=["input ignored"])
    assert ignored.after == "plus = lambda x, g: (lambda g: 2 * g)(ones_like(g))"
    assert (ignored.function(1.0, 5.0), module.plus(1.0, 5.0)) == (2.0, 10.0)


def one(function, operator, after=None, **options):
    """Return the one mutant of an operator, or the one of these words."""
    found = mutants(function, operators=[operator], **options)
    (mutant,) = [m for m in found if after is None or m.after == after]
    return mutant


def test_closures_share_their_cells_and_globals_stay_live(load, monkeypatch):
    module = load("""
scale = 3

def make():
    count = 0
    def bwd(g, *, k=2):
        nonlocal count
        count = count + 1
        return g * scale * k
    return bwd, lambda: count
""")
    bwd, count = module.make()
    mutant = one(bwd, "operator", "return g * scale / k")
    assert mutant.function(4.0) == 4 * 3 / 2
    assert count() == 1
    monkeypatch.setattr(module, "scale", 5)
    assert mutant.function(4.0) == 4 * 5 / 2
    assert bwd(4.0) == 4 * 5 * 2
    assert count() == 3
    assert mutant.function.__kwdefaults__ == {"k": 2}
    assert mutant.function.__qualname__ == bwd.__qualname__


def test_methods_with_super_private_names_and_static_ones(load):
    module = load("""
class Base:
    def half(self, g):
        return g / 2

class Layer(Base):
    __scale = 3
    def half(self, g):
        return super().half(g) + self.__scale
    @staticmethod
    def twice(g):
        return g + g
    @classmethod
    def thrice(cls, g):
        return g + 2 * g
""")
    layer = module.Layer()
    wrong = one(layer.half, "operator", "return super().half(g) - self.__scale")
    assert (wrong.function(4.0), layer.half(4.0)) == (2 - 3, 2 + 3)
    plain = one(module.Layer.half, "operator", "return super().half(g) - self.__scale")
    assert plain.function(layer, 4.0) == 2 - 3
    for name, after, wrong_value, value in (
        ("twice", "return g - g", 0, 8),
        ("thrice", "return g - 2 * g", -4, 12),
    ):
        wrong = one(getattr(module.Layer, name), "operator", after)
        assert wrong.function(4.0) == wrong_value
        with wrong.installed((module.Layer, name)):
            assert module.Layer().twice(4.0) == (0 if name == "twice" else 8)
            assert getattr(module.Layer(), name)(4.0) == wrong_value
        assert getattr(module.Layer(), name)(4.0) == value
    with plain.installed((module.Layer, "half")):
        assert layer.half(4.0) == -1
    with one(layer.half, "operator", plain.after).installed((layer, "half")):
        assert layer.half(4.0) == -1
    assert vars(layer) == {}
    assert layer.half(4.0) == 5


def test_lambdas_of_one_line(load):
    module = load("f, g = lambda a: a + 1, lambda a: a + 2\nh = [lambda a: (lambda b: b + 3)(a)]\n")
    assert [one(f, "operator").function(5) for f in (module.f, module.g)] == [4, 3]
    assert one(module.h[0], "operator").function(5) == 2


def test_decorators_are_put_on_again(load):
    module = load("""
def plus(n):
    def decorate(f):
        @functools.wraps(f)
        def decorated(*args):
            return f(*args) + n
        return decorated
    return decorate

@plus(10)
@functools.partial(jax.jit, static_argnames="n")
@plus(100)
def bwd(g, n):
    return g * n if n > 1 else g

def plain(g):
    return 2.0 * g

compiled = jax.jit(plain)
half = functools.partial(bwd, n=2)
""")
    assert module.bwd(3.0, 2) == 116
    mutant_of_bwd = "return g / n if n > 1 else g"
    mutant = one(module.bwd, "operator", mutant_of_bwd)
    assert mutant.function(3.0, 2) == 3 / 2 + 110
    assert module.bwd(3.0, 2) == 116
    with pytest.raises(ValueError, match=r"wrapped by a call.*wrap=jax.jit"):
        mutants(module.compiled)
    mutant = one(module.compiled, "operator", wrap=jax.jit)
    assert type(mutant.function) is type(module.compiled)
    assert mutant.function(3.0) == 2 / 3
    wrong = one(functools.partial(module.bwd.__wrapped__, 3.0), "operator", mutant_of_bwd)
    assert wrong.function(2) == 3 / 2 + 100


def test_compiled_code_of_the_original_is_never_taken_for_a_mutants(load):
    module = load("@jax.jit\ndef bwd(g):\n    return g * g\n")
    g = jnp.array(3.0)
    traces = [float(module.bwd(g))]
    mutant = one(module.bwd, "operator")
    traces += [float(mutant.function(g)), float(module.bwd(g)), float(mutant.function(g))]
    assert traces == [9, 1, 9, 1]
    assert jax.jit(mutant.function)(g) == 1
    assert jax.vmap(mutant.function)(jnp.array([2.0])) == 1


HELPERS = """
def scale(v):
    return 2.0 * v

@jax.jit
def twice(v):
    return scale(v) + scale(v)

def down(v, n):
    return scale(v) if n == 0 else down(v, n - 1)

def bwd(g):
    return twice(g), scale(g), down(g, 2)
"""


def test_helpers_are_followed_everywhere_and_the_module_is_not_touched(load):
    module = load(HELPERS)
    before = dict(vars(module))
    mutant = one(module.bwd, "operator", "return 2.0 / v")
    assert (mutant.where, mutant.line) == ("scale", 6)
    assert mutant.function(4.0) == (1.0, 0.5, 0.5)
    assert module.bwd(4.0) == (16.0, 8.0, 8.0)
    assert vars(module) == before
    alone = mutants(module.bwd, follow=False)
    assert {m.where for m in alone} == {"bwd"}
    assert {m.where for m in mutants(module.bwd)} == {"bwd", "scale", "twice", "down"}


def test_several_functions_one_wrong_at_a_time(load):
    module = load("""
def sigma(z):
    return 1 / (1 + jnp.exp(-z))
def fwd(z):
    a = sigma(z)
    return a, a
def bwd(a, g):
    return (g * a * (1 - a),)
""")

    def test(fwd, bwd):
        @jax.custom_vjp
        def f(z):
            return fwd(z)[0]

        f.defvjp(fwd, bwd)
        for z in (-40.0, -1.0, 0.0, 0.5, 2.0):
            for k in (0.0, 3.0, 1e5):
                ours, theirs = jax.vjp(f, z), jax.vjp(jax.nn.sigmoid, z)
                np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
                np.testing.assert_allclose(ours[1](k), theirs[1](k), rtol=1e-4)
        compiled = jax.jit(jax.value_and_grad(f)), jax.value_and_grad(jax.nn.sigmoid)
        np.testing.assert_allclose(*(f(2.0) for f in compiled), rtol=1e-5)

    report = mutants(module.fwd, module.bwd).run(test)
    assert {m.where for m in report.of(Status.KILLED)} == {"fwd", "bwd", "sigma"}
    at_a = [f"return {fault}((g * a * (1 - a),), a)" for fault in faults.INPUTS]
    assert sorted(m.after for m in report.survivors) == sorted(
        at_a
    )  # a is never 0 here, and never large


def test_without_source_or_not_a_function(load, tmp_path):
    names = {}
    exec("def f(a):\n    return a + 1", names)
    with pytest.raises(NoSourceError, match="define it in a file or a notebook cell"):
        mutants(names["f"])
    module = load("def f(a):\n    return a + 1\n")
    path = tmp_path / "written.py"
    path.write_text(path.read_text().replace("a + 1", "a + 2"))
    with pytest.raises(NoSourceError, match="changed after its import"):
        mutants(module.f)
    path.write_text("x = 1\n")
    with pytest.raises(NoSourceError, match="line 4"):
        mutants(module.f)
    for nothing in ("text", len, core.Params):
        with pytest.raises((TypeError, ValueError)):
            mutants(nothing)
    with pytest.raises(TypeError, match="no Python function"):
        mutants(len)
    module = load("@jax.custom_vjp\ndef f(a):\n    return a + 1\ndef none():\n    pass\n", "other")
    with pytest.raises(TypeError, match=r"mutants\(fwd, bwd\)"):
        mutants(module.f)
    with pytest.raises(ValueError, match="nothing to change"):
        mutants(module.none)
    with pytest.raises(ValueError, match=r"no operator \['signs'\]: there are operator, "):
        mutants(module.none, operators=["signs"])
    with pytest.raises(ValueError, match="twice"):
        mutants(module.none, module.none)


def run(function, test, operators=None, **options):
    return mutants(function, operators=operators).run(test, **options)


def statuses(report):
    return {trial.mutant.after: (trial.status, trial.reason) for trial in report.trials}


def test_a_loop_that_never_ends_is_killed_by_time(load):
    module = load("""
def bwd(x, n):
    while n > 0:
        x, n = x + 1, n - 1
    return x
""")
    report = run(module.bwd, lambda f: f(1, 3) == 4, ["operator", "comparison"], timeout=0.5)
    assert statuses(report) == {
        "while n >= 0:": (Status.KILLED, "AssertionError"),
        "while n <= 0:": (Status.KILLED, "AssertionError"),
        "x, n = x - 1, n - 1": (Status.KILLED, "AssertionError"),
        "x, n = x + 1, n + 1": (Status.TIMED_OUT, ""),
    }
    assert report


def test_crashes_are_no_credit_to_a_test():
    def bwd(x, g):
        return x.T @ g

    def test(bwd):
        assert bwd(jnp.ones((3, 2)), jnp.ones((3, 4))).sum() == 24

    report = run(bwd, test, ["transpose", "operator", "order", "sign"])
    assert {m.after for m in report.of(Status.BROKEN)} == {
        "return x @ g", "return x.T * g", "return g @ x.T",
    }  # fmt: skip
    assert {m.after for m in report.survivors} == {"return g.T @ x"}
    assert report.score == 1 / 2


def test_errors_that_the_test_raises_itself_are_kills_and_false_is_one():
    def bwd(x):
        if x < 0:
            raise ValueError
        return 2 * x

    def raises(bwd):
        with pytest.raises(ValueError):  # noqa: PT011
            bwd(-1)
        assert bwd(1) == 2

    for test in (raises, lambda f: f(1) == 2, lambda f: np.array(f(1) == 2), unittest_like):
        report = run(bwd, test, ["operator", "constant", "sign"])
        found = {text: status for text, (status, _) in statuses(report).items()}
        assert found.pop("return 2 / x") is Status.SURVIVED
        assert set(found.values()) == {Status.KILLED}
        assert not report


def unittest_like(bwd):
    if bwd(1) != 2:
        pytest.fail("wrong")


@pytest.mark.parametrize("thread", [False, True])
def test_a_hang_ends_wherever_it_runs(thread):
    def bwd(x, n):
        while n > 0:
            n = n - 1
        return x

    def test(bwd):
        try:
            return bwd(1, 3) == 1
        except Exception:
            return True

    reports = []
    target = lambda: reports.append(run(bwd, test, ["constant", "operator"], timeout=0.3))  # noqa: E731
    if thread:
        worker = threading.Thread(target=target)
        worker.start()
        worker.join()
    else:
        target()
    found = statuses(reports[0])
    assert found["n = n + 1"] == found["n = n - 0"] == (Status.TIMED_OUT, "")
    assert found["n = n - 2"] == (Status.SURVIVED, "")


def test_a_time_limit_holds_where_the_test_swallows_it_and_never_comes_late():
    def swallow():
        while True:
            try:
                time.sleep(0.001)
            except BaseException:
                return True

    for _ in range(5):
        assert type(attempt(swallow, 0.05)) is TimedOutError
        assert attempt(lambda: True, 0.02) is None
        time.sleep(0.03)
    assert type(attempt(lambda: 1 / 0, 60.0)) is ZeroDivisionError


def test_the_time_limit_once_hung_the_interpreter_under_a_profiler():
    code = """
import cProfile
from jaxlr.check.mutation.run import attempt
print(cProfile.Profile().runcall(lambda: [attempt(lambda: sum(range(9)), 60.0)] * 2))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[None, None]"


def test_a_test_must_pass_call_and_not_skip_before_it_judges():
    def bwd(x):
        return 2 * x

    with pytest.raises(ValueError, match=r"do not pass the test \(AssertionError"):
        run(bwd, lambda f: np.testing.assert_equal(3, 2))
    with pytest.raises(ValueError, match="the test returned a false bool"):
        run(bwd, lambda f: f(2) == 3)
    with pytest.raises(ValueError, match=r"never calls .*bwd: it must call what it is given"):
        run(bwd, lambda f: bwd(1) == 2)
    with pytest.raises(ValueError, match=r"do not pass the test .*skipped"):
        run(bwd, lambda f: pytest.skip("no"))
    with pytest.raises(KeyboardInterrupt):
        run(bwd, interrupted)


def interrupted(f):
    raise KeyboardInterrupt


def test_what_a_test_never_calls_is_said(load):
    module = load(HELPERS)

    def test(bwd):
        assert bwd(0.0)[0] == 0

    jitted = jax.jit(module.bwd)
    report = run(module.bwd, test, ["operator"])
    assert "the test never calls it" not in str(report)
    module = load(
        """
def rare(g):
    return g + 1
def bwd(g):
    return rare(g) if g > 5 else g
""",
        "rare",
    )
    report = run(module.bwd, lambda f: f(1) == 1, ["operator"])
    assert statuses(report) == {"return g - 1": (Status.SURVIVED, "the test never calls it")}
    assert "rare.py:6  in rare  operator  (the test never calls it)" in str(report)
    assert jitted(1.0)[0] == 4


def test_installed_where_compiled_callers_and_rules_look(load):
    module = load("""
def bwd(a, g):
    return (g * a,)

@jax.custom_vjp
def f(x):
    return x * x / 2

f.defvjp(lambda x: (x * x / 2, x), bwd)
value_and_grad = jax.jit(jax.value_and_grad(f))

@jax.jit
def caller(a):
    return bwd(a, 2.0)[0]
""")

    def test():
        assert module.caller(3.0) == 6

    def test_f():
        assert module.value_and_grad(3.0)[1] == 3

    test()
    test_f()
    bwd = module.bwd
    found = mutants(bwd, operators=["operator", "sign"])
    report = found.run(test, install=[(module, "bwd")])
    assert report
    report = found.run(test_f, install=[(module.f, "bwd")])
    assert [m.after for m in report.of(Status.KILLED)] == ["return (-g * a,)", "return (g / a,)"]
    assert module.bwd is module.f.bwd is bwd
    test()
    test_f()
    with pytest.raises(ValueError, match=r"caller of .* is none of the functions"):
        found.run(test, install=[(module, "bwd"), (module, "caller")])
    assert module.bwd is bwd
    with pytest.raises(ValueError, match="never calls bwd"):
        found.run(lambda: None, install=[(module, "bwd")])


def test_mutants_without_a_difference_are_reported_apart():
    def bwd(x):
        y = abs(x) + 0.0
        return jnp.maximum(y, 0)

    def test(bwd):
        assert bwd(jnp.array(2.0)) == 2
        assert bwd(jnp.array(-3.0)) == 3

    found = mutants(bwd, operators=["function dropped", "term dropped", "order", "sign"])
    report = found.run(test)
    assert [m.after for m in report.survivors] == ["y = abs(x)", "return y"]
    report = found.run(test, inputs=[(jnp.array(2.0),), (jnp.array([-0.0, jnp.nan]),)])
    assert [m.after for m in report.of(Status.NO_DIFFERENCE)] == ["y = abs(x)", "return y"]
    assert report
    assert report.summary().endswith("0 survived; 2 no difference seen")


@pytest.mark.parametrize(
    ("after", "same"),
    [("x", True), ("-(-x)", True), ("x + 0", False), ("(x,)", False), ("x[None]", False),
     ("x.astype(jnp.float16)", False), ("x.at[2].set(0)", False)],
)  # fmt: skip
def test_no_difference_means_bits_types_shapes_and_structure(load, after, same):
    module = load(f"def f(x):\n    return x\ndef g(x):\n    return {after}\n")
    given = jnp.array([jnp.nan, -0.0, 1e-4])
    assert same_bits(module.f, module.g, (given,)) == same


def test_the_report_as_text_and_as_json_is_the_same_every_time():
    def bwd(x):
        return 2 * x + 0

    found = mutants(bwd, operators=["operator", "constant"])
    line = bwd.__code__.co_firstlineno + 1
    reports = [found.run(lambda f: f(1.0) == 2) for _ in range(2)]
    assert (
        str(reports[0])
        == f"""\
killed 3 of 5 wrong copies (60%), 2 survived

test_mutants.py:{line}  in {bwd.__qualname__}  operator
  - return 2 * x + 0
  + return 2 * x - 0

test_mutants.py:{line}  in {bwd.__qualname__}  operator
  - return 2 * x + 0
  + return 2 / x + 0"""
    )
    texts = [report.to_json() for report in reports]
    assert (
        texts[0]
        == texts[1]
        == mutants(bwd, operators=["operator", "constant"]).run(lambda f: f(1.0) == 2).to_json()
    )
    read = json.loads(texts[0])
    assert read["passed"] is False
    assert read["counts"] == {
        "killed": 3, "survived": 2, "broken": 0, "timed out": 0, "no difference seen": 0,
    }  # fmt: skip
    assert read["mutants"][0] == {
        "name": "operator", "place": f"test_mutants.py:{line}", "function": bwd.__qualname__,
        "before": "return 2 * x + 0", "after": "return 2 * x - 0", "status": "survived",
        "reason": "",
    }  # fmt: skip


def test_no_kill_is_no_pass():
    def bwd(x):
        return x[0]

    report = run(bwd, lambda f: f(np.ones(1)) == 1, ["constant"])
    assert [trial.status for trial in report.trials] == [Status.BROKEN]
    assert not report
    assert "killed 0 of 0 wrong copies (nan%), 0 survived; 1 broken" in str(report)


def test_a_sequence():
    def bwd(x):
        return 2 * x + 1

    found = mutants(bwd)
    assert list(found[1:3]) == [found[1], found[2]]
    assert repr(found[:3]) == "<3 mutants of bwd>"
    assert isinstance(found[0].functions, tuple)
    assert len(found[::4].run(lambda f: f(3.0) == 7).trials) == -(-len(found) // 4)
    assert types.FunctionType is type(found[0].function)


def oracle(loss, *at):
    """Gradient of a loss in float64, by autodiff."""
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(v, np.float64)) for v in at]
        return [np.asarray(v) for v in jax.grad(loss, argnums=tuple(range(len(at))))(*wide)]


def agree(ours, truth, dtype, ulps):
    for v, t in zip(jax.tree.leaves(ours), truth, strict=True):
        assert v.dtype == dtype
        assert v.shape == t.shape
        scale = np.abs(t) if v.ndim < 2 else np.abs(t).max(axis=-1, keepdims=True)
        allowed = ulps * float(jnp.finfo(dtype).eps) * scale + 1e-37
        assert np.all(np.abs(np.asarray(v, np.float64) - t) <= allowed), (v, t)


LOGISTIC = [
    (dtype, z, y, x)
    for dtype in ("float32", "float64", "bfloat16")
    for z, y in [(0.0, 0.0), (0.5, 1.0), (-2.0, 0.25), (3.0, 0.75), (20.0, 1.0), (-20.0, 0.0)]
    for x in ([2.0, -0.5, 3.0], [40.0, 0.0, 1.5])
]


def logistic_cases():
    for dtype, z, y, x in LOGISTIC:
        truth = oracle(
            lambda w, b, x=x, y=y: logistic.loss_of_z(w @ jnp.array(x) + b, y), [0.0] * 3, z
        )
        yield dtype, z, y, x, truth


def test_a_strong_test_of_the_core_lets_no_mutant_live():
    cases = list(logistic_cases())

    def test(backward):
        for dtype, z, y, x, truth in cases:
            with jax.enable_x64(dtype == "float64"):
                params = core.Params(jnp.zeros(3, dtype), jnp.asarray(z, dtype))
                _, cache = core.forward(params, jnp.asarray(x, dtype), y)
                agree(backward(cache), truth, dtype, ulps=8)
        agree(jax.jit(backward)(cache), truth, dtype, ulps=8)

    caches = [
        core.forward(core.Params(jnp.zeros(3, t), jnp.array(z, t)), jnp.array(x, t), y)[1]
        for t, z, y, x, _ in cases
        if t != "float64"
    ]
    report = mutants(core.backward).run(test, inputs=[(cache,) for cache in caches])
    assert report, str(report)
    assert len(report.of(Status.KILLED)) > 45
    same = [m.after for m in report.of(Status.NO_DIFFERENCE)]
    assert same == ["dw = jnp.multiply.outer(x, dz)"]  # with a number dz the other way round, too


def test_a_weak_test_of_the_core_lets_the_famous_faults_live():
    def test(backward):  # x = 1, label 0, z = 0: a = 1/2
        params = core.Params(jnp.zeros(1), jnp.array(0.0))
        dw, db = backward(core.forward(params, jnp.ones(1), 0)[1])
        assert dw[0] == db == 0.5

    lived = {(m.where, m.after) for m in mutants(core.backward).run(test).survivors}
    assert lived >= {
        ("slope", "return ((1) * p - y * q) / (p + q)"),
        ("slope", "return (p - y * q) / (p + q)"),
        ("slope", "return ((1 - y) * p + y * q) / (p + q)"),
        ("slope", "return ((1 - y) / p - y * q) / (p + q)"),
        ("slope", "return ((1 - y) * p) / (p + q)"),
    }
    assert ("backward", "dw = -x * dz") not in lived
    assert any("nan_at_large" in after for _, after in lived)


def softmax_loss(z, labels, s):
    log_a = z - jax.scipy.special.logsumexp(z, axis=-1, keepdims=True)
    return -jnp.sum(s * jnp.take_along_axis(log_a, labels[:, None], axis=-1)[:, 0]) / jnp.sum(s)


def softmax_backward(z, labels, s):
    e = jnp.exp(z - jnp.max(z, axis=-1, keepdims=True))
    a = e / jnp.sum(e, axis=-1, keepdims=True)
    wrong = jnp.where(labels[:, None] == jnp.arange(z.shape[-1])[None], a - 1, a)
    return wrong * (s / s.sum())[:, None]


def softmax_cases():
    rng = np.random.default_rng(0)
    for far, weight in [(0.0, 0.0), (60.0, 40.0), (0.0, 1e-5)]:
        z = rng.standard_normal((3, 4)) + far * np.arange(3)[:, None]
        z[0, 1], z[0, 2] = 0, -100
        labels = jnp.asarray(rng.integers(0, 4, 3))
        s = rng.random(3) + 0.5
        s[-1] = weight
        z, s = z.astype(np.float32), s.astype(np.float32)
        with jax.enable_x64(True):
            wide = (jnp.asarray(v, jnp.float64) for v in (z, s))
            truth = jax.grad(lambda z, s, y=labels: softmax_loss(z, y, s))(*wide)
            yield (jnp.asarray(z), labels, jnp.asarray(s)), np.asarray(truth)


SAME_SOFTMAX = [  # equivalent: in two dimensions -1 is 1, and -e / sum(-e) is e / sum(e)
    "e = -jnp.exp(z - jnp.max(z, axis=-1, keepdims=True))",
    "e = jnp.exp(z - jnp.max(z, axis=1, keepdims=True))",
    "a = e / jnp.sum(e, axis=1, keepdims=True)",
    "wrong = jnp.where(labels[:, None] == jnp.arange(z.shape[1])[None], a - 1, a)",
]


@pytest.mark.thorough
def test_a_strong_test_of_softmax_cross_entropy_lets_no_mutant_live():
    cases = list(softmax_cases())

    def test(backward):
        for given, truth in cases:
            agree([backward(*given)], [truth], "float32", ulps=16)
        rows = [v[None] for v in given]
        agree([jax.vmap(backward)(*rows)[0]], [truth], "float32", ulps=16)

    report = mutants(softmax_backward).run(test)
    assert [m.after for m in report.survivors] == SAME_SOFTMAX


@pytest.mark.thorough
def test_a_weak_test_of_softmax_cross_entropy_lets_the_famous_faults_live():
    def test(backward):  # one row, all classes alike
        assert np.allclose(backward(jnp.zeros((1, 2)), jnp.array([0]), jnp.ones(1)), [[-0.5, 0.5]])

    lived = {m.after for m in mutants(softmax_backward).run(test).survivors}
    assert lived >= {
        "e = jnp.exp(z)",  # overflows
        "e = jnp.exp(z - jnp.max(z, keepdims=True))",
        "e = jnp.exp(z - jnp.min(z, axis=-1, keepdims=True))",
        "a = e / jnp.sum(e, keepdims=True)",
        "return wrong * (s)[:, None]",
        "return wrong",
    }


def norm(x, gain, bias):
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return gain * centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5) + bias


def norm_backward(x, gain, g):
    centred = x - x.mean(axis=-1, keepdims=True)
    r = 1 / jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    n = centred * r
    dn = g * gain[None]
    dx = r * (dn - dn.mean(axis=-1, keepdims=True) - n * (dn * n).mean(axis=-1, keepdims=True))
    return dx, (g * n).sum(axis=0), g.sum(axis=0)


def norm_cases():
    rng = np.random.default_rng(1)
    for scale, shift, g_scale, g_11 in [(1, 0, 1, 31), (1e-3, 0, 1e-7, 0), (30, 35, 1, 1)]:
        x, g = scale * rng.standard_normal((3, 5)) + shift, g_scale * rng.standard_normal((3, 5))
        gain = rng.standard_normal(5)
        x[0, 0], g[1, 1], gain[0], gain[1] = 0, g_11, 40, 0
        x, gain, g = (np.asarray(v, np.float32) for v in (x, gain, g))
        with jax.enable_x64(True):
            wide = [jnp.asarray(v, jnp.float64) for v in (x, gain, g)]
            _, pull = jax.vjp(lambda x, gain: norm(x, gain[None], jnp.zeros_like(x)), *wide[:2])
            truth = [*map(np.asarray, pull(wide[2])), g.sum(0)]
        yield (jnp.asarray(x), jnp.asarray(gain), jnp.asarray(g)), truth


DX = "dx = r * (dn - dn.mean(axis={}, keepdims=True) - n * (dn * n).mean(axis={}, keepdims=True))"
SAME_NORM = [  # equivalent: in two dimensions -1 is 1
    "centred = x - x.mean(axis=1, keepdims=True)",
    "r = 1 / jnp.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)",
    DX.format(1, -1),
    DX.format(-1, 1),
]


@pytest.mark.thorough
def test_a_strong_test_of_layer_norm_lets_no_mutant_live():
    cases = list(norm_cases())

    def check(ours, truth):
        for v, t in zip(ours, truth, strict=True):
            scale = abs(t).max(axis=-1, keepdims=True)
            assert v.shape == t.shape
            assert np.all(abs(np.asarray(v) - t) <= 1e-4 * scale), (v, t)

    def test(backward):
        for given, truth in cases:
            check(backward(*given), truth)
        rows = [v[None] for v in given]
        check([v[0] for v in jax.vmap(backward)(*rows)], truth)

    report = mutants(norm_backward).run(test)
    assert [m.after for m in report.survivors] == SAME_NORM


@pytest.mark.thorough
def test_a_weak_test_of_layer_norm_lets_the_famous_faults_live():
    def test(backward):  # nothing to normalise: two opposite numbers, all gains and g alike
        dx, dgain, dbias = backward(jnp.array([[1.0, -1.0]]), jnp.ones(2), jnp.ones((1, 2)))
        assert np.allclose(dx, 0, atol=1e-4)
        assert np.allclose(dgain, [1, -1], atol=1e-4)
        assert dbias.tolist() == [1, 1]

    lived = {m.after for m in mutants(norm_backward).run(test).survivors}
    head = "dx = r * (dn - dn.mean(axis=-1, keepdims=True)"
    assert lived >= {
        "centred = x",
        "dn = g",
        "dn = gain[None]",
        head + ")",
        head + " + n * (dn * n).mean(axis=-1, keepdims=True))",
        "r = 1 / jnp.sqrt((centred**2).mean(keepdims=True) + 1e-5)",
    }
