"""Oracles against closed forms: what they read, how far off they say they are, what they refuse."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from mpmath import mp

from jaxlr.check.oracles import complex_step, differences, exact, taylor, trace
from jaxlr.check.oracles.reading import Reading

FIRST = np.ones((1, 1))
SECOND = np.ones((1, 2, 1))
MANY = np.random.default_rng(0).standard_normal(100_000)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


@cache  # what oracles compile is kept for as long as a function lives
def of(function):
    """Take a function of one number as one of a vector."""
    return lambda x: function(x[0])


def softplus(z):
    return jnp.maximum(z, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(z)))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# A function, a point, its first and second derivative there by calculus.
SMOOTH = {
    "exp": (jnp.exp, 1.0, np.e, np.e),
    "exp at 20": (jnp.exp, 20.0, np.exp(20.0), np.exp(20.0)),
    "exp at -50": (jnp.exp, -50.0, np.exp(-50.0), np.exp(-50.0)),
    "log": (jnp.log, 1.0, 1.0, -1.0),
    "log near its end": (jnp.log, 1e-5, 1e5, -1e10),
    "log(x - 1) near its end": (lambda x: jnp.log(x - 1), 1 + 2.0**-20, 2.0**20, -(2.0**40)),
    "x^9": (lambda x: x**9, 1.3, 9 * 1.3**8, 72 * 1.3**7),
    "x^9 at 0": (lambda x: x**9, 0.0, 0.0, 0.0),
    "x^3 at 0": (lambda x: x**3, 0.0, 0.0, 0.0),
    "x^2 at 1e10": (lambda x: x * x, 1e10, 2e10, 2.0),
    "x^2 at 1e-10": (lambda x: x * x, 1e-10, 2e-10, 2.0),
    "cos at 0": (jnp.cos, 0.0, 0.0, -1.0),
    "constant": (lambda x: 0 * x + 1e20, 1.0, 0.0, 0.0),
    "constant 0": (lambda x: 0 * x, 0.0, 0.0, 0.0),
    "straight": (lambda x: 3 * x - 1, 0.7, 3.0, 0.0),
    "sin(1/x)": (
        lambda x: jnp.sin(1 / x), 2.0**-7,
        -np.cos(128.0) * 2.0**14, -np.sin(128.0) * 2.0**28 + np.cos(128.0) * 2.0**22,
    ),
    "feature of 1e30 at 0": (lambda w: softplus(1e30 * w), 0.0, 5e29, 2.5e59),
    "feature of 1e30": (
        lambda w: softplus(1e30 * w), 1e-30,
        1e30 * sigmoid(1.0), 1e60 * sigmoid(1.0) * sigmoid(-1.0),
    ),
    "softplus at 0": (softplus, 0.0, 0.5, 0.25),
    "narrow peak": (
        lambda x: jnp.exp(-1e6 * (x - 1) ** 2), 1 + 2.0**-10,
        -2e6 * 2.0**-10 * np.exp(-1e6 * 2.0**-20),
        (4e12 * 2.0**-20 - 2e6) * np.exp(-1e6 * 2.0**-20),
    ),
    "sum of 100,000": (
        lambda x: jnp.sin(x * MANY).sum(), 1.0,
        np.sum(MANY * np.cos(MANY)), -np.sum(MANY**2 * np.sin(MANY)),
    ),
    "tanh where it is flat": (jnp.tanh, 30.0, 1 / np.cosh(30.0) ** 2, -2 / np.cosh(30.0) ** 2),
    "relu": (lambda x: jnp.maximum(x, 0.0), 3.0, 1.0, 0.0),
    "relu, left": (lambda x: jnp.maximum(x, 0.0), -0.1, 0.0, 0.0),
    "relu, 1e-9 from the kink": (lambda x: jnp.maximum(x, 0.0), 1e-9, 1.0, 0.0),
    "relu, as near to the left": (lambda x: jnp.maximum(x, 0.0), -1e-9, 0.0, 0.0),
    "x |x|, near the kink of its slope": (lambda x: x * jnp.abs(x), 1e-3, 2e-3, 2.0),
    "floor": (jnp.floor, 0.3, 0.0, 0.0),
    "soft threshold": (
        lambda x: jnp.sign(x) * jnp.maximum(jnp.abs(x) - 1e-3, 0.0), 0.0, 0.0, 0.0
    ),
}  # fmt: skip
KINKS = {
    "abs": (jnp.abs, 0.0, "kink"),
    "relu": (lambda x: jnp.maximum(x, 0.0), 0.0, "kink"),
    "clip": (lambda x: jnp.clip(x, -1.0, 1.0), 1.0, "kink"),
    "small kink on a curve": (lambda x: 100 + jnp.abs(x - 1) * 1e-3 + x * x, 1.0, "kink"),
    "|tanh|": (lambda x: 1 + jnp.abs(jnp.tanh(x)) + 1e-3 * x * x, 0.0, "kink"),
    "sqrt(|x|)": (lambda x: jnp.sqrt(jnp.abs(x)), 0.0, "kink"),
    "norm at 0": (lambda x: jnp.sqrt(x * x), 0.0, "kink"),
    "step": (lambda x: jnp.where(x >= 0, 1.0, 0.0), 0.0, "jump"),
    "step on a line": (lambda x: jnp.where(x >= 0.3, 1.0, 0.0) + x, 0.3, "jump"),
    "one point": (lambda x: jnp.where(x == 0, 1.0, 0.0), 0.0, "jump"),
    "log of 0": (jnp.log, 0.0, "not finite"),
    "half a neighbourhood": (jnp.sqrt, 0.0, "not finite"),
    "nan": (lambda x: x * jnp.nan, 1.0, "not finite"),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("oracle", [differences, complex_step, exact])
def test_slope_is_within_its_error(oracle, name):
    f, x, truth, _ = SMOOTH[name]
    (found,) = oracle.slopes(of(f), np.array([x]), FIRST)
    if oracle is not differences and found.refused:
        assert found.refused.startswith(("no rule", "too much work")) or name.startswith(
            "log(x - 1)"
        )
        return
    assert not found.refused
    rounding = 4 * np.finfo(float).eps * abs(truth)  # of the closed form
    assert abs(found.value - truth) <= found.error + rounding
    far = 1e-3 if oracle is complex_step and name == "narrow peak" else 1e-8
    assert found.error <= far * abs(truth) or truth == 0 or found.error < 1e-13


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("oracle", [differences, exact])
def test_bend_is_within_its_error(oracle, name):
    f, x, _, truth = SMOOTH[name]
    (found,) = oracle.bends(of(f), np.array([x]), SECOND)
    if oracle is exact and found.refused:
        assert found.refused.startswith("too much work")
        return
    assert not found.refused
    assert abs(found.value - truth) <= found.error + 1e-12 * abs(truth)
    assert found.error <= 1e-5 * abs(truth) or truth == 0 or found.error < 1e-13


@pytest.mark.parametrize("name", KINKS)
def test_there_is_no_slope(name):
    f, x, why = KINKS[name]
    (slope,) = differences.slopes(of(f), np.array([x]), FIRST)
    (bend,) = differences.bends(of(f), np.array([x]), SECOND)
    assert slope.refused == why
    assert bend.refused == why
    assert np.isnan(slope.value)
    assert slope.error == np.inf
    (found,) = exact.slopes(of(f), np.array([x]), FIRST)
    assert found.refused in ("kink", "not finite")
    (found,) = complex_step.slopes(of(f), np.array([x]), FIRST)
    assert found.refused


@pytest.mark.parametrize("f", [lambda x: x * jnp.abs(x), lambda x: jnp.maximum(x, 0.0) ** 2])
def test_a_kink_of_the_slope_has_a_slope_and_no_bend(f):
    (slope,) = differences.slopes(of(f), np.zeros(1), FIRST)
    assert abs(slope.value) <= slope.error < 1e-15
    assert differences.bends(of(f), np.zeros(1), SECOND)[0].refused == "kink"
    assert exact.bends(of(f), np.zeros(1), SECOND)[0].refused == "kink"


@pytest.mark.parametrize("f", [jnp.cbrt, lambda x: jnp.cbrt(x) + 1000 * x])
def test_an_infinite_slope_is_not_resolved(f):
    assert differences.slopes(of(f), np.zeros(1), FIRST)[0].refused == "not resolved"


def test_stairs_of_rounding_are_not_taken_for_a_slope_of_0():
    (found,) = differences.slopes(lambda x: (x[0] + 1e5) - 1e5, np.full(1, 1e-3), FIRST)
    assert found.refused or abs(found.value - 1) <= found.error


def test_directions_may_be_of_any_length_and_of_length_0():
    u = np.array([[1e200], [1e-200], [-3.0], [0.0]])
    for oracle in (differences, complex_step, exact):
        for found, truth in zip(
            oracle.slopes(of(jnp.exp), np.ones(1), u), np.e * u[:, 0], strict=True
        ):
            assert abs(found.value - truth) <= found.error + 1e-15 * abs(truth)


def matrices(x):
    a = x.reshape(3, 3)
    return jnp.tanh(a @ a.T).sum() + lax.dot_general(a, a, (((0,), (1,)), ((), ()))).sum()


def layer_norm(x):
    centred = x - x.mean()
    return (centred / jnp.sqrt((centred**2).mean() + 1e-5))[0]


def recurrence(x):
    return lax.scan(lambda c, v: (jnp.tanh(c * x[0] + v), None), x[1], x)[0]


def powers(x):
    return lax.fori_loop(0, 5, lambda i, v: v * x[1] + jnp.sin(x[0]), x[2])


def badly_scaled(x):
    return jnp.exp(jnp.array([1e-8, 1.0, 1e8, 1, 1, 1, 1, 1, 1]) * x).sum()


def moved(x):
    padded = jnp.pad(jnp.flip(x), (1, 2))[::2]
    return (jnp.concatenate([padded, x[3:]]) ** 3).sum() + jnp.cumsum(x)[4] * x[
        jnp.array([2, 0])
    ].sum()


WITH_COMPLEX = [matrices, layer_norm, recurrence, powers, moved]
ALL = [*WITH_COMPLEX, jax.nn.logsumexp, lambda x: jax.nn.logsumexp(x) - x[0]]


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.thorough) for s in (1, 2))]
)
def test_oracles_agree_within_their_errors(f, seed):
    rng = np.random.default_rng(seed)
    x, u = rng.standard_normal(9), rng.standard_normal((3, 2, 9))
    truth = exact.slopes(f, x, u[:, 0])
    for oracle in (differences, complex_step) if f in WITH_COMPLEX else (differences,):
        for found, true in zip(oracle.slopes(f, x, u[:, 0]), truth, strict=True):
            assert abs(found.value - true.value) <= found.error + true.error
            assert found.error < 1e-8 * abs(true.value)
    for found, true in zip(differences.bends(f, x, u), exact.bends(f, x, u), strict=True):
        assert abs(found.value - true.value) <= found.error + true.error
        assert found.error < 1e-5 * abs(true.value)


def test_a_point_of_coordinates_of_all_sizes():
    x = np.array([1e8, 1.0, 1e-8, 1, 1, 1, 1, 1, 1])
    truth = np.array([1e-8, 1.0, 1e8, 1, 1, 1, 1, 1, 1]) * np.e
    for oracle in (differences, complex_step):
        for found, true in zip(oracle.slopes(badly_scaled, x, np.eye(9)), truth, strict=True):
            assert abs(found.value - true) <= found.error + 1e-14 * true
            assert found.error < 1e-6 * true


COMPLEX = {
    "exp": mp.exp, "log": mp.log, "log1p": mp.log1p, "expm1": mp.expm1, "sin": mp.sin,
    "cos": mp.cos, "tan": mp.tan, "tanh": mp.tanh, "sinh": mp.sinh, "cosh": mp.cosh,
    "sqrt": mp.sqrt, "logistic": lambda z: 1 / (1 + mp.exp(-z)), "atan": mp.atan,
    "asinh": mp.asinh, "exp2": lambda z: mp.mpf(2) ** z, "rsqrt": lambda z: 1 / mp.sqrt(z),
}  # fmt: skip


NO_RULE = "asinh", "tan", "atan", "rsqrt", "cos"  # run on complex numbers as they are, like exp


@pytest.mark.parametrize(
    "name", [pytest.param(v, marks=pytest.mark.thorough if v in NO_RULE else ()) for v in COMPLEX]
)
def test_complex_step_of_each_primitive(name):
    points = np.array([1e-20, 1e-8, 1e-3, 0.7, 3.7, 20.0])
    points = points if name in ("log", "sqrt", "rsqrt") else np.append(points, -points[1:4])
    for x in points:
        (found,) = complex_step.slopes(of(getattr(lax, name)), np.array([x]), FIRST)
        with mp.workdps(120):
            truth = float(mp.diff(COMPLEX[name], mp.mpf(float(x)), h=mp.mpf(10) ** -40))
        assert abs(found.value - truth) <= found.error + 1e-15 * abs(truth)
        assert found.error < 1e-9 * abs(truth) + 1e-90


def test_complex_step_names_what_it_has_no_rule_for():
    def why(f):
        return complex_step.slopes(f, np.ones(2), np.ones((1, 2)))[0].refused

    assert why(lambda x: jnp.maximum(x[0], x[1])) == "no rule for max"
    assert why(lambda x: jnp.where(x[0] > 0, x[0], x[1])) == "no rule for gt"
    assert why(lambda x: x.astype(jnp.float32).astype(jnp.float64).sum()) == (
        "no rule for conversion to float32"
    )
    assert why(lambda x: lax.cond(x[0] > 0, jnp.sum, jnp.prod, x)) == "no rule for gt"
    assert not why(lambda x: jnp.where(jnp.arange(2) > 0, x, x**2).sum())  # not of x
    assert not why(lambda x: (jnp.abs(x), x.sum())[1])  # nothing reads it


def test_complex_step_knows_what_rounding_before_it_did():
    def naive(x):  # 1 - a has few digits left
        return jnp.log(1 - 1 / (1 + jnp.exp(-x[0])))

    (found,) = complex_step.slopes(naive, np.full(1, 20.0), FIRST)
    assert abs(found.value + sigmoid(20.0)) <= found.error
    assert found.error > 1e-12


@jax.custom_vjp
def wrong_vjp(x):
    return jnp.exp(x).sum()


wrong_vjp.defvjp(lambda x: (wrong_vjp(x), x), lambda x, ct: (7 * ct * x,))


@jax.custom_jvp
def wrong_jvp(x):
    return jnp.exp(x).sum()


@wrong_jvp.defjvp
def _(primals, tangents):
    return wrong_jvp(*primals), 7 * tangents[0].sum()


@pytest.mark.parametrize("f", [wrong_vjp, wrong_jvp, lambda x: lax.stop_gradient(jnp.exp(x).sum())])
def test_a_function_is_not_its_rule(f):
    assert float(jax.grad(f)(jnp.ones(2))[0]) != pytest.approx(np.e)
    for oracle in (differences, complex_step, exact):
        assert oracle.slopes(f, np.ones(2), np.ones((1, 2)))[0].value == pytest.approx(2 * np.e)
    for oracle in (differences, exact):
        assert oracle.bends(f, np.ones(2), np.ones((1, 2, 2)))[0].value == pytest.approx(2 * np.e)
    assert taylor.order(f, np.ones(2), np.ones(2), 2 * np.e).passes
    assert not taylor.order(f, np.ones(2), np.ones(2), 7 * np.e).passes


def test_a_function_is_traced_once():
    traces = []

    def f(x):
        traces.append(x)
        return jnp.sin(x).sum()

    rng = np.random.default_rng(0)
    for _ in range(3):
        x, u = rng.standard_normal(4), rng.standard_normal((2, 2, 4))
        differences.slopes(f, x, u[0])
        differences.bends(f, x, u)
        complex_step.slopes(f, x, u[0])
        taylor.order(f, x, u[0, 0], 0.0)
    assert len(traces) == 1
    compiled = trace.traced(f, x)._values._cache_size()
    differences.slopes(f, -x, u[1])
    assert trace.traced(f, x)._values._cache_size() == compiled


def test_large_functions_are_evaluated_in_parts():
    at = trace.Traced(lambda x: jnp.sin(x[0] * MANY).sum(), 1)
    assert at.work * at._batch <= 2**22
    whole = trace.Traced(lambda x: jnp.sin(x[0] * MANY[:10]).sum(), 1)
    assert whole._batch > at._batch


def test_work_counts_loops_and_products():
    def loop(x):
        return lax.scan(lambda c, v: (c * v, None), x[0], x)[0]

    few, many = (trace.Traced(loop, d).work for d in (10, 1000))
    assert 900 <= many - few <= 2200
    assert trace.Traced(lambda x: (x @ jnp.ones((30, 20))).sum(), 30).work >= 600


def test_exact_refuses_what_it_cannot_or_may_not_do(monkeypatch):
    def why(f, **options):
        return exact.slopes(f, np.ones(4), np.ones((1, 4)), **options)[0].refused

    assert why(lambda x: jnp.exp(x).sum(), limit=3).startswith("too much work")
    assert "no rule" in why(lambda x: lax.nextafter(x, 2 * x).sum())
    assert why(lambda x: jnp.fft.fft(x).real.sum())

    def missing(*args):
        raise ImportError("install jaxlr[check]")

    monkeypatch.setattr("jaxlr.check.exact.slope", missing)
    assert why(lambda x: x.sum()) == "mpmath is missing: install jaxlr[check]"


@pytest.mark.parametrize(("name", "x"), [("exp", 1.0), ("sin", 0.3), ("tanh", -2.0), ("log", 1e-3)])
@pytest.mark.parametrize("wrong", [1e-4, -1e-2, 1.0, -2.0])
def test_taylor_tells_a_right_slope_from_a_wrong_one(name, x, wrong):
    f = of(getattr(jnp, name))
    (truth,) = exact.slopes(f, np.array([x]), FIRST)
    right = taylor.order(f, np.array([x]), np.ones(1), truth.value)
    assert right.passes
    assert 1.9 < right.order < 3.1
    found = taylor.order(f, np.array([x]), np.ones(1), truth.value * (1 + wrong))
    assert not found.passes
    assert found.order < 1.6


def test_taylor_where_nothing_is_left_or_nothing_can_be_seen():
    def ask(f, x, slope):
        return taylor.order(of(f), np.array([x]), np.ones(1), slope)

    assert ask(lambda x: 3 * x, 1.0, 3.0) == (np.inf, True, "")
    assert not ask(lambda x: 3 * x, 1.0, 3.001).passes
    assert ask(lambda x: 1e20 + 0 * x, 1.0, 1e-5).refused == "not resolved"
    assert ask(jnp.log, 0.0, 1.0).refused == "not finite"
    assert ask(jnp.exp, 0.0, np.nan).refused == "not finite"
    assert not ask(jnp.abs, 0.0, 0.0).passes
    assert not ask(jnp.abs, 0.0, 1.0).passes
    assert not ask(lambda x: jnp.where(x == 0, 1.0, 0.0), 0.0, 0.0).passes
    assert ask(lambda x: jnp.maximum(x, 0.0), 3.0, 1.0).passes  # a kink, but far away


@pytest.mark.parametrize("oracle", [differences.slopes, complex_step.slopes, exact.slopes])
def test_a_bad_call_says_what_is_wrong(oracle):
    f = of(jnp.exp)
    with pytest.raises(ValueError, match="one float64 number, and returns float32"):
        oracle(lambda x: x[0].astype(jnp.float32), np.ones(1), FIRST)
    with pytest.raises(ValueError, match="one float64 number"):
        oracle(lambda x: x, np.ones(2), np.ones((1, 2)))
    with pytest.raises(ValueError, match="vector of float64"):
        oracle(f, np.ones(1, np.float32), FIRST)
    with pytest.raises(ValueError, match="vector of float64"):
        oracle(f, np.ones(0), np.ones((1, 0)))
    with pytest.raises(ValueError, match="directions must be of shape"):
        oracle(f, np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="finite"):
        oracle(f, np.ones(1), np.full((1, 1), np.inf))
    with jax.enable_x64(False), pytest.raises(ValueError, match="enable_x64"):
        oracle(f, np.ones(1), FIRST)


def test_no_directions_no_readings():
    for oracle in (differences, complex_step, exact):
        assert oracle.slopes(of(jnp.exp), np.ones(1), np.ones((0, 1))) == []
    assert isinstance(differences.slopes(of(jnp.exp), np.ones(1), FIRST)[0], Reading)
