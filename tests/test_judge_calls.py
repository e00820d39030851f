"""How the judge is called: arguments, options, errors, the bytes of its report."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules import MATRIX, VECTOR, quick, rule, square, squared

from jaxlr.check import Verdict, audit, check_derivatives, check_gradient


def test_it_works_where_jax_is_strict():
    assert quick(squared(), VECTOR, order=2)
    assert not quick(squared(lambda g, x: -g), VECTOR)


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


@pytest.mark.parametrize("backward", [lambda x, c: (jnp.sum(x),), lambda x, c: {"x": c}])
def test_structures_are_compared_first(backward):
    report = quick(rule(square, backward), VECTOR)
    assert (report.verdict, report.findings[0].quantity) == (Verdict.WRONG, "structure")


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


@pytest.mark.thorough
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
def test_random_numbers_drawn_inside_are_an_error_with_a_way_out():
    def drop(x, key):
        return x * jax.random.bernoulli(key, 0.5, x.shape).astype(x.dtype)

    f = rule(drop, lambda x, key, c: (drop(c, key), None))
    with pytest.raises(ValueError, match="draw them outside"):
        quick(f, VECTOR, jax.random.key(0))
