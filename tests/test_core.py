"""One example: against 50 digits, against the course, and in every floating-point type."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import mpmath
import numpy as np
import pytest

import jaxlr
from jaxlr import core
from jaxlr.check import ulp
from jaxlr.check.nodes import ULP_BUDGETS
from jaxlr.core import Params

# Where floating point changes its behaviour: in float32 the stable loss at y = 1 is 0 when taken
# as softplus(z) - z (14.6), sigma rounds to 1 (16.64; float64: 36.74, bfloat16: 5.56), exp(-z)
# leaves the normal range (87.34) and exp(z) the finite one (88.72).
THRESHOLDS = (5.56, 14.6, 16.64, 36.74, 87.34, 88.72)


def grid(dtype):
    rng = np.random.default_rng(0)
    top = {"float32": 200, "float64": 700}[dtype]
    magnitudes = np.concatenate(
        [
            np.logspace(-14 * np.log10(2), np.log10(top), 400),
            rng.uniform(0, 20, 400),
            [t * f for t in THRESHOLDS for f in (0.999, 1.0, 1.001)],
        ]
    )
    return np.concatenate([[0.0], magnitudes, -magnitudes]).astype(dtype)


def nodes_of(z, y):
    def of_one(z):
        params = Params(jnp.ones(1, z.dtype), jnp.zeros((), z.dtype))
        d2z = core.curvature(core.forward(params, z[None], y)[1])
        return core.trace(params, z[None], y)._asdict() | {"d2z": d2z}

    nodes = jax.jit(jax.vmap(of_one))(jnp.asarray(z))
    return {name: np.asarray(node).astype(np.float64) for name, node in nodes.items()}


@functools.cache
def exact_a(z):
    """Return a, log a and log (1 - a); at |z| = 700, 1 - a has 305 of its 360 digits to lose."""
    with mpmath.workdps(360):
        a = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
        return a, mpmath.log(a), mpmath.log(1 - a)


def exact(z, y):
    """The lesson to the letter."""
    with mpmath.workdps(360):
        (a, log_a, log_1_a), y = exact_a(float(z)), mpmath.mpf(float(y))
        return {
            "a": a,
            "L": -y * log_a - (1 - y) * log_1_a,
            "da": -y / a + (1 - y) / (1 - a),
            "dz": a - y,
            "d2z": a * (1 - a),
            "terms of dz": (1 - y) * a + y * (1 - a),
            "terms of da": y / a + (1 - y) / (1 - a),
        }


def ulps(found, truth, dtype, terms=None):
    """Distance in units in the last place, or of ``terms`` where they are larger and cancel.

    It is 0 where found and truth lie below the normal range, for XLA flushes such numbers to 0
    (in float32 from |z| = 87.34 on).
    """
    info, terms = ml_dtypes.finfo(dtype), truth if terms is None else terms
    units = [ulp.unit([float(v) for v in values], dtype) for values in (truth, terms)]
    off = []
    for f, t, unit in zip(found.tolist(), truth, np.maximum(*units).tolist(), strict=True):
        flushed = max(abs(f), abs(t)) <= info.tiny
        off.append(0.0 if flushed else float(abs(mpmath.mpf(f) - t) / unit))
    return np.array(off)


@pytest.mark.parametrize("y", [0, 0.25, pytest.param(0.7, marks=pytest.mark.thorough), 1])
def test_every_node_is_within_the_budget_of_the_judge(dtype, y):
    y = float(np.dtype(dtype).type(y))
    z = grid(dtype)
    found, truths = nodes_of(z, y), [exact(v, y) for v in z]
    # da is infinite where exp(|z|) is, and nothing else anywhere.
    infinite = np.isinf(found["da"]) & (abs(z) > np.log(np.finfo(dtype).max))
    for name, budget in ULP_BUDGETS[dtype].items():
        rows = np.flatnonzero(~infinite | (name != "da"))
        truth = [truths[i][name] for i in rows]
        terms = [truths[i].get(f"terms of {name}", abs(truths[i][name])) for i in rows]
        assert ulps(found[name][rows], truth, dtype, terms).max() <= budget, name


@pytest.mark.parametrize("y", [0, 0.3, 1])
def test_nothing_is_infinite_for_any_finite_z(dtype, y):
    most = float(np.finfo(dtype).max)
    z = np.array([0.0, -0.0, 1e-40, 88.8, 104.0, 710.0, 746.0, 1e10, most / 2, most], dtype)
    nodes = nodes_of(np.concatenate([z, -z]), y)
    for name in ("a", "L", "dz", "d2z"):
        assert np.isfinite(nodes[name]).all(), name


def test_the_last_simplification_would_lose_every_digit():
    z = jnp.float32(16.64)
    a = jax.nn.sigmoid(z)
    assert float(a - 1) == 0.0  # the textbook's dz = a - y at y = 1
    dz = nodes_of(np.array([16.64], np.float32), 1)["dz"]
    assert dz == pytest.approx(-np.exp(-16.64), rel=1e-6)


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_rounded_once(half):
    z = np.linspace(-12, 12, 481).astype(half)
    found = nodes_of(z, 1)
    for name in ("L", "dz"):
        truth = [exact(v, 1)[name] for v in z]
        assert ulps(found[name], truth, half).max() <= 0.501


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
    with pytest.raises(ValueError, match=r"y has shape \(2,\)"):
        core.forward(params, jnp.ones(2), jnp.ones(2))
    with pytest.raises(ValueError, match=r"b \(\).*b \(1,\)"):
        core.forward(Params(params.w, jnp.zeros(1)), jnp.ones(2), 1)


def test_lists_are_taken_as_arrays(dtype):
    as_lists = Params([0.5, -0.25], 0.25)
    as_arrays = Params(jnp.array([0.5, -0.25], dtype), jnp.array(0.25, dtype))
    expected, _ = core.forward(as_arrays, jnp.array([1, 2], dtype), 1)
    assert expected.dtype == dtype
    assert core.forward(as_lists, [1, 2], 1)[0] == expected
    assert float(core.trace(as_lists, [1, 2], 1).L) == float(expected)
    assert core.probability(as_lists, [1, 2]) == core.trace(as_arrays, [1, 2], 1).a


def test_core_holds_no_transform():
    source = "".join(path.read_text() for path in Path(core.__file__).parent.glob("*.py"))
    assert "def forward(" in source
    assert not [name for name in ("vmap(", "jit(", "scan(", "grad(") if name in source]
