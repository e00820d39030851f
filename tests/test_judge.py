"""The judge: never wrong about right derivatives, and never silent about wrong ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules import MATRIX, ONE_TYPE, VECTOR, dsquare, keep, quick, rule, square, squared

from jaxlr.check import Verdict, check_derivatives


def where(report):
    return report.findings[0].where


class Layer(NamedTuple):
    w: object
    b: object


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


# A second or more each, by the way that others of this list go, too.
SLOW = "trees", "norm", "cumsum", "several outputs", "sort", "max"


@pytest.mark.relaxed
@pytest.mark.parametrize(
    "name", [pytest.param(v, marks=pytest.mark.thorough if v in SLOW else ()) for v in EVERYDAY]
)
def test_right_rules_pass_and_wrong_ones_do_not(name):
    f, right, wrong, args = EVERYDAY[name]
    report = quick(rule(f, right), *args, argnums=0 if name == "trees" else None)
    assert report, str(report)
    report = quick(rule(f, wrong), *args, argnums=0 if name == "trees" else None)
    assert report.verdict is Verdict.WRONG, str(report)


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
@pytest.mark.parametrize(
    "case",
    [pytest.param(v, marks=pytest.mark.thorough if v == "tail" else ()) for v in CONDITIONAL],
)
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


@pytest.mark.relaxed
@pytest.mark.parametrize("many", [70_001, pytest.param(1_000_000, marks=pytest.mark.thorough)])
def test_every_leaf_has_canaries_and_a_floor_that_no_size_moves(many):
    floors = []
    for n in (1, many):
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
@pytest.mark.parametrize("n", [7, pytest.param(50_021, marks=pytest.mark.thorough)])
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


def test_the_smallest_input_runs_and_shows_the_wrong_number(capsys):
    wrong = squared(lambda g, x: keep(x != 2, g))
    report = check_derivatives(wrong, VECTOR, **ONE_TYPE, fail_fast=True)
    assert "x0 = jnp.array([2.0], jnp.float32)" in report.smallest
    assert "# dx[0]: by hand 0.0, truth 4.0" in report.smallest
    exec(report.smallest, {"square": wrong})
    assert capsys.readouterr().out == "(Array([0.], dtype=float32),)\n"


def dproducts(x, c):
    """Every product with x[i] taken as 1: it overflows before a small cotangent meets it."""
    i = np.arange(len(x))
    products = jnp.cumprod(jnp.where(i[:, None] == i, jnp.ones_like(x), x), axis=1)
    return (jnp.where(i >= i[:, None], products, jnp.zeros_like(x)) @ c,)


RIGHT = (
    "log", "sqrt", "quotient", "ids of NumPy", "softplus in float16",
    pytest.param("products in float16", marks=pytest.mark.thorough),
)  # fmt: skip


@pytest.mark.relaxed
@pytest.mark.parametrize("case", RIGHT)
def test_a_right_rule_is_not_called_wrong(case):
    x = np.abs(VECTOR)
    f, backward, args = {
        "log": (lambda x: jnp.log(x), lambda x, c: (c / x,), (x,)),
        "sqrt": (lambda x: jnp.sqrt(x), lambda x, c: (c / (2 * jnp.sqrt(x)),), (x,)),
        "quotient": (lambda x, y: x / y, lambda x, y, c: (c / y, -c * (x / y) / y), (x, x + 4)),
        "softplus in float16": (softplus, EVERYDAY["softplus"][1], (VECTOR,)),
        "products in float16": (lambda x: jnp.cumprod(x), dproducts, (VECTOR,)),
        "ids of NumPy": (*EVERYDAY["ids in a table"][:2], (MATRIX, np.array([0, 2, 2]))),
    }[case]
    options = dict(ONE_TYPE, dtypes=("float16",)) if "float16" in case else ONE_TYPE
    report = check_derivatives(rule(f, backward), *args, **options, fail_fast=True)
    assert report, str(report)


@pytest.mark.relaxed
def test_a_hessian_that_exists_along_one_direction_only_is_not_judged():
    """At |x| = d the gradient of Huber's loss bends, and autodiff of its rule takes half of it."""

    def huber(x, d):
        return jnp.where(abs(x) <= d, x * x / 2, d * (abs(x) - d / 2))

    def dhuber(x, d, c):
        return c * jnp.clip(x, -d, d), jnp.sum(keep(abs(x) > d, c * (abs(x) - d)))

    options = {"order": 2, "domain": {1: (0.1, 100)}}
    report = quick(rule(huber, dhuber), VECTOR, np.float32(1), **options)
    assert report, str(report)
    assert "not differentiable, and not judged, at inputs: thresholds" in str(report.notes)
