"""`check_derivatives`, `check_gradient` and `audit`: never wrong about right code, never silent."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlr
from jaxlr import core
from jaxlr.check import Verdict, audit, check_derivatives, check_gradient
from jaxlr.core import Params

ONE_TYPE = {"dtypes": ("float32",), "order": 1, "batch_axes": None}
VECTOR = np.array([-1.5, 0.5, 2.0, 0.25], np.float32)
MATRIX = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def rule(f, backward):
    """``f`` with ``backward(*args, cotangent)`` as its rule."""
    made = jax.custom_vjp(f)
    made.defvjp(lambda *args: (f(*args), args), lambda args, c: backward(*args, c))
    return made


def quick(f, *args, **options):
    return check_derivatives(f, *args, level="quick", **options)


def where(report):
    return report.findings[0].where


class Layer(NamedTuple):
    w: object
    b: object


def square(x):
    return x * x


def dsquare(x, c):
    return (2 * x * c,)


def squared(wrong=lambda g, x: g):
    """The square, with a fault in its rule."""
    return rule(square, lambda x, c: (wrong(2 * x * c, x),))


def keep(condition, v):
    return jnp.where(condition, v, jnp.zeros_like(v))


def norm(x):
    return jnp.sqrt(jnp.sum(x * x))


def softplus(x):
    return jnp.logaddexp(x, jnp.zeros_like(x))


def logsumexp(x):
    return jax.nn.logsumexp(x, axis=-1)


def sums(x):
    return {"sum": jnp.sum(x), "place": jnp.argmax(x), "squares": (x * x,)}


def dense(params, data):
    return jnp.tanh(data["x"] @ params.w + params.b)


def ddense(params, data, c):
    dz = c / jnp.cosh(data["x"] @ params.w + params.b) ** 2
    return Layer(data["x"].T @ dz, jnp.sum(dz)), {"x": jnp.outer(dz, params.w), "ids": None}


DATA = {"x": MATRIX / 4, "ids": np.arange(5)}
PARAMS = Layer(np.float32([0.5, -1, 0.25]), np.float32(0.3))
IDS = np.array([0, 2, 2], np.int32)

# function, right rule, wrong rule, arguments
EVERYDAY = {
    "relu": (
        lambda x: jnp.maximum(x, 0),
        lambda x, c: (keep(x > 0, c),),
        lambda x, c: (keep(x < 1, c),),
        (VECTOR,),
    ),
    "abs": (
        jnp.abs,
        lambda x, c: (c * jnp.sign(x),),
        lambda x, c: (c * jnp.abs(jnp.sign(x)),),
        (VECTOR,),
    ),
    "max": (
        lambda x: jnp.max(x),
        lambda x, c: (keep(x == jnp.max(x), c),),
        lambda x, c: (keep(x == jnp.min(x), c),),
        (VECTOR,),
    ),
    "softplus": (
        softplus,
        lambda x, c: (c * jax.nn.sigmoid(x),),
        lambda x, c: (c * jnp.exp(x) / (1 + jnp.exp(x)),),
        (VECTOR,),
    ),
    "logsumexp": (
        logsumexp,
        lambda x, c: (c[:, None] * jax.nn.softmax(x),),
        lambda x, c: (c[:, None] * jnp.exp(x) / jnp.sum(jnp.exp(x)),),
        (MATRIX,),
    ),
    "norm": (
        norm,
        lambda x, c: (c * x / norm(x),),
        lambda x, c: (c * x / norm(x) ** 2,),
        (VECTOR,),
    ),
    "cumsum": (
        lambda x: jnp.cumsum(x),
        lambda x, c: (jnp.cumsum(c[::-1])[::-1],),
        lambda x, c: (jnp.cumsum(c),),
        (VECTOR,),
    ),
    "sort": (
        lambda x: jnp.sort(x),
        lambda x, c: (jnp.zeros_like(c).at[jnp.argsort(x)].set(c),),
        lambda x, c: (c[jnp.argsort(x)],),
        (VECTOR,),
    ),
    "times 0 plus": (
        lambda x, y: x * 0 + y,
        lambda x, y, c: (c * 0, c),
        lambda x, y, c: (c, c),
        (VECTOR, VECTOR),
    ),
    "a number": (square, dsquare, lambda x, c: (x * c,), (np.float32(1.5),)),
    "ids in a table": (
        lambda table, i: table[i],
        lambda table, i, c: (jnp.zeros_like(table).at[i].add(c), None),
        lambda table, i, c: (jnp.zeros_like(table).at[i].set(c), None),
        (MATRIX, IDS),
    ),
    "trees": (
        dense,
        ddense,
        lambda *given: (ddense(*given)[0]._replace(b=given[-1][0]), ddense(*given)[1]),
        (PARAMS, DATA),
    ),
    "several outputs": (
        sums,
        lambda x, c: (c["sum"] + 2 * x * c["squares"][0],),
        lambda x, c: (c["sum"] + 2 * x * jnp.abs(c["squares"][0]),),
        (VECTOR,),
    ),
}


@pytest.mark.relaxed
@pytest.mark.parametrize("name", EVERYDAY)
def test_right_rules_pass_and_wrong_ones_do_not(name):
    f, right, wrong, args = EVERYDAY[name]
    report = quick(rule(f, right), *args, argnums=0 if name == "trees" else None)
    assert report, str(report)
    report = quick(rule(f, wrong), *args, argnums=0 if name == "trees" else None)
    assert report.verdict is Verdict.WRONG, str(report)


def test_it_works_where_jax_is_strict():
    assert quick(squared(), VECTOR, order=2)
    assert not quick(squared(lambda g, x: -g), VECTOR)


@pytest.mark.relaxed
def test_kinks_are_not_judged_and_the_report_says_so():
    for name in ("relu", "abs"):
        f, right, _, args = EVERYDAY[name]
        (note,) = quick(rule(f, right), *args).notes
        assert note.startswith("not differentiable, and not judged, at inputs: zero")


@pytest.mark.relaxed
def test_gelu_loses_digits_and_passes_unless_all_are_asked_for():
    def gelu(x):
        return jax.nn.gelu(x)

    f = rule(gelu, lambda x, c: jax.vjp(gelu, x)[1](c))
    report = quick(f, VECTOR, accuracy="inputs")
    assert report.verdict is Verdict.WRONG
    assert quick(f, VECTOR)  # the reference's autodiff does no better
    assert quick(f, VECTOR, accuracy="steps")


@pytest.mark.relaxed
def test_a_custom_jvp_and_arguments_that_are_no_arrays():
    sine = jax.custom_jvp(lambda x: jnp.sin(x))
    sine.defjvps(lambda t, out, x: t * jnp.cos(x))
    assert quick(sine, VECTOR)
    sine.defjvps(lambda t, out, x: t * jnp.cos(x) * jnp.where(x > 1.9, 2, 1))
    assert quick(sine, VECTOR).findings[0].path == "dx[2]"

    power = jax.custom_vjp(lambda g, x, k: g(x) ** k, nondiff_argnums=(0, 2))
    power.defvjp(
        lambda g, x, k: (g(x) ** k, x), lambda g, k, x, c: (c * 2 * k * (2 * x) ** (k - 1),)
    )
    double = lambda x: 2 * x  # noqa: E731
    assert quick(power, double, VECTOR, 3)
    power.defvjp(lambda g, x, k: (g(x) ** k, x), lambda g, k, x, c: (c * k * (2 * x) ** (k - 1),))
    assert not quick(power, double, VECTOR, 3)


@pytest.mark.relaxed
def test_a_rule_replaced_between_two_checks_is_judged_anew():
    f = squared()
    assert quick(f, VECTOR)
    f.defvjp(lambda x: (f(x), x), lambda x, c: (3 * x * c,))
    assert not quick(f, VECTOR)
    f.defvjp(lambda x: (f(x), x), lambda x, c: (2 * x * c,))
    assert quick(f, VECTOR)


@pytest.mark.relaxed
def test_where_autodiff_of_the_reference_is_wrong_the_report_says_so():
    def f(z):
        return jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))

    report = quick(rule(f, lambda z, c: (c * jax.nn.sigmoid(z),)), VECTOR)
    assert report
    assert (
        "autodiff of the reference is wrong, and the hand right, for dz at zero" in report.notes[0]
    )


@pytest.mark.relaxed
def test_a_reference_that_stops_gradients_is_not_the_truth():
    def f(x):
        return jax.lax.stop_gradient(x) * x

    for hand in (1, 1.5):
        report = quick(rule(f, lambda x, c, hand=hand: (hand * x * c,)), VECTOR)
        assert report.verdict is Verdict.WRONG
        finding = report.findings[0]
        assert finding.truth == pytest.approx(2 / hand * finding.hand)
        assert finding.reason == "autodiff of the reference is wrong here"


@jax.custom_jvp
def sine_of_numpy(x):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(np.sin, shape, x, vmap_method="expand_dims")


sine_of_numpy.defjvps(lambda t, out, x: t * jnp.cos(x))


@pytest.mark.relaxed
def test_what_no_oracle_can_tell_apart_is_undecided():
    f = rule(lambda x: sine_of_numpy(x), lambda x, c: (c * jnp.cos(x) * (1 + 1e-13),))
    options = dict(ONE_TYPE, dtypes=("float64",), reference=sine_of_numpy)
    report = check_derivatives(f, VECTOR, **options)
    assert report.verdict is Verdict.UNDECIDED
    assert not report
    assert "central differences cannot tell the two apart" in report.findings[0].reason
    assert "exact refuses" in report.findings[0].reason


NOTHING = {
    "empty": (square, (np.zeros(0, np.float32),), "nothing to differentiate by"),
    "integers": (square, (np.arange(3),), "nothing to differentiate by"),
    "zero": (lambda x: x * 0, (VECTOR,), "is 0 everywhere"),
    "nan": (lambda x: x * jnp.nan, (VECTOR,), "not a number anywhere"),
    "no floating output": (lambda x: jnp.argmax(x), (VECTOR,), "no floating-point array"),
}


@pytest.mark.relaxed
@pytest.mark.parametrize("case", NOTHING)
def test_nothing_to_compare_is_an_error(case):
    f, args, message = NOTHING[case]
    with pytest.raises(ValueError, match=message):
        quick(rule(f, lambda x, c: (x * 0,)), *args)


def test_neither_rule_nor_reference_is_an_error():
    with pytest.raises(ValueError, match="nothing is hand-written"):
        check_derivatives(square, VECTOR)


OPTIONS = {
    "level": ({"level": "fast"}, "'full', 'quick'"),
    "order": ({"order": 3}, "None, 1, 2"),
    "accuracy": ({"accuracy": "x"}, "'inputs', 'steps'"),
    "unknown type": ({"dtypes": ("int32",)}, "float64, float32, bfloat16, float16"),
    "no type": ({"dtypes": ()}, "nothing to compare"),
    "argnums": ({"argnums": 4}, "there are 1 arguments"),
    "batch_axes": ({"batch_axes": "x"}, "'find', or as in_axes of vmap"),
    "count of batch_axes": ({"batch_axes": (0, 0)}, "2 entries for 1 arguments"),
    "atol": ({"atol": -1.0}, "at least 0"),
    "atol nan": ({"atol": np.nan}, "at least 0"),
}
TAKEN = {
    "domain of no argument": {"domain": {5: (0, 1)}},
    "domain reversed": {"domain": {0: (1, 0)}},
    "vary of no argument": {"vary": [7]},
    "no such axis": {"batch_axes": 3},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_is_none_says_what_it_may_be(case):
    options, message = OPTIONS[case]
    with pytest.raises(ValueError, match=message):
        check_derivatives(squared(), VECTOR, **options)


@pytest.mark.parametrize("case", TAKEN)
def test_an_option_that_names_nothing_is_an_error(case):
    with pytest.raises(ValueError, match=next(iter(TAKEN[case]))):
        quick(squared(), VECTOR, **TAKEN[case])


@pytest.mark.relaxed
def test_order_two_of_what_has_only_one_says_so():
    def backward(x, c):
        return jax.pure_callback(lambda x, c: 2 * x * c, x, x, c, vmap_method="sequential")

    f = rule(square, lambda x, c: (backward(x, c),))
    with pytest.raises(ValueError, match=r"cannot be differentiated twice.*order=1"):
        check_derivatives(f, VECTOR, order=2)


@pytest.mark.relaxed
def test_the_second_derivative_is_judged():
    f = rule(square, lambda x, c: (2 * jax.lax.stop_gradient(x) * c,))
    assert quick(f, VECTOR)
    report = quick(f, VECTOR, order=2)
    assert (report.verdict, report.findings[0].quantity) == (Verdict.WRONG, "second")


# Faults that show in one mode or at some number of rows only, and the words of where.
CONDITIONAL = {
    "tail": (lambda g, x: keep(jnp.arange(x.shape[0])[:, None] < 8, g), "9 rows"),
    "eager": (lambda g, x: g if isinstance(x, jax.core.Tracer) else g * 1.5, "eager"),
    "jit": (lambda g, x: g * 1.5 if isinstance(x, jax.core.Tracer) else g, "jit"),
    "vmap": (lambda g, x: g * 2 if "Batch" in type(x).__name__ else g, "vmap"),
    "saturated": (lambda g, x: keep(x > -90, g), "thresholds"),
    "cotangent": (lambda g, x: g.astype(jnp.bfloat16).astype(g.dtype), "as given"),
    "exact zero": (lambda g, x: g * x / x, "zero"),
}


@pytest.mark.relaxed
@pytest.mark.parametrize("case", CONDITIONAL)
def test_a_conditional_fault_is_found_where_it_is(case):
    wrong, words = CONDITIONAL[case]
    x = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    axes = "find" if case == "tail" else None
    options = {"dtypes": ("float32",), "order": 1, "batch_axes": axes, "fail_fast": True}
    report = check_derivatives(squared(wrong), x, **options)
    assert report.verdict is Verdict.WRONG
    assert words in where(report)
    assert case != "tail" or report.findings[0].path.startswith("dx[8")


@pytest.mark.relaxed
def test_a_wrong_primal_is_wrong():
    f = jax.custom_vjp(square)
    f.defvjp(lambda x: (x * x + 1e-3, x), dsquare)
    report = quick(f, VECTOR)
    assert (report.verdict, report.findings[0].quantity) == (Verdict.WRONG, "value")


@pytest.mark.parametrize("backward", [lambda x, c: (jnp.sum(x),), lambda x, c: {"x": c}])
def test_structures_are_compared_first(backward):
    report = quick(rule(square, backward), VECTOR)
    assert (report.verdict, report.findings[0].quantity) == (Verdict.WRONG, "structure")


@pytest.mark.relaxed
def test_every_leaf_has_canaries_and_a_floor_that_no_size_moves():
    floors = []
    for n in (1, 1_000_000):
        x = np.random.default_rng(0).standard_normal(n).astype(np.float32)
        report = quick(rule(lambda x: jnp.sum(x * x), lambda x, c: (2 * x * c,)), x)
        assert report, str(report)
        floors += [node.floor for node in report.nodes if node.name == "dx"]
        for node in report.nodes:
            assert len(node.canaries) == (4 if n == 1 or node.name == "out" else 5)
            assert all(node.canaries.values())
    assert max(floors) <= 1e-5
    assert max(floors) <= 3 * min(floors)


@pytest.mark.relaxed
@pytest.mark.parametrize("n", [7, 50_021])
def test_a_mean_of_float32_passes_and_one_of_its_terms_off_does_not(n):
    def mean(x):
        return jnp.mean(x * x)

    x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    assert quick(rule(mean, lambda x, c: (2 * x * c / x.size,)), x)
    off = rule(mean, lambda x, c: ((2 * x * c / x.size).at[-1].multiply(1 + 1e-5),))
    assert quick(off, x).findings[0].path == f"dx[{n - 1}]"


def test_the_floor_of_elementwise_functions_is_4_ulp():
    node = next(n for n in quick(squared(), VECTOR).nodes if n.name == "dx")
    assert node.floor <= 4.5 * float(np.finfo(np.float32).eps)  # 4, and what the hand is off


def test_json_is_the_same_to_the_byte_for_the_same_seed():
    f = squared(lambda g, x: g / (x - x))  # inf and nan, which JSON does not know
    texts = [quick(f, VECTOR, seed=seed).to_json() for seed in (3, 3, 4)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    first, other = (json.loads(texts[i], parse_constant=pytest.fail) for i in (0, 2))
    assert first.keys() == other.keys()
    assert (first["verdict"], other["verdict"]) == ("wrong", "wrong")
    assert (first["seed"], other["seed"]) == (3, 4)
    assert first["points"] == other["points"]


def test_the_smallest_input_runs_and_shows_the_wrong_number(capsys):
    wrong = squared(lambda g, x: keep(x != 2, g))
    report = check_derivatives(wrong, VECTOR, **ONE_TYPE, fail_fast=True)
    assert "x0 = jnp.array([2.0], jnp.float32)" in report.smallest
    assert "# dx[0]: by hand 0.0, truth 4.0" in report.smallest
    exec(report.smallest, {"square": wrong})
    assert capsys.readouterr().out == "(Array([0.], dtype=float32),)\n"


CONFIGURATION = ("jax_enable_x64", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion",
                 "jax_debug_nans", "jax_default_matmul_precision", "jax_disable_jit")  # fmt: skip


def test_the_configuration_of_jax_is_left_as_it_was():
    before = [getattr(jax.config, name) for name in CONFIGURATION]
    quick(squared(), VECTOR)
    assert [getattr(jax.config, name) for name in CONFIGURATION] == before
    for f, args in ((square, VECTOR), (rule(lambda x: x * 0, lambda x, c: (x * 0,)), VECTOR)):
        with pytest.raises(ValueError, match=r"hand-written|everywhere"):
            quick(f, args)
        assert [getattr(jax.config, name) for name in CONFIGURATION] == before


def test_it_works_with_64_bits_switched_on():
    with jax.enable_x64(True):
        for dtype in (np.float32, np.float64):
            assert quick(squared(), VECTOR.astype(dtype))
            assert not quick(squared(lambda g, x: g * (1 + 1e-5)), VECTOR.astype(dtype))
        assert jax.config.jax_enable_x64


def test_python_without_asserts_says_the_same():
    code = (
        "import jax, jax.numpy as jnp\n"
        "from jaxlr.check import check_derivatives\n"
        "f = jax.custom_vjp(lambda x: x * x)\n"
        "f.defvjp(lambda x: (x * x, x), lambda x, c: (3 * x * c,))\n"
        "print(__debug__, check_derivatives(f, jnp.ones(2), level='quick').verdict)\n"
    )
    run = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert run.stdout == "False Verdict.WRONG\n", run.stderr


@pytest.mark.relaxed
def test_atol_domain_and_vary_do_what_they_say():
    off = rule(square, lambda x, c: (2 * x * c + 1e-3,))
    assert not quick(off, VECTOR)
    assert quick(off, VECTOR, atol=2e-3)
    assert not quick(off, VECTOR, atol=5e-4)

    beyond = squared(lambda g, x: jnp.where(jnp.abs(x) > 3, 2 * g, g))
    assert not quick(beyond, VECTOR)
    assert quick(beyond, VECTOR, domain={0: (-2, 2)})
    assert quick(beyond, VECTOR, vary=())

    product = rule(lambda x, y: x * y, lambda x, y, c: (jnp.where(y > 9, 0, y) * c, x * c))
    assert not quick(product, VECTOR, VECTOR)
    assert quick(product, VECTOR, VECTOR, vary=(0,))
    assert quick(product, VECTOR, VECTOR, argnums=1)


@pytest.mark.relaxed
def test_an_audit_judges_the_rules_inside_and_names_them():
    wrong, right = squared(lambda g, x: g * 1.05), squared()

    def loss(xs, f):
        return jax.lax.scan(lambda s, x: (s + jnp.sum(f(x)), None), jnp.float32(0), xs)[0]

    found = audit(lambda xs: loss(xs, wrong), MATRIX)
    assert found.verdict is Verdict.WRONG
    assert [path.split("/")[1:] for path, _ in found.reports] == [["scan[body]", "square"]]
    assert audit(lambda xs: loss(xs, right), MATRIX)

    def branches(x):
        return jax.lax.cond(x[0] > 100, lambda: wrong(x), lambda: right(x))

    found = audit(branches, VECTOR)
    assert found
    assert found.unreached == ("branches/cond[branch 1]/square",)
    with pytest.raises(ValueError, match="no custom rule is called"):
        audit(square, VECTOR)


@pytest.mark.relaxed
def test_a_function_that_returns_gradients():
    def loss(w, x, power):
        return jnp.sum((w * x) ** power)

    def grads(w, x, power):
        return power * x * (w * x) ** (power - 1)

    args = VECTOR, VECTOR + 1, 2
    assert check_gradient(loss, grads, *args, level="quick")
    wrong = check_gradient(loss, lambda w, x, p: x * (w * x) ** (p - 1), *args, level="quick")
    assert wrong.verdict is Verdict.WRONG
    for not_one in (lambda w: w * w, lambda w: (jnp.sum(w), 1)):
        with pytest.raises(ValueError, match="the loss must be one number"):
            check_gradient(not_one, lambda w: 2 * w, VECTOR)


@pytest.mark.relaxed
def test_a_loss_with_arguments_that_are_no_arrays():
    def loss(w, g, kind):
        return jnp.sum(g(w)) if kind == "sum" else jnp.mean(g(w))

    assert check_gradient(
        loss, lambda w, g, kind: jnp.cos(w), VECTOR, jnp.sin, "sum", level="quick"
    )


@pytest.mark.relaxed
@pytest.mark.parametrize("case", ["log", "sqrt", "softplus in float16", "quotient", "ids of NumPy"])
def test_a_right_rule_is_not_called_wrong(case):
    x = np.abs(VECTOR)
    f, backward, args = {
        "log": (lambda x: jnp.log(x), lambda x, c: (c / x,), (x,)),
        "sqrt": (lambda x: jnp.sqrt(x), lambda x, c: (c / (2 * jnp.sqrt(x)),), (x,)),
        "quotient": (lambda x, y: x / y, lambda x, y, c: (c / y, -c * (x / y) / y), (x, x + 4)),
        "softplus in float16": (softplus, EVERYDAY["softplus"][1], (VECTOR,)),
        "ids of NumPy": (*EVERYDAY["ids in a table"][:2], (MATRIX, np.array([0, 2, 2]))),
    }[case]
    options = dict(ONE_TYPE, dtypes=("float16",)) if "float16" in case else ONE_TYPE
    report = check_derivatives(rule(f, backward), *args, **options, fail_fast=True)
    assert report, str(report)


@pytest.mark.relaxed
def test_random_numbers_drawn_inside_are_an_error_with_a_way_out():
    def drop(x, key):
        return x * jax.random.bernoulli(key, 0.5, x.shape).astype(x.dtype)

    f = rule(drop, lambda x, key, c: (drop(c, key), None))
    with pytest.raises(ValueError, match="draw them outside"):
        quick(f, VECTOR, jax.random.key(0))


def logistic_loss(params, X, y, s=None, l2=0.0):
    """Mean loss of m rows, told again in JAX's words."""
    z = X @ params.w + params.b
    zero = jnp.zeros_like(z)
    L = (1 - y) * jnp.logaddexp(zero, z) + y * jnp.logaddexp(zero, -z)
    s = jnp.ones_like(z) if s is None else s
    return jnp.sum(s * L) / jnp.sum(s) + l2 / 2 * jnp.sum(params.w**2)


def batch():
    rng = np.random.default_rng(0)
    X = jnp.asarray(rng.standard_normal((9, 3)), jnp.float32)
    params = Params(jnp.float32([0.5, -1.0, 0.25]), jnp.float32(0.2))
    return params, X, jnp.asarray(np.arange(9) % 2, jnp.float32)


@pytest.mark.relaxed
def test_the_derivatives_of_core_pass():
    params, X, _ = batch()

    def loss(params, x, y):
        return core.forward(params, x, y)[0]

    def backward(params, x, y, c):
        grads = core.backward(core.forward(params, x, y)[1])
        return jax.tree.map(lambda g: c * g, grads), None, None

    options = {"reference": lambda p, x, y: logistic_loss(p, x[None], y[None]), "argnums": 0}
    for label, level in ((0.25, "full"), (1.0, "quick"), (0.0, "quick")):
        args = params, X[0], jnp.float32(label)
        report = check_derivatives(rule(loss, backward), *args, order=1, level=level, **options)
        assert report, str(report)


@pytest.mark.relaxed
def test_the_curvature_of_core_is_the_derivative_of_its_slope():
    def cache(z, y):
        return core.forward(Params(z[None], jnp.zeros_like(z)), jnp.ones(1, z.dtype), y)[1]

    def dz(z, y):
        return jax.vmap(lambda z, y: core.slope(cache(z, y)).astype(z.dtype))(z, y)

    def d2z(z, y, c):
        return c * jax.vmap(lambda z, y: core.curvature(cache(z, y)).astype(z.dtype))(z, y), None

    def plain(z, y):
        return (1 - y) * jax.nn.sigmoid(z) - y * jax.nn.sigmoid(-z)

    y, two = np.float32([0, 1, 0.25, 1]), dict(ONE_TYPE, dtypes=("float64", "float32"))
    report = check_derivatives(rule(dz, d2z), VECTOR, y, reference=plain, argnums=0, **two)
    assert report, str(report)


@pytest.mark.relaxed
def test_the_gradient_of_a_batch_passes_with_weights_and_penalty():
    def grads(params, X, y, s, l2):
        return jaxlr.loss_and_grads(params, X, y, s, l2=l2)[1]

    s = jnp.asarray(np.resize([1.0, 0.0, 2.5], 9), jnp.float32)
    report = check_gradient(  # the second derivative by hand is judged above, row by row
        logistic_loss, grads, *batch(), s, 0.125, domain={2: (0, 1)}, dtypes=("float32",), order=1
    )
    assert report, str(report)
    wrong = lambda *args: grads(*args[:-1], 0.0)  # noqa: E731
    report = check_gradient(logistic_loss, wrong, *batch(), s, 0.125, level="quick")
    assert report.verdict is Verdict.WRONG
