"""m examples: exact sums, weights, penalties, blocks, and every kind of bad rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlr
from jaxlr import core
from jaxlr.batch import blocks
from jaxlr.check import logistic
from jaxlr.core import Params


def problem(n, d, dtype, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    y = (rng.random(n) < 0.4).astype(dtype)
    w = scale * rng.standard_normal(d) / np.sqrt(d)
    return Params(jnp.asarray(w, dtype), jnp.asarray(0.3 * scale, dtype)), X, y


narrow_every_day = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.thorough)], indirect=True
)
BY_AUTODIFF = jax.jit(jax.value_and_grad(logistic.loss))


def by_autodiff(params, X, y, s=None, l2=0.0):
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(v, np.float64)) for v in (*params, X, y)]
        s = None if s is None else jnp.asarray(np.asarray(s, np.float64))
        value, grads = BY_AUTODIFF((wide[0], wide[1]), *wide[2:], s, l2)
        return float(value), np.asarray(grads[0]), float(grads[1])


def rounding_bound(params, X, y, s=None, l2=0.0):
    """First-order bound of the rounding error of dw and db, computed from their terms.

    z is off by gamma_(d+1) sum |x w|, so dz by that times a (1 - a), plus its own rounding; and
    a sum of n terms by gamma_n sum |terms|, in any order.
    """
    w, b, X64, y64 = (np.asarray(v, np.float64) for v in (*params, X, y))
    n, d = X64.shape
    eps = float(np.finfo(np.asarray(params.w).dtype).eps)
    weight = np.ones(n) if s is None else np.asarray(s, np.float64)
    z = X64 @ w + b
    a = 1 / (1 + np.exp(-z))
    z_error = (d + 2) * eps * (abs(X64) @ abs(w) + abs(b))
    dz = np.abs(a - y64)
    dz_error = a * (1 - a) * z_error + 4 * eps * ((1 - y64) * a + y64 * (1 - a))
    per_row = weight * (dz_error + (n + 4) * eps * dz)
    total = weight.sum()
    return (
        abs(X64).T @ per_row / total + 4 * eps * l2 * abs(w),
        per_row.sum() / total,
    )


SIZES = [
    (1, 1), (1001, 17), (10_000, 100),
    *(
        pytest.param(*size, marks=pytest.mark.thorough)
        for size in (
            (1, 1000), (2, 3), (7, 1), (64, 30), (1000, 1000), (10_000, 1), (10_000, 1000),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_every_coordinate_is_within_its_rounding_bound(dtype, n, d):
    one, X, y = problem(n, d, dtype)
    for scale in (0.0, 1.0, 20.0):
        params = Params(one.w * scale, one.b * scale)
        _, grads = jaxlr.loss_and_grads(params, X, y)
        _, dw, db = by_autodiff(params, X, y)
        dw_bound, db_bound = rounding_bound(params, X, y)
        assert np.all(abs(np.asarray(grads.w, np.float64) - dw) <= dw_bound), scale
        assert abs(float(grads.b) - db) <= db_bound, scale


@pytest.mark.parametrize(
    "block_bytes",
    [64, 1 << 30, *(pytest.param(b, marks=pytest.mark.thorough) for b in (1000, 4096))],
)
def test_any_block_gives_the_same_sums(monkeypatch, dtype, block_bytes):
    n = 101 + block_bytes % 97  # a shape that is not compiled yet
    params, X, y = problem(n, 7, dtype)
    s = np.random.default_rng(2).random(n).astype(dtype)
    monkeypatch.setattr(blocks, "_BLOCK_BYTES_CPU", block_bytes)
    J, grads = jaxlr.loss_and_grads(params, X, y, s, 0.1)
    value, dw, db = by_autodiff(params, X, y, s, 0.1)
    dw_bound, db_bound = rounding_bound(params, X, y, s, 0.1)
    assert float(J) == pytest.approx(value, rel=100 * float(np.finfo(dtype).eps))
    assert np.all(abs(np.asarray(grads.w, np.float64) - dw) <= dw_bound)
    assert abs(float(grads.b) - db) <= db_bound


@narrow_every_day
def test_batch_is_the_mean_of_single_examples(dtype):
    params, X, y = problem(9, 4, dtype)
    losses, grads = [], []
    for x, label in zip(jnp.asarray(X), y, strict=True):
        L, cache = core.forward(params, x, label)
        losses.append(float(L))
        grads.append(core.backward(cache))
    J, mean = jaxlr.loss_and_grads(params, X, y)
    tolerance = 20 * float(np.finfo(dtype).eps)
    assert float(J) == pytest.approx(np.mean(losses), rel=tolerance)
    np.testing.assert_allclose(mean.w, np.mean([g.w for g in grads], axis=0), atol=tolerance)
    assert float(jaxlr.loss(params, X, y)) == float(J)


def test_a_million_rows_in_float32_keep_their_digits():
    # Every row is the same, so the mean is that row's: the sum of 2^20 rows must not drift.
    X, y = np.full((1 << 20, 3), 0.1, np.float32), np.zeros(1 << 20, np.float32)
    params = Params(jnp.full(3, 0.7, jnp.float32), jnp.float32(0.1))
    _, one = jaxlr.loss_and_grads(params, X[:1], y[:1])
    _, all_rows = jaxlr.loss_and_grads(params, X, y)
    np.testing.assert_allclose(all_rows.w, one.w, rtol=2e-5)


def test_what_the_sum_of_blocks_rounds_away_is_added_back(monkeypatch):
    # 2^14 blocks of 8 equal rows: added one after the other they lose 2e-4.
    monkeypatch.setattr(blocks, "_BLOCK_BYTES_CPU", 64)
    n = (1 << 17) + 40  # a shape that is not compiled yet
    X, y = np.full((n, 3), 0.1, np.float32), np.zeros(n, np.float32)
    params = Params(jnp.full(3, 0.7, jnp.float32), jnp.float32(0.1))
    J, grads = jaxlr.loss_and_grads(params, X, y)
    value, dw, db = by_autodiff(params, X[:1], y[:1])
    for found, expected in ((J, value), (grads.w, dw), (grads.b, db)):
        np.testing.assert_allclose(found, expected, rtol=5e-7)


@narrow_every_day
def test_integer_weights_are_repeated_rows_and_zero_weights_no_rows(dtype):
    params, X, y = problem(20, 3, dtype)
    s = np.random.default_rng(3).integers(0, 4, 20)
    J, grads = jaxlr.loss_and_grads(params, X, y, s)
    J2, grads2 = jaxlr.loss_and_grads(params, np.repeat(X, s, axis=0), np.repeat(y, s))
    tolerance = 50 * float(np.finfo(dtype).eps)
    assert float(J) == pytest.approx(float(J2), rel=tolerance)
    np.testing.assert_allclose(grads.w, grads2.w, rtol=tolerance, atol=tolerance)


@narrow_every_day
def test_the_intercept_is_not_penalised(dtype):
    params, X, y = problem(20, 3, dtype)
    J0, g0 = jaxlr.loss_and_grads(params, X, y)
    J, g = jaxlr.loss_and_grads(params, X, y, l2=2.0)
    tolerance = 10 * float(np.finfo(dtype).eps)
    assert float(J - J0) == pytest.approx(float(jnp.sum(params.w**2)), rel=10 * tolerance)
    np.testing.assert_allclose(g.w - g0.w, 2 * params.w, rtol=100 * tolerance)
    assert float(g.b) == float(g0.b)


def test_gradients_have_the_types_of_the_parameters():
    params, X, y = problem(50, 4, np.float32)
    half = Params(params.w.astype(jnp.bfloat16), params.b.astype(jnp.bfloat16))
    J, grads = jaxlr.loss_and_grads(half, X.astype(jnp.bfloat16), y)
    assert (J.dtype, grads.w.dtype, grads.b.dtype) == (jnp.float32, jnp.bfloat16, jnp.bfloat16)
    assert jaxlr.loss_and_grads(params, X.astype(np.int32), y > 0)[1].w.dtype == jnp.float32


def test_probabilities_are_those_of_scipy(dtype):
    from scipy.special import expit

    params, X, _ = problem(30, 4, dtype, scale=5)
    expected = expit(X.astype(float) @ np.asarray(params.w, float) + float(params.b))
    np.testing.assert_allclose(jaxlr.probabilities(params, X), expected, rtol=2e-5)


GOOD_X = np.ones((4, 2), np.float32)
GOOD_Y = np.array([0, 1, 1, 0])
BAD = {
    "column of labels": (GOOD_X, GOOD_Y[:, None], None, r"y has shape \(4, 1\).*y\.ravel\(\)"),
    "too few labels": (GOOD_X, GOOD_Y[:3], None, r"y has shape \(3,\), but X has 4 rows"),
    "label -1": (GOOD_X, np.array([1, -1, 1, 1]), None, r"y is -1 in row 1 .*\(y \+ 1\) / 2"),
    "label 2": (GOOD_X, GOOD_Y * 2, None, r"y is 2 in row 1"),
    "label nan": (GOOD_X, np.array([0, 1, 0, np.nan]), None, r"y is nan in row 3"),
    "nan": (np.array([[1, 2], [3, np.nan]]), GOOD_Y[:2], None, r"X is nan in row 1, column 1"),
    "inf": (np.array([[np.inf, 2], [3, 4]]), GOOD_Y[:2], None, r"X is inf in row 0, column 0"),
    "wrong d": (GOOD_X[:, :1], GOOD_Y, None, r"X has 1 features \(columns\), but w has 2"),
    "empty": (GOOD_X[:0], GOOD_Y[:0], None, r"there is no example in it"),
    "one example": (GOOD_X[0], GOOD_Y[0], None, r"X must have shape \(m, d\).*X\[None\]"),
    "text": (np.array([["a", "b"]]), GOOD_Y[:1], None, r"features must be numbers"),
    "weight < 0": (GOOD_X, GOOD_Y, np.array([1, 1, -1, 1]), r"sample_weight is -1 in row 2"),
    "weights 0": (GOOD_X, GOOD_Y, np.zeros(4), r"sample_weight is 0 everywhere"),
    "weights (m, 1)": (GOOD_X, GOOD_Y, np.ones((4, 1)), r"sample_weight has shape \(4, 1\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_before_anything_is_traced(monkeypatch, case):
    X, y, s, message = BAD[case]
    monkeypatch.setattr(core, "forward", lambda *_: pytest.fail("traced"))
    with pytest.raises(ValueError, match=message):
        jaxlr.loss_and_grads(core.zeros(2), X, y, s)


@pytest.mark.parametrize("l2", [-1.0, np.nan, np.inf, np.ones(2)])
def test_bad_penalties_are_refused(l2):
    with pytest.raises(ValueError, match="l2"):
        jaxlr.loss_and_grads(core.zeros(2), GOOD_X, GOOD_Y, l2=l2)


def test_misshapen_parameters_are_refused():
    with pytest.raises(ValueError, match=r"w is \(2, 1\)"):
        jaxlr.loss_and_grads(Params(jnp.zeros((2, 1)), jnp.zeros(())), GOOD_X, GOOD_Y)


def test_it_can_be_jitted_mapped_and_closed_over():
    params, X, y = problem(30, 3, np.float32)
    expected = jaxlr.loss_and_grads(params, X, y)[1].w
    np.testing.assert_allclose(jax.jit(jaxlr.loss_and_grads)(params, X, y)[1].w, expected)
    many = jax.tree.map(lambda v: jnp.stack([v, v * 2]), params)
    mapped = jax.vmap(lambda p: jaxlr.loss_and_grads(p, X, y)[1].w)(many)
    np.testing.assert_allclose(mapped[0], expected, rtol=1e-5, atol=1e-7)


def test_one_shape_is_traced_once(monkeypatch):
    traced = []
    original = core.forward
    monkeypatch.setattr(core, "forward", lambda *a: (traced.append(1), original(*a))[1])
    params, X, y = problem(37, 5, np.float32)
    for factor in (1.0, 2.0, 3.0):
        jaxlr.loss_and_grads(params, X * np.float32(factor), y, l2=factor)
    assert len(traced) == 1
