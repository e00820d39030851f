"""The pytest plugin: what a test says that takes ``gradient_check``, and what it costs others."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from jaxlr import check

pytest_plugins = "pytester"
ROOT = Path(__file__).parents[1]
JUDGE = check.check_derivatives  # read here: pytester forgets what its runs import

OPS = """
import jax, jax.numpy as jnp, numpy as np
x = np.array([-1.0, 0.5, 2.0], np.float32)

def made(backward):
    f = jax.custom_vjp(lambda x: jnp.logaddexp(x, jnp.zeros_like(x)))
    f.defvjp(lambda x: (f(x), x), lambda x, c: (c * backward(x),))
    return f

right = made(jax.nn.sigmoid)
wrong = made(lambda x: jnp.exp(x) / (1 + jnp.exp(x)))
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run tests, given as text, in a session that has this plugin and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")  # lines of the summary are whole
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    pytester.syspathinsert()
    pytester.makepyfile(ops=OPS)

    def run(text, *arguments):
        pytester.makepyfile(test_it=f"import pytest\nfrom ops import *\n{text}")
        return pytester.runpytest_inprocess("-p", "jaxlr_pytest", *arguments)

    return run


@pytest.fixture
def calls(monkeypatch):
    """Calls of both judges, which then say ``calls.verdict``."""
    calls = SimpleNamespace(found=[], verdict="pass")

    def judge(name):
        def judged(*args, **options):
            calls.found.append((name, args, options))
            verdict = check.Verdict(calls.verdict)

            class Report:
                def __str__(self):
                    return f"{verdict.value}: a table"

            report = Report()
            report.verdict = verdict
            return report

        return judged

    monkeypatch.setattr(check, "check_derivatives", judge("derivatives"), raising=False)
    monkeypatch.setattr(check, "check_gradient", judge("gradient"))
    return calls


def test_a_right_rule_passes_and_a_wrong_one_fails_with_the_report(run):
    result = run("""
def test_right(gradient_check):
    report = gradient_check(right, x)
    assert report.seed == 0

def test_wrong(gradient_check):
    gradient_check(wrong, x)

def test_wrong_is_an_assertion(gradient_check):
    with pytest.raises(AssertionError, match="^wrong: ") as caught:
        gradient_check(wrong, x)
    assert caught.value.report.verdict.value == "wrong"
""")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*gradient_check(wrong, x)",
            "E *DerivativeCheckError: wrong: *nan by hand*",
            "E *dx *float32 *wrong",
            "E *level quick, seed 0; the same again:",
            "E *pytest test_it.py::test_wrong --gradient-level quick --gradient-seed 0",
            "FAILED test_it.py::test_wrong - *wrong: *",
        ]
    )
    assert "check/plugin.py" not in result.stdout.str().replace("\\", "/")


@pytest.mark.parametrize("verdict", ["wrong", "undecided", "vacuous"])
def test_all_but_pass_fails(run, calls, verdict):
    calls.verdict = verdict
    result = run("def test(gradient_check):\n    gradient_check(abs, 1.0)\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *DerivativeCheckError: {verdict}: a table"])


def test_options_and_both_judges_get_what_they_are_given(run, calls):
    result = run("""
def test(gradient_check):
    gradient_check(abs, 1.0, 2, order=1, level="full")
    gradient_check.gradient(abs, min, 3.0, 4, atol=0.5)
""")
    result.assert_outcomes(passed=1)
    assert calls.found == [
        ("derivatives", (abs, 1.0, 2), {"level": "full", "seed": 0, "order": 1}),
        ("gradient", (abs, min, 3.0, 4), {"level": "quick", "seed": 0, "atol": 0.5}),
    ]


SEEDED = """
@pytest.mark.gradient_seed(7)
class Test:
    def test_class(self, gradient_check):
        gradient_check(abs, 1.0)

    @pytest.mark.gradient_seed(seed=8)
    def test_own(self, gradient_check):
        gradient_check(abs, 1.0)
        gradient_check(abs, 1.0, seed=9)
"""


@pytest.mark.parametrize(
    ("arguments", "seeds", "level"),
    [
        ([], [7, 8, 9], "quick"),
        (["--gradient-seed", "3"], [3, 3, 3], "quick"),
        (["--gradient-seed=0", "--gradient-level=full"], [0, 0, 0], "full"),
    ],
)
def test_the_command_line_overrides_calls_and_calls_the_marker(run, calls, arguments, seeds, level):
    run(SEEDED, *arguments).assert_outcomes(passed=2)
    assert [options["seed"] for _, _, options in calls.found] == seeds
    assert {options["level"] for _, _, options in calls.found} == {level}


def test_the_failure_names_seed_and_level(run, calls):
    calls.verdict = "wrong"
    result = run(SEEDED, "-k", "test_class", "--gradient-level", "full")
    again = "pytest test_it.py::Test::test_class --gradient-level full --gradient-seed 7"
    result.stdout.fnmatch_lines(["E *level full, seed 7; the same again:", f"E *{again}"])


@pytest.mark.parametrize("marker", ["()", "(1, 2)", "(-1)", "(True)", "('7')", "(sed=7)"])
def test_a_marker_that_is_no_seed_is_told(run, marker):
    result = run(f"""
@pytest.mark.gradient_seed{marker}
def test(gradient_check):
    gradient_check(right, x)
""")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"test_it.py::test: gradient_seed{marker} must be one whole *"])


@pytest.mark.parametrize("arguments", ["--gradient-seed=-1", "--gradient-level=slow"])
def test_a_bad_option_is_a_usage_error(run, arguments):
    result = run("def test(): pass", arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*error: argument --gradient-*"])


def test_the_fixture_that_is_never_called_is_an_error(run, calls):
    result = run("""
def test_forgot(gradient_check):
    assert gradient_check

def test_failed_before(gradient_check):
    assert 1 == 2

def test_skipped_before(gradient_check):
    pytest.skip("not here")

@pytest.fixture
def checked(gradient_check):
    return gradient_check(abs, 1.0)

def test_called_by_a_fixture(checked):
    assert checked
""")
    result.assert_outcomes(passed=2, failed=1, skipped=1, errors=1)
    result.stdout.fnmatch_lines(
        ["test_it.py::test_forgot takes gradient_check and never called it: *"]
    )


def test_pytest_finds_the_plugin_and_reads_neither_jax_nor_jaxlr(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entry = project["entry-points"]["pytest11"]
    info = tmp_path / "installed-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    lines = "".join(f"{name} = {module}\n" for name, module in entry.items())
    (info / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    (tmp_path / "test_it.py").write_text("""
import sys

def test(request):
    assert request.config.pluginmanager.get_plugin("jaxlr").__name__ == "jaxlr_pytest"
    assert "gradient_seed(seed)" in " ".join(request.config.getini("markers"))
    assert not {"jax", "jaxlr", "numpy"} & set(sys.modules)
""")
    path = [str(tmp_path), str(ROOT)]
    code = f"import sys; sys.path[:0] = {path}; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    others = ["-p", "no:randomly", "-p", "no:hypothesispytest", "-p", "no:xdist"]
    strict = ["--strict-markers", "-W", "error", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", code, *others, *strict, "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
