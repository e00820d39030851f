"""``jaxlr check``: the function it is given, the arguments, what it prints, its exit codes."""

import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import jaxlr.cli.check
from jaxlr import check
from jaxlr.check import Verdict
from jaxlr.cli import arguments, main

OPS = """
import jax, jax.numpy as jnp, numpy as np

def made(backward):
    f = jax.custom_vjp(lambda x: jnp.logaddexp(x, jnp.zeros_like(x)))
    f.defvjp(lambda x: (f(x), x), lambda x, c: (c * backward(x),))
    return f

right = made(jax.nn.sigmoid)
wrong = made(lambda x: jnp.exp(x) / (1 + jnp.exp(x)))

class Family:
    right = right

def plain(x, y=None):
    return x**2

def twice(x):
    return 2 * x

def bad(x):
    raise IndexError("no such row")

here = (np.array([-1.0, 0.5, 2.0], np.float32),)

def there():
    return here

def leave(*args):
    raise SystemExit(0)

def nowhere():
    return 1 / 0

number = 3
"""


@pytest.fixture
def ops(tmp_path, monkeypatch):
    """Folder with OPS as ops.py and in pkg/inner.py; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pkg").mkdir()
    for file in ("ops.py", "pkg/inner.py"):
        (tmp_path / file).write_text(OPS)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


class Report:
    """What a judge says, with every part that is printed."""

    def __init__(self, verdict):
        self.verdict = Verdict(verdict)
        said = ["first", "second", "third", "fourth"] if verdict != "pass" else []
        self.findings = [Finding(self.verdict, f"the {place} finding") for place in said]
        self.culprits = [SimpleNamespace(node="dz", status="wrong here", off=12345.0)]
        self.boundary = "between 16.6 and 16.7"
        self.smallest = "f(1.0)\ng(2.0)"
        node = dict(
            dtype="bfloat16", compared=1_234_567, worst=math.inf, ulp=1.7e6, verdict=self.verdict
        )
        name = "params['weights'].of_the_first_layer[0]"
        self.nodes = [
            SimpleNamespace(name=name, floor=1e-5, canaries={"sign": True, "NaN": False}, **node),
            SimpleNamespace(name="db", floor=math.inf, canaries={}, **node),
        ]
        self.oracles = [
            SimpleNamespace(
                name="complex step", asked=12_345, agreed=1, refused=2, reasons={"kink :zero:": 2}
            )
        ]
        self.notes, self.left_out = ("dx is 0",), ("float16: why", "order 2")

    def summary(self):
        return f"{self.verdict.value}: f: {self.findings[0] if self.findings else 'well'}"

    def to_json(self):
        return json.dumps({"verdict": self.verdict.value})


class Finding(SimpleNamespace):
    def __init__(self, verdict, text):
        super().__init__(verdict=verdict, text=text)

    def __str__(self):
        return self.text


@pytest.fixture
def calls(monkeypatch):
    """Calls of both judges, which then say ``calls.verdict``, or raise ``calls.error``."""
    calls = SimpleNamespace(found=[], verdict="pass", error=None)

    def judge(name):
        def judged(*args, **options):
            calls.found.append((name, args, options))
            if calls.error:
                raise calls.error
            return Report(calls.verdict)

        return judged

    monkeypatch.setattr(check, "check_derivatives", judge("derivatives"), raising=False)
    monkeypatch.setattr(check, "check_gradient", judge("gradient"))
    return calls


def run(*words):
    return main(["check", *words])


def test_a_right_rule_and_a_wrong_one(ops, capsys):
    call = ["--args", "float32[9]", "--level", "quick"]
    assert run("ops:right", *call) == 0
    out = capsys.readouterr().out
    assert out.startswith("pass: ")
    assert "central differences" in out
    assert run("ops.py:wrong", *call, "--json", "report.json") == 1
    assert capsys.readouterr().out.startswith("wrong: ")
    assert run("ops:wrong", *call, "--json", "-") == 1
    printed = capsys.readouterr()
    assert printed.out == (ops / "report.json").read_text()  # the same seed, the same bytes
    assert json.loads(printed.out)["verdict"] == "wrong"
    assert printed.err.startswith("wrong: ")


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", 0), ("wrong", 1), ("vacuous", 3), ("undecided", 4)]
)
def test_exit_codes(ops, calls, capsys, monkeypatch, verdict, code):
    monkeypatch.setenv("COLUMNS", "80")
    calls.verdict = verdict
    assert run("ops:right", "--args", "1.0") == code
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert out.count("the first finding") == out.count("the third finding") == (code > 0)
    assert ("and 1 findings more" in out) == (code > 0)
    for part in (
        "between 16.6", "\nf(1.0)\ng(2.0)\n", "1,234,567", "bfloat16", "1/2",
        "1.7e+06", "all 0", "12,345",
        "refused: kink :zero: (2 times)", "note: dx is 0", "left out: float16: why", "wrong here",
    ):  # fmt: skip
        assert part in out


@pytest.mark.parametrize(
    "name", ["ops:right", "ops.py:right", "pkg/inner.py:right", "pkg.inner:Family.right"]
)
def test_ways_to_name_a_function(ops, calls, name):
    assert run(name, "--example", "ops:here") == 0
    ((_, (f, x), options),) = calls.found
    assert f.__module__.rpartition(".")[2] == ("inner" if "inner" in name else "ops")
    assert x is sys.modules["ops"].here[0]
    assert options == {"level": "full", "seed": 0, "accuracy": "inputs"}


def test_a_file_with_the_name_of_a_module_that_is_loaded(ops, calls):
    (ops / "json.py").write_text("def f(x): return x\ndef g(): return (1.0,)\n")
    assert run("json.py:f", "--example", "json.py:g", "--reference", "json.py:f") == 0
    ((_, (f, _), options),) = calls.found
    assert options["reference"] is f
    assert sys.modules["json"] is json


def test_every_option_arrives(ops, calls):
    text = "--example ops:there --reference ops:plain --argnums 0 1 --order 1 --level quick "
    text += "--dtypes float32 bfloat16 --domain 1=0:1 0=-2:inf --accuracy steps --atol 0.5 --seed 7"
    assert run("ops:right", *text.split()) == 0
    module = sys.modules["ops"]
    ((judge, args, options),) = calls.found
    assert judge == "derivatives"
    assert args == (module.right, *module.here)
    assert options == {
        "reference": module.plain, "argnums": (0, 1), "order": 1, "level": "quick",
        "dtypes": ("float32", "bfloat16"), "domain": {1: (0.0, 1.0), 0: (-2.0, math.inf)},
        "accuracy": "steps", "atol": 0.5, "seed": 7,
    }  # fmt: skip


def test_a_function_that_returns_gradients(ops, calls):
    assert run("ops:twice", "--gradient-of", "ops:plain", "--args", "2.0", "3") == 0
    module = sys.modules["ops"]
    ((judge, args, _),) = calls.found
    assert judge == "gradient"
    assert args == (module.plain, module.twice, 2.0, 3)


@pytest.mark.parametrize(
    ("spec", "dtype", "shape", "low", "high"),
    [
        ("float32[9,4]", "float32", (9, 4), -5, 5),
        ("float64[100]=normal", "float64", (100,), -5, 5),
        ("bfloat16[2, 3]", "bfloat16", (2, 3), -5, 5),
        ("float16[50]=uniform", "float16", (50,), 0, 1),
        ("float32[3,]=-0.5", "float32", (3,), -0.5, -0.5),
        ("float32[]", "float32", (), -5, 5),
        ("float32[0]", "float32", (0,), 0, 0),
        ("float32[2]=-inf", "float32", (2,), -math.inf, -math.inf),
        ("int32[50]<4", "int32", (50,), 0, 3),
        ("uint8[50] < 255", "uint8", (50,), 0, 254),
        ("int64[2]=-7", "int64", (2,), -7, -7),
        ("bool[50]", "bool", (50,), 0, 1),
    ],
)
def test_arrays(spec, dtype, shape, low, high):
    (value,) = arguments.values((spec,), seed=1)
    assert (value.dtype.name, value.shape) == (dtype, shape)
    numbers = value.astype(float)
    assert np.all((numbers >= low) & (numbers <= high))
    (again,) = arguments.values((spec,), seed=1)
    assert np.array_equal(again, value)
    if value.size >= 8:
        spread = len(np.unique(numbers))
        assert spread == min(high - low + 1, 50) if dtype in ("int32", "bool") else spread > 8
        assert not np.array_equal(arguments.values((spec,), seed=2)[0], value)
        first, second = arguments.values((spec, spec), seed=1)
        assert np.array_equal(first, value)
        assert not np.array_equal(second, value)


@pytest.mark.parametrize(
    ("spec", "value"),
    [("3", 3), ("-3", -3), ("1e-3", 1e-3), ("None", None), ("True", True), ('"text"', "text"),
     ("(2, 3)", (2, 3)), ("{'a': 1}", {"a": 1})],
)  # fmt: skip
def test_values_of_python(ops, calls, spec, value):
    assert run("ops:plain", "--args", "1.5", spec) == 0
    ((_, args, _),) = calls.found
    assert args[1:] == (1.5, value)
    assert type(args[2]) is type(value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ops:right"], "say with what to call it: --args"),
        (["ops:right", "--args", "3", "--example", "ops:here"], "say with what to call it"),
        (["ops:right", "--args", "text"], "--args 'text' is no argument; an argument is float32"),
        (["ops:right", "--args", "float32[3"], "'float32[3' is no argument"),
        (["ops:right", "--args", "float31[3]"], "float31 is none of float16, bfloat16, float32"),
        (["ops:right", "--args", "float32[3 4]"], "a shape is sizes with commas"),
        (["ops:right", "--args", "float32[3]<4"], "only integers have a bound"),
        (["ops:right", "--args", "float32[3]=x"], "x is no number of type float32"),
        (["ops:right", "--args", "float32[3]=nan"], "an ordinary input, not NaN"),
        (["ops:right", "--args", "int32[3]"], "as in int32[3]<4"),
        (["ops:right", "--args", "int32[3]=uniform"], "only floating point is uniform"),
        (["ops:right", "--args", "int32[3]=0.5"], "0.5 is no number of type int32"),
        (["ops:right", "--args", "int8[3]=300"], "300 is no number of type int8"),
        (["ops:right", "--args", "int8[3]<128"], "a whole number from 1 to 127"),
        (["ops:right", "--args", "int8[3]<0"], "a whole number from 1 to 127"),
        (["ops:right", "--args", "1.0", "--domain", "0=1"], "--domain '0=1': write ARG=LOW:HIGH"),
        (["ops:right", "--args", "1.0", "--domain", "x=0:1"], "write ARG=LOW:HIGH"),
        (["ops:right", "--args", "1.0", "--domain", "0=1:1"], "write ARG=LOW:HIGH"),
        (["ops:right", "--args", "1.0", "--atol", "-1"], "--atol is -1.0"),
        (["ops:right", "--args", "1.0", "--atol", "nan"], "--atol is nan"),
        (["ops:right", "--args", "1.0", "--json", "no/x.json"], "there is no folder no"),
        (["ops:right", "--args", "1.0", "--seed", "-1"], "seed is -1"),
        (["ops:right", "--args", "1.0", "--level", "slow"], "slow"),
        (["ops:right", "--args", "1.0", "--rows", "9"], "--rows goes only with DATA"),
        (["--gradient-of", "ops:plain"], "--gradient-of goes only with MODULE:FUNCTION"),
        (["rows.csv", "--args", "3"], "--args goes only with MODULE:FUNCTION"),
        (["ops:twice", "--gradient-of", "ops:plain", "--args", "1.0", "--argnums", "0"],
         "--argnums goes only without --gradient-of"),
    ],
)  # fmt: skip
def test_wrong_options_exit_with_2_before_anything_is_imported(ops, calls, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not calls.found
    assert "ops" not in sys.modules


IN_OPS = "FUNCTION 'ops:"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["opps:right"], "FUNCTION 'opps:right': there is no module 'opps' in "),
        (["pkg.other:f"], "there is no module 'pkg.other'"),
        (["none.py:f"], "there is no file "),
        (["ops.txt:f"], "there is no module 'ops.txt'"),
        (["ops:f g"], "ops has no 'f g'"),
        (["some-where:f"], "'some-where' is no module; the name of a file ends with .py"),
        (["ops:rihgt"], f"{IN_OPS}rihgt': ops has no 'rihgt'; did you mean 'right'?"),
        (["ops:Family.wrong"], "ops has no 'wrong'"),
        (["ops:"], f"{IN_OPS}': write MODULE:NAME or FILE.py:NAME"),
        ([":f"], "FUNCTION ':f': write MODULE:NAME"),
        (["ops:number"], f"{IN_OPS}number': this is 3, which cannot be called"),
        (["ops:right", "--reference", "ops:number"], "--reference 'ops:number': this is 3"),
        (["ops:right", "--example", "ops:number"], "--example 'ops:number' is int: it must be"),
        (["ops:right", "--example", "ops:nobody"], "--example 'ops:nobody': ops has no 'nobody'"),
        (["ops:twice", "--gradient-of", "opps:plain"], "--gradient-of 'opps:plain': there is no"),
        (["ops:right", "--json", "pkg"], "--json: pkg cannot be written"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(ops, calls, capsys, words, message):
    if "--example" not in words:
        words = [*words, "--args", "1.0"]
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxlr: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\ny = x / 0\n", ['broken.py", line 2', "y = x / 0", "ZeroDivisionError: division"]),
        ("import no_such_thing\n", ['broken.py", line 1', "No module named 'no_such_thing'"]),
        ("def f(:\n", ['broken.py", line 1', "SyntaxError: "]),
        ("import sys\nsys.exit(0)\n", ['broken.py", line 2', "SystemExit: 0"]),
        ("import numpy\nnumpy.zeros(-1)\n", ['broken.py", line 2', "ValueError: negative"]),
    ],
)
@pytest.mark.parametrize("name", ["broken:f", "broken.py:f"])
def test_what_a_module_raises_is_shown_where_it_is(ops, calls, capsys, name, text, told):
    (ops / "broken.py").write_text(text)
    assert run(name, "--args", "1.0") == 2
    err = capsys.readouterr().err
    assert err.startswith(f"jaxlr: FUNCTION {name!r}: importing it raised\n")
    for part in told:
        assert part in err
    assert "importlib" not in err
    assert "jaxlr/cli" not in err
    assert "broken" not in sys.modules


def test_what_an_example_raises_is_shown_where_it_is(ops, calls, capsys):
    assert run("ops:right", "--example", "ops:nowhere") == 2
    err = capsys.readouterr().err
    assert "--example 'ops:nowhere' raised" in err
    assert "in nowhere" in err
    assert err.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    "words", [["ops:right", "--example", "ops:leave"], ["ops:leave", "--reference", "ops:leave"]]
)
def test_to_leave_early_is_no_pass(ops, capsys, words):
    assert run(*words, *([] if "--example" in words else ["--args", "float32[3]"])) == 2
    assert capsys.readouterr().err.endswith("SystemExit: 0\n")


def test_what_the_function_itself_raises_is_shown_where_it_is(ops, capsys):
    call = ["--reference", "ops:bad", "--args", "float32[3]", "--level", "quick"]
    assert run("ops:bad", *call) == 2
    err = capsys.readouterr().err
    assert "ops:bad raised" in err
    assert 'ops.py", line' in err
    assert "IndexError: no such row" in err


def test_what_the_judge_refuses_is_a_line(ops, capsys):
    assert run("ops:right", "--args", "3", "--level", "quick") == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxlr: ops:right: nothing to differentiate by")
    assert err.count("\n") == 1


def test_a_fault_of_the_judge_is_a_traceback_and_no_verdict(ops, capsys, monkeypatch):
    names = {"__name__": "jaxlr.check.of_this_test"}
    exec("def judge(*args, **options): raise KeyError('a bug')", names)
    monkeypatch.setattr(check, "check_derivatives", names["judge"], raising=False)
    assert run("ops:right", "--args", "3") == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxlr: no verdict on ops:right: the judge failed\nTraceback")
    assert "KeyError: 'a bug'" in err


@pytest.fixture
def verdicts(monkeypatch):
    """Verdicts that the gradient on data gets, one point after the other."""
    found = []

    def judged(params, X, y, *, sample_weight, l2):
        verdict = Verdict(found.pop(0))
        return check.Report([check.Coordinate(".b", 1.0, 1.0, 1.0, 0.1, 0.1, 1e-7, verdict)])

    monkeypatch.setattr(jaxlr.cli.check, "check_gradient_at", judged)
    monkeypatch.setattr(jaxlr.cli.check, "check_nodes_at", lambda params, X, y: [])
    return found


@pytest.mark.parametrize(
    ("points", "code", "said"),
    [
        ("pass pass pass", 0, "all checks passed"),
        ("pass undecided pass", 4, "UNDECIDED"),
        ("undecided wrong pass", 1, "CHECKS FAILED"),
    ],
)
def test_exit_codes_on_data(verdicts, capsys, points, code, said):
    verdicts += points.split()
    assert run("--rows", "20") == code
    assert capsys.readouterr().out.splitlines()[-1].startswith(said)
    assert not verdicts


def test_a_file_with_a_colon_is_data(ops, verdicts, capsys):
    verdicts += ["pass"] * 3
    (ops / "a:b").write_text("x,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(50)))
    assert run("a:b", "--target", "y", "--rows", "20") == 0
    assert "a:b: 20 rows" in capsys.readouterr().out


def test_data_that_cannot_be_read_is_no_verdict(ops, capsys):
    assert run("none.csv", "--target", "y") == 2
    assert capsys.readouterr().err.startswith("jaxlr: none.csv: no such file")


def test_the_help_names_both_uses_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for part in ("MODULE:FUNCTION|DATA", "2 bad call", "4 undecided", "--gradient-of", "--rows"):
        assert part in out


def test_data_is_read_by_the_settings_of_train(ops, monkeypatch):
    """Columns, levels, gaps and weights; a row of weight 0 is not judged."""
    seen = []

    def judged(params, X, y, *, sample_weight, l2):
        seen.append((X, y, sample_weight))
        return check.Report(
            [check.Coordinate(".b", 1.0, 1.0, 1.0, 0.1, 0.1, 1e-7, Verdict("pass"))]
        )

    monkeypatch.setattr(jaxlr.cli.check, "check_gradient_at", judged)
    monkeypatch.setattr(jaxlr.cli.check, "check_nodes_at", lambda params, X, y: [])
    (ops / "rows.csv").write_text("a,city,s,z,y\n1,Oslo,2,9,no\n,Rome,1,9,yes\n5,Rome,0,9,no\n")
    words = ["--target", "y", "--positive", "no", "--weight", "s", "--columns", "a", "city"]
    assert run("rows.csv", *words, "--categorical", "city", "--missing", "mean") == 0
    X, y, s = map(np.asarray, seen[0])
    assert X.tolist() == [[1, 1, 0, 0], [3, 0, 1, 1]]
    assert (y.tolist(), s.tolist()) == ([1, 0], [2, 1])
    with pytest.raises(SystemExit):
        run("rows.csv", "--target", "y", "--missing", "often")
