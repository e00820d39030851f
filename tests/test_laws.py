"""Laws that need no truth: linear in the cotangent, one number both ways, bits in every mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlr.check import Verdict, check_derivatives
from jaxlr.check.derivative import opinions
from jaxlr.check.derivative.quantities import Point, gradient
from jaxlr.check.derivative.steps import DRAWN, condition_of_steps

X = jnp.array([-1.0, 0.5, 2.0])
ONE_LEG = {"order": 1, "dtypes": ("float32",), "batch_axes": None, "smallest": False}


def judged(f, **options):
    return check_derivatives(f, X, **ONE_LEG, **options)


def counts(report, name):
    found = [o for o in report.oracles if o.name.startswith(name)]
    return [(o.asked, o.agreed) for o in found]


def square(backward):
    @jax.custom_vjp
    def f(x):
        return x * x

    f.defvjp(lambda x: (f(x), x), backward)
    return f


def test_a_rule_that_is_linear_in_the_cotangent_says_so():
    report = judged(square(lambda x, c: (2 * x * c,)))
    assert report
    assert counts(report, "linear in the cotangent") == [(3, 3)]
    assert counts(report, "structure") == [(1, 1)]
    assert counts(report, "Taylor's order") == [(1, 1)]
    assert not counts(report, "forward against reverse")


def test_a_rule_that_squares_the_cotangent_breaks_the_law():
    report = judged(square(lambda x, c: (2 * x * c * c,)))  # right for a cotangent of ones
    assert report.verdict is Verdict.WRONG
    assert counts(report, "linear in the cotangent") == [(3, 0)]


def test_a_rule_that_adds_a_constant_breaks_the_law():
    report = judged(square(lambda x, c: (2 * x * c + (c == 0).astype(x.dtype),)))
    assert report.verdict is Verdict.WRONG
    assert counts(report, "linear in the cotangent") == [(3, 0)]


def test_a_wrong_transpose_is_told_by_forward_against_reverse():
    def scaled(factor):
        @jax.custom_jvp
        def f(x):
            return x * x

        @f.defjvp
        def _(primals, tangents):
            (x,), (t,) = primals, tangents
            linear = jax.custom_derivatives.linear_call(
                lambda x, t: 2 * x * t, lambda x, c: factor * x * c, x, t
            )
            return f(x), linear

        return f

    right, wrong = judged(scaled(2.0)), judged(scaled(3.0))
    assert right
    assert counts(right, "forward against reverse") == [(4, 4)]
    assert wrong.verdict is Verdict.WRONG
    assert counts(wrong, "forward against reverse") == [(4, 0)]


def test_other_bits_in_a_mode_are_noted():
    @jax.custom_vjp
    def f(x):
        return x * x

    def backward(x, c):
        traced = isinstance(x, jax.core.Tracer)
        return (2 * x * c * (1 + 2 * np.finfo(np.float32).eps if traced else 1),)

    f.defvjp(lambda x: (f(x), x), backward)
    (note,) = (n for n in judged(f).notes if "bits" in n)
    assert note.startswith("eager: up to ")
    assert "ULP from jit; vmap, scan: the bits of jit" in note
    (note,) = (n for n in judged(square(lambda x, c: (2 * x * c,))).notes if "bits" in n)
    assert note.startswith("eager, vmap, scan: the bits of jit (")


def test_taylor_alone_makes_a_wrong_slope_undecided(monkeypatch):
    def reference(x):
        return x * jax.lax.stop_gradient(x)

    monkeypatch.setattr(opinions.Question, "ask", lambda self: iter(()))
    report = judged(square(lambda x, c: (x * c,)), reference=reference)
    assert report.verdict is Verdict.UNDECIDED
    assert "Taylor's remainder has order 1" in report.findings[0].reason
    assert counts(report, "Taylor's order") == [(1, 0)]


def test_a_broken_law_is_not_told_where_there_is_no_truth():
    @jax.custom_jvp
    def root(x):
        return jnp.sqrt(x)

    root.defjvps(lambda t, out, x: t * 0.5 / out)
    report = check_derivatives(root, jnp.array([0.0, 1.0, 2.0]), **ONE_LEG)
    assert report, str(report)
    assert counts(report, "linear in the cotangent") == [(2, 2)]
    assert all(asked == agreed for asked, agreed in counts(report, "forward against reverse"))


def test_a_clipped_cotangent_breaks_the_law_and_is_wrong():
    f = square(lambda x, c: (2 * x * jnp.clip(c, -2000, 2000),))
    report = judged(f)
    assert report.verdict is Verdict.WRONG
    assert "cotangent" in report.findings[0].where


@pytest.mark.thorough
def test_a_softmax_whose_gradient_cancels_is_right():
    def softmax(x):
        return jax.nn.softmax(x)

    def backward(x, c):
        s = softmax(x)
        return (s * (c - jnp.sum(s * c)),)

    f = jax.custom_vjp(softmax)
    f.defvjp(lambda x: (softmax(x), x), backward)
    report = check_derivatives(f, jnp.array([1.0, 2.0, -0.5, 0.3]), **ONE_LEG)
    assert report, str(report)
    assert not counts(report, "Taylor's order")  # the slope is nothing but rounding


@pytest.mark.thorough
@pytest.mark.relaxed
def test_a_constant_that_a_coarse_type_does_not_have_is_forgiven():
    def sine(x):
        return jnp.sin(x + 100.3)

    f = jax.custom_vjp(sine)
    f.defvjp(lambda x: (sine(x), x), lambda x, c: (c * jnp.cos(x + 100.3),))
    x = np.random.default_rng(0).normal(size=20).astype(np.float32) * 0.05
    report = check_derivatives(f, x, **{**ONE_LEG, "dtypes": ("bfloat16",)})
    assert report, str(report)


def test_what_a_loop_loses_is_known_of_every_number():
    """Moves of one size cancelled, in all twelve draws, for one number in 4,096."""

    def decay(floats):
        return [jax.lax.scan(lambda h, _: (0.9 * h, None), floats[0], None, length=100)[0]]

    with jax.enable_x64(True):
        ones = [jnp.ones(10_000)]
        lost = condition_of_steps(gradient, decay, (0,), Point(ones, ones, ones), DRAWN)
    per_step = np.asarray(lost["gradient"][0]) / 0.9**100 / 100  # a product, and its constant
    assert 0.2 < per_step.min() < 2 < per_step.max() < 2.6


@pytest.mark.thorough
@pytest.mark.relaxed
def test_a_size_in_which_nothing_would_be_seen_makes_no_check_vacuous():
    rng = np.random.default_rng(0)
    x, _ = (
        rng.normal(size=20).astype(np.float32),
        rng.normal(size=(5, 8)),
    )  # a pair that was vacuous
    w = rng.normal(size=(20, 20)).astype(np.float32) * 3

    def weighted(x):
        return jax.nn.softmax(jnp.asarray(w, x.dtype) @ x)

    def backward(x, c):
        s = weighted(x)
        return (jnp.asarray(w, x.dtype).T @ (s * (c - jnp.sum(s * c))),)

    f = jax.custom_vjp(weighted)
    f.defvjp(lambda x: (weighted(x), x), backward)
    report = check_derivatives(f, x, **{**ONE_LEG, "dtypes": ("bfloat16",)})
    assert report, str(report)
