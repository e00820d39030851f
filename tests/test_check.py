"""The judge is judged: right derivatives pass, planted faults are caught and named."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlr
from jaxlr.check import Verdict, check_nodes, check_point, logistic, ulp
from jaxlr.core import Params
from jaxlr.run import check_nodes_at


def problem(dtype="float32", n=60, d=5, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = jnp.asarray(rng.standard_normal((n, d)), dtype)
    y = jnp.asarray(rng.random(n) < 0.4, dtype)
    w = scale * rng.standard_normal(d)
    return Params(jnp.asarray(w, dtype), jnp.asarray(0.2, dtype)), X, y


def by_hand(params, X, y):
    return jaxlr.loss_and_grads(params, X, y)[1]


narrow_every_day = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.thorough)], indirect=True
)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
@pytest.mark.parametrize(
    ("n", "d"),
    [(60, 5), *(pytest.param(*size, marks=pytest.mark.thorough) for size in ((1, 1), (3000, 3)))],
)
def test_the_hand_written_gradient_passes(dtype, n, d, scale):
    params, X, y = problem(dtype, n, d, scale)
    report = check_point(logistic.loss, by_hand, params, X, y)
    assert report, str(report)
    assert len(report.coordinates) == d + 1


def test_at_the_optimum_where_everything_cancels_it_still_passes():
    params, X, y = problem()
    best = jaxlr.train(params, X, y, jaxlr.plain(1.0), steps=2000).params
    assert check_point(logistic.loss, by_hand, best, X, y)


FAULTS = {
    "sign of one coordinate": lambda g: g._replace(w=g.w.at[2].multiply(-1)),
    "one coordinate off by 1e-4": lambda g: g._replace(w=g.w.at[2].multiply(1 + 1e-4)),
    "one coordinate zero": lambda g: g._replace(w=g.w.at[2].set(0)),
    "nan": lambda g: g._replace(w=g.w.at[2].set(jnp.nan)),
    "order of the coordinates": lambda g: g._replace(w=jnp.roll(g.w, 1)),
    "sum instead of mean": lambda g: jax.tree.map(lambda v: v * 60, g),
    "no intercept": lambda g: g._replace(b=jnp.zeros_like(g.b)),
}


@narrow_every_day
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(dtype, fault):
    params, X, y = problem(dtype)
    wrong = lambda *args: FAULTS[fault](by_hand(*args))  # noqa: E731
    report = check_point(logistic.loss, wrong, params, X, y)
    assert not report
    assert report.verdict is Verdict.WRONG
    if "coordinate " in fault or fault == "nan":
        assert report.worst.path == ".w[2]"
    if fault == "no intercept":
        assert report.worst.path == ".b"


def test_faults_of_one_label_only_and_of_accuracy_only_are_caught():
    params, _, _ = problem(n=30, scale=3.0)

    def textbook(params, X, y):  # a - y in float32: right on paper
        a = jax.nn.sigmoid(X @ params.w + params.b)
        dz = (a - y) / len(y)
        return Params(dz @ X, dz.sum())

    saturated = Params(params.w * 0 + 8.0, params.b)
    X_one, y_one = jnp.ones((1, 5)) / 2, jnp.ones(1)
    report = check_point(logistic.loss, textbook, saturated, X_one, y_one)
    assert report.verdict is Verdict.WRONG
    assert check_point(logistic.loss, by_hand, saturated, X_one, y_one)


def test_any_tree_and_values_instead_of_a_function():
    class Net(NamedTuple):
        layers: list
        scale: dict

    params = Net([jnp.ones((2, 3)), jnp.full(3, 0.5)], {"s": jnp.array(2.0)})

    def loss(p):
        return jnp.sum(jnp.tanh(p.layers[0].sum(0) * p.layers[1]) * p.scale["s"])

    values = jax.grad(loss)(params)
    assert check_point(loss, values, params)
    wrong = values._replace(layers=[values.layers[0].at[1, 2].add(0.01), values.layers[1]])
    report = check_point(loss, wrong, params)
    assert report.worst.path == ".layers[0][1, 2]"
    assert ".layers[0][1, 2]" in str(report)


def test_a_kink_is_undecided_and_says_so():
    report = check_point(lambda w: jnp.abs(w).sum(), jnp.sign, jnp.array([0.0, 1.0]))
    assert report.verdict is Verdict.UNDECIDED
    assert not report
    assert report.worst.path == "[0]"
    assert "oracles cannot decide" in report.summary()


def test_a_reference_that_autodiff_gets_wrong_is_not_believed():
    def textbook(w):  # y = 1; where a rounds to 1 it is 0, but its derivative 0 * log(0)' is nan
        a = jax.nn.sigmoid(w)
        return jnp.sum(jnp.where(a < 1, -jnp.log(a) - 0.0 * jnp.log(1 - a), 0.0))

    def stop(w):
        return jnp.where(w > 2, jax.lax.stop_gradient(w) ** 2, w**2).sum()

    def dw(w):
        return -jax.nn.sigmoid(-w)

    assert check_point(textbook, dw, jnp.array([0.3]))
    report = check_point(textbook, dw, jnp.array([40.0]))
    assert np.isnan(report.worst.autodiff)
    assert report.verdict is Verdict.UNDECIDED
    report = check_point(stop, lambda w: 2 * w, jnp.array([3.0]))
    assert report.verdict is Verdict.UNDECIDED


def test_arguments_that_are_no_arrays_stay_as_they_are():
    def loss(w, kind, activation, doubled, times, scale, labels):
        for _ in range(times if doubled else 0):
            w = activation(w)
        w = w * 3 if kind == "three" and scale > 0.5 else w
        return jnp.sum(w[labels] ** 2)

    def grads(w, *_):
        return jnp.array([0, 1, 2]) * 2 * 36 * w

    arguments = "three", lambda w: 2 * w, True, 1, 0.7, np.array([1, 2, 2])
    with jax.numpy_dtype_promotion("standard"):
        w = jnp.array([1.0, 2.0, -3.0])
        assert check_point(loss, grads, w, *arguments)
        wrong = check_point(loss, lambda w, *_: 2 * w, w, *arguments)
    assert wrong.verdict is Verdict.WRONG


NEAR = {
    "log at 1e-20": (jnp.log, lambda w: 1 / w, 1e-20),
    "log at 1e-8": (jnp.log, lambda w: 1 / w, 1e-8),
    "sqrt at 1e-12": (jnp.sqrt, lambda w: 0.5 / jnp.sqrt(w), 1e-12),
    "tanh of 1e30 w": (
        lambda w: jnp.tanh(w * 1e30 + 0.5),
        lambda w: 1e30 / jnp.cosh(w * 1e30 + 0.5) ** 2,
        1e-30,
    ),
}


@narrow_every_day
@pytest.mark.parametrize("case", NEAR)
def test_a_loss_that_ends_or_bends_near_the_point_is_decided(dtype, case):
    f, slope, at = NEAR[case]
    w = jnp.array([at, 1.0], dtype)
    keep = jnp.array([1, 0], dtype)  # 1.0 is an ordinary neighbour

    def loss(w):
        return f(w[0]) + w[1] ** 2

    def grads(w):
        return keep * slope(w[0]) + (1 - keep) * 2 * w[1]

    report = check_point(loss, grads, w)
    assert report, str(report)
    wrong = check_point(loss, lambda w: grads(w) * (1 + 0.01 * keep), w)
    assert (wrong.verdict, wrong.worst.path) == (Verdict.WRONG, "[0]")


def test_one_finite_step_is_a_number_and_decides_nothing():
    def loss(w):  # of the steps 1/8, 1/64, ... only the first arrives where it is defined
        return jnp.sum(jnp.where(abs(w - 1) > 0.1, w**2, jnp.nan))

    found = check_point(loss, lambda w: 2 * w, jnp.array([1.0])).worst
    assert found.verdict is Verdict.UNDECIDED
    assert np.isfinite(found.numeric)


def test_a_softmax_saturated_below_the_normal_range_passes():
    def loss(w):
        return jax.nn.logsumexp(w) - w[0]

    def grads(w):
        return jax.nn.softmax(w) - jnp.array([1, 0, 0], w.dtype)

    assert check_point(loss, grads, jnp.array([90.0, 0.0, -90.0]))


def test_numbers_out_of_float32_raise_no_warning():
    with jax.enable_x64(True):
        w = jnp.array([1e100, 1.0])
        assert check_point(lambda w: jnp.sum(w**2), lambda w: 2 * w, w)
        assert not check_point(lambda w: jnp.sum(w**2), lambda w: 2.001 * w, w)


def test_a_single_number_has_a_name():
    report = check_point(lambda w: w**2, lambda w: 2 * w, jnp.float32(3))
    assert report.worst.path == "params"
    assert "the worst is params," in report.summary()


@pytest.mark.relaxed
def test_closures_over_data_follow_the_parameters_to_float64():
    _, X, y = problem()

    def loss(w):
        return jnp.mean(jnp.logaddexp(0.0, X @ w) - y * (X @ w))

    w = jnp.full(5, 0.3)
    assert check_point(loss, lambda w: (jax.nn.sigmoid(X @ w) - y) @ X / len(y), w)


@pytest.mark.parametrize(
    ("loss", "grads", "params", "message"),
    [
        (jnp.sum, lambda w: w, jnp.ones((0,)), "nothing to compare"),
        (jnp.sum, lambda w: w[:1], jnp.ones(2), r"shape \(1,\)"),
        (jnp.sum, lambda w: {"w": w}, jnp.ones(2), "structure"),
        (lambda w: w[:1], lambda w: w, jnp.ones(2), r"one number and has shape \(1,\)"),
        (lambda w: (w.sum(), 0), lambda w: w, jnp.ones(2), "one number and is tuple"),
        (lambda w: w.sum().astype(jnp.float32), lambda w: w, jnp.ones(2), "casts inside"),
    ],
)
def test_what_cannot_be_compared_is_an_error(loss, grads, params, message):
    with pytest.raises(ValueError, match=message):
        check_point(loss, grads, params)


def test_integers_have_no_derivatives():
    with pytest.raises(TypeError, match=r"params\['n'\] has dtype int32"):
        check_point(lambda p: p["n"].sum(), lambda p: p, {"n": jnp.arange(3)})


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_judged_by_its_own_rounding(half):
    params, X, y = problem()
    narrow = jax.tree.map(lambda v: v.astype(half), params)
    assert check_point(logistic.loss, by_hand, narrow, X, y)
    wrong = lambda *args: jax.tree.map(lambda v: v * half(1.5), by_hand(*args))  # noqa: E731
    assert not check_point(logistic.loss, wrong, narrow, X, y)


def test_ulp_is_the_distance_of_neighbours():
    for dtype in (np.float32, np.float64):
        values = np.array([1.0, 1.5, 2.0, 1e-3, 1e10], dtype)
        above = np.nextafter(values, np.array(np.inf, dtype))
        assert ulp.distance(above, values, dtype).tolist() == [1.0] * 5
        assert ulp.unit(values, dtype).tolist() == np.spacing(values).astype(float).tolist()


def test_ulp_of_what_is_no_number():
    hand, truth = [np.nan, 1.0, np.inf, -np.inf, np.inf], [1.0, np.inf, np.inf, np.inf, 1.0]
    off = ulp.distance(hand, truth, np.float64)
    assert off.tolist() == [np.inf, np.inf, 0.0, np.inf, np.inf]
    assert np.isnan(ulp.distance(1.0, np.nan, np.float64))


def rounded_nodes(dtype, y):
    """Nodes as a perfect hand would have them, at z in [-2, 2]."""
    w, X = np.array([1.0]), np.linspace(-2, 2, 9)[:, None]
    y = np.full(9, y)
    nodes = {"z": X[:, 0], **logistic.nodes_at(X[:, 0], y)}
    return {name: node.astype(dtype) for name, node in nodes.items()}, (w, 0.0), X, y


@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("node", ["z", "a", "L", "da", "dz", "d2z"])
@pytest.mark.parametrize("fault", ["a few units off", "nan", "inf"])
def test_a_fault_in_one_row_of_one_node_is_caught(dtype, node, fault, y):
    hand, params, X, y = rounded_nodes(dtype, y)
    assert all(check.passed for check in check_nodes(hand, params, X, y))
    units = {"float32": 7, "float64": 30}[dtype]  # in float64 the oracle is 9 off itself
    value = hand[node][6]
    off = value + units * np.spacing(abs(value), dtype=dtype)
    hand[node] = hand[node].copy()
    hand[node][6] = {"nan": np.nan, "inf": np.inf}.get(fault, off)
    failed = {
        check.node: check.row for check in check_nodes(hand, params, X, y) if not check.passed
    }
    assert failed[node] == 6
    assert node == "z" or list(failed) == [node]


def test_half_precision_has_no_node_budgets():
    hand, *rows = rounded_nodes(np.float16, 1.0)
    with pytest.raises(ValueError, match="float16"):
        check_nodes(hand, *rows)


def test_columns_far_from_zero_pass_the_node_check(dtype):
    # Years next to a share, scaled as `jaxlr check` does: z is -2000 in most rows.
    rng = np.random.default_rng(0)
    X = np.c_[rng.integers(1990, 2025, 300), rng.random(300)]
    y = jnp.asarray(rng.random(300) < 0.5, dtype)
    for sign in (-30, -1, 1, 30):
        w = sign * np.array([1.0, 0.5]) / X.std(axis=0)
        params = Params(jnp.asarray(w, dtype), jnp.asarray(0.1, dtype))
        checks = check_nodes_at(params, jnp.asarray(X, dtype), y)
        assert all(check.passed for check in checks), checks


@pytest.mark.parametrize("y", [0.0, 1e-5, 0.3, 1.0])
def test_nodes_pass_where_exp_overflows(dtype, y):
    z = np.array([87.5, 88.5, 88.8, 100, 700, 708.5, 709.5, 709.8, 745, 800, 2000, 1e30])
    z = jnp.asarray(np.r_[z, -z], dtype)
    params = Params(jnp.ones(1, dtype), jnp.zeros((), dtype))
    checks = check_nodes_at(params, z[:, None], jnp.full(z.shape, y, dtype))
    assert all(check.passed for check in checks), checks
    one = check_nodes_at(params, z[-2:-1, None], jnp.full(1, y, dtype))  # -2000: no other row
    assert all(check.passed for check in one), one


def test_nodes_by_autodiff_match_closed_form():
    nodes = logistic.nodes(Params(jnp.array([1.0, -1.0]), jnp.array(0.0)), np.array([2.0, 2.0]), 1)
    expected = {"z": 0, "a": 0.5, "L": np.log(2), "da": -2, "dz": -0.5, "d2z": 0.25, "db": -0.5}
    for name, value in expected.items():
        assert float(nodes[name]) == pytest.approx(value, rel=1e-15)
    assert nodes["dw"].tolist() == [-1, -1]
