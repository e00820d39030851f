"""One example: against 50 digits, against the course, and in every floating-point type."""

import inspect

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxlr
from jaxlr import core
from jaxlr.check import ulp
from jaxlr.core import Params

# Where float32 and float64 change their behaviour: sigma rounds to 1, exp under- and overflows.
THRESHOLDS = (14.6, 16.64, 36.74, 5.56, 87.3, 88.7)


def grid(dtype):
    rng = np.random.default_rng(0)
    magnitudes = np.concatenate(
        [
            np.logspace(-14 * np.log10(2), np.log10(80), 300),
            rng.uniform(0, 20, 500),
            [t * f for t in THRESHOLDS[:4] for f in (0.999, 1.0, 1.001)],
        ]
    )
    return np.concatenate([[0.0], magnitudes, -magnitudes]).astype(dtype)


def pieces(z, y):
    def of_one(z):
        L, cache = core.forward(Params(jnp.ones(1, z.dtype), jnp.zeros((), z.dtype)), z[None], y)
        return L, core.slope(cache), core.curvature(cache)

    return [np.asarray(v).astype(np.float64) for v in jax.jit(jax.vmap(of_one))(jnp.asarray(z))]


def exact(z, y):
    """L, dz and d2z with 50 digits, rounded once to float64 (an error of 2^-29 float32 ULP)."""
    with mpmath.workdps(50):
        z, y = mpmath.mpf(float(z)), mpmath.mpf(y)
        e = mpmath.exp(-z)
        L = (1 - y) * mpmath.log(1 + 1 / e) + y * mpmath.log(1 + e)
        return L, ((1 - y) - y * e) / (1 + e), e / (1 + e) ** 2


def ulps(found, truth, dtype):
    """Distance in units in the last place, with the 50 digits kept until the division."""
    unit = ulp.unit([float(t) for t in truth], dtype)
    pairs = zip(found.tolist(), truth, unit.tolist(), strict=True)
    return np.array([float(abs(mpmath.mpf(f) - t) / u) for f, t, u in pairs])


@pytest.mark.parametrize("y", [0, 1])
def test_pieces_are_within_their_ulp_budgets(dtype, y):
    budgets = {"float32": (3, 2.5, 4.5), "float64": (2.5, 2.5, 4)}[dtype]
    z = grid(dtype)
    truths = zip(*[exact(v, y) for v in z], strict=True)
    for found, truth, budget in zip(pieces(z, y), truths, budgets, strict=True):
        assert ulps(found, truth, dtype).max() <= budget


@pytest.mark.parametrize("y", [0.25, 0.7])
def test_soft_labels_round_like_their_terms(dtype, y):
    y = float(np.dtype(dtype).type(y))
    z, eps = grid(dtype), np.finfo(dtype).eps
    L, dz, _ = pieces(z, y)
    truths = [exact(v, y) for v in z]
    assert ulps(L, [t[0] for t in truths], dtype).max() <= 3
    a = 1 / (1 + np.exp(-z.astype(np.float64)))
    terms = (1 - y) * a + y * (1 - a)
    assert np.all(abs(dz - [float(t[1]) for t in truths]) <= 4 * eps * terms)


@pytest.mark.parametrize("y", [0, 0.3, 1])
def test_nothing_is_infinite_for_any_finite_z(dtype, y):
    most = float(np.finfo(dtype).max)
    z = np.array([0.0, -0.0, 1e-40, 88.8, 104.0, 710.0, 746.0, 1e10, most / 2, most], dtype)
    for found in pieces(np.concatenate([z, -z]), y):
        assert np.isfinite(found).all()


def test_the_last_simplification_would_lose_every_digit():
    z = jnp.float32(16.64)
    a = jax.nn.sigmoid(z)
    assert float(a - 1) == 0.0  # the textbook's dz = a - y at y = 1
    assert pieces(np.array([16.64], np.float32), 1)[1] == pytest.approx(-np.exp(-16.64), rel=1e-6)


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_rounded_once(half):
    z = np.linspace(-12, 12, 481).astype(half)
    narrow = core.Params(jnp.ones(1, half), jnp.zeros((), half))

    def of_one(z):
        nodes = core.trace(narrow, z[None], 1)
        return nodes.L, nodes.dz

    for found, index in zip(jax.vmap(of_one)(jnp.asarray(z)), (0, 1), strict=True):
        assert found.dtype == half
        truth = [exact(v, 1)[index] for v in z]
        assert ulps(np.asarray(found).astype(np.float64), truth, half).max() <= 0.501


def test_trace_has_the_lesson_worked_by_hand():
    params = Params(jnp.array([1.0, -1.0]), jnp.array(0.0))
    nodes = core.trace(params, jnp.array([2.0, 2.0]), 1)  # z = 0, a = 1/2
    assert nodes._fields == ("z", "a", "L", "da", "dz", "dw", "db")
    assert [float(v) for v in (nodes.z, nodes.a, nodes.da, nodes.dz, nodes.db)] == [
        0, 0.5, -2, -0.5, -0.5,
    ]  # fmt: skip
    assert float(nodes.L) == pytest.approx(np.log(2), rel=1e-7)
    assert nodes.dw.tolist() == [-1, -1]


@pytest.mark.parametrize(("y", "z"), [(0, 200.0), (1, -200.0), (0, -200.0), (1, 200.0)])
def test_da_is_never_nan(y, z):
    nodes = core.trace(Params(jnp.ones(1), jnp.zeros(())), jnp.array([z]), y)
    assert not np.isnan(nodes.da)
    assert np.isfinite(nodes.da) == (z * (1 - 2 * y) < 0)  # its true value, e^200, is out of range


def test_trace_backward_and_the_chain_rule_agree(dtype):
    rng = np.random.default_rng(1)
    params = Params(jnp.asarray(rng.normal(size=5), dtype), jnp.asarray(0.2, dtype))
    x = jnp.asarray(rng.normal(size=5), dtype)
    nodes = core.trace(params, x, 0.3)
    grads = core.backward(core.forward(params, x, 0.3)[1])
    assert nodes.dw.tolist() == grads.w.tolist()
    assert float(nodes.db) == float(grads.b)
    assert float(nodes.da * nodes.a * (1 - nodes.a)) == pytest.approx(float(nodes.dz), rel=1e-5)
    np.testing.assert_allclose(nodes.dw, x * nodes.dz, rtol=1e-6)


@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
def test_autodiff_through_forward_is_right_where_training_starts(y):
    def loss(w):
        return core.forward(Params(w, jnp.zeros(())), jnp.ones(1), y)[0]

    assert float(jax.grad(loss)(jnp.zeros(1))[0]) == 0.5 - y


# A. Ng, Neural Networks and Deep Learning, week 2 assignment "Logistic Regression with a Neural
# Network mindset": the expected outputs of `propagate` and `optimize`, in two editions of it.
PROPAGATE = {
    "2017": dict(
        w=[1.0, 2.0], b=2.0, X=[[1.0, 3.0], [2.0, 4.0], [-1.0, -3.2]], y=[1, 0, 1],
        cost=5.801545319394553, dw=[0.99845601, 2.39507239], db=0.001455578136784208,
        after=dict(w=[0.19033591, 0.12259159], b=1.92535983008),
    ),
    "2021": dict(
        w=[1.0, 2.0], b=1.5, X=[[1.0, 3.0], [-2.0, 0.5], [-1.0, -3.2]], y=[1, 1, 0],
        cost=0.15900537707692405, dw=[0.25071532, -0.06604096], db=-0.1250040450043965,
        after=dict(w=[0.80956046, 2.0508202], b=1.5948713189708588),
    ),
}  # fmt: skip


@pytest.mark.parametrize("edition", PROPAGATE)
def test_course_exercise_deep_learning(edition):
    e = PROPAGATE[edition]
    with jax.enable_x64(True):
        params = Params(jnp.array(e["w"]), jnp.array(e["b"]))
        X, y = jnp.array(e["X"]), jnp.array(e["y"])
        J, grads = jaxlr.loss_and_grads(params, X, y)
        assert float(J) == pytest.approx(e["cost"], abs=1e-12)  # theirs is rounded: 1 - a
        np.testing.assert_allclose(grads.w, e["dw"], atol=5e-9)
        assert float(grads.b) == pytest.approx(e["db"], abs=1e-12)
        after = jaxlr.train(params, X, y, jaxlr.plain(0.009), steps=100).params
        np.testing.assert_allclose(after.w, e["after"]["w"], atol=5e-9)
        assert float(after.b) == pytest.approx(e["after"]["b"], abs=1e-11)


def test_course_exercise_machine_learning():
    # A. Ng, Machine Learning, exercise 3, `lrCostFunction`: theta = [-2 -1 1 2], lambda = 3.
    with jax.enable_x64(True):
        X = jnp.asarray(np.arange(1.0, 16).reshape(3, 5).T / 10)
        y = jnp.array([1, 0, 1, 0, 1])
        params = Params(jnp.array([-1.0, 1.0, 2.0]), jnp.array(-2.0))
        J, grads = jaxlr.loss_and_grads(params, X, y, l2=3 / 5)
        assert float(J) == pytest.approx(2.534819, abs=5e-7)
        np.testing.assert_allclose(grads.w, [-0.548558, 0.724722, 1.398003], atol=5e-7)
        assert float(grads.b) == pytest.approx(0.146561, abs=5e-7)


def test_misuse_is_named():
    params = core.zeros(2)
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\).*loss_and_grads"):
        core.forward(params, jnp.ones((2, 2)), 1)
    with pytest.raises(ValueError, match=r"x has shape \(3,\) and w has shape \(2,\)"):
        core.forward(params, jnp.ones(3), 1)
    with pytest.raises(TypeError, match="w has dtype int32"):
        core.forward(Params(jnp.array([1, 2]), jnp.array(0)), jnp.ones(2), 1)


def test_core_holds_no_transform():
    source = inspect.getsource(core)
    assert not [name for name in ("vmap(", "jit(", "scan(", "grad(") if name in source]
