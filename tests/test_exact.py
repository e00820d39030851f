"""Values in arbitrary precision, and derivatives by differences that are refused at a kink."""

import sys
from fractions import Fraction

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from mpmath import mp

from jaxlr.check.exact import Unresolved, Unsupported, evaluate, second, slope
from jaxlr.check.exact.arrays import exact
from jaxlr.check.exact.differences import _run_alike
from jaxlr.check.exact.trace import Traced

POINTS = [0.0, 1e-300, 1e-30, 1e-5, 0.3, 0.9, 1 - 2**-53, 1.0, 1.5, 2.0, 10.0, 20.0, 800.0, 1e4]
POINTS = np.array([*POINTS, *(-v for v in POINTS[1:])])
SPECIAL = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 0.5, np.inf, -np.inf, np.nan])
BY_MPMATH = {
    "exp": mp.exp,
    "exp2": lambda x: mp.mpf(2) ** x,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "logistic": lambda x: 1 / (1 + mp.exp(-x)),
    "tanh": mp.tanh,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tan": mp.tan,
    "sin": mp.sin,
    "cos": mp.cos,
    "asin": mp.asin,
    "acos": mp.acos,
    "atan": mp.atan,
    "asinh": mp.asinh,
    "acosh": mp.acosh,
    "atanh": mp.atanh,
    "sqrt": mp.sqrt,
    "rsqrt": lambda x: 1 / mp.sqrt(x),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "erf": mp.erf,
    "erfc": mp.erfc,
    "lgamma": lambda x: mp.re(mp.loggamma(x)),
    "digamma": mp.digamma,
    "square": lambda x: x * x,
    "neg": lambda x: -x,
    "abs": abs,
    "sign": mp.sign,
}


def one(f, x, digits=50):
    """Value of f at a Python number."""
    return evaluate(f, np.array([x]), digits=digits)[0]


def truth(function, x):
    """Value by mpmath with 1,000 digits, None out of the domain."""
    try:
        with mp.workdps(1000):
            value = function(mp.mpf(x))
    except (ValueError, ZeroDivisionError):
        return None
    return value if isinstance(value, mp.mpf) and mp.isfinite(value) else None


def assert_close(got, expected, digits=49):
    with mp.workdps(1000):
        assert abs(got - expected) <= mp.mpf(10) ** -digits * abs(expected), (got, expected)


SLOW = "lgamma", "digamma"  # seconds each, in mpmath


@pytest.mark.parametrize(
    "name",
    [pytest.param(v, marks=pytest.mark.thorough if v in SLOW else ()) for v in BY_MPMATH],
)
def test_functions_of_one_number_are_right_to_all_digits(name):
    known = 0
    for x in POINTS:
        expected = truth(BY_MPMATH[name], x)
        if expected is not None and (name != "erfc" or x < 30):  # there mpmath's is not
            assert_close(one(getattr(lax, name), x), expected)
            known += 1
    assert known >= 7


@pytest.mark.parametrize("name", [*BY_MPMATH, "erf_inv", "is_finite"])
def test_what_is_no_number_is_as_in_jax(name):
    f = getattr(lax, name)
    with jax.enable_x64(True):
        expected = np.asarray(f(jnp.asarray(SPECIAL)))
    got = evaluate(f, SPECIAL, digits=20).astype(float)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("x", [1e-300, 1e-9, 0.3, -0.7, 0.999, 1 - 2**-53])
def test_erf_inv_inverts_erf(x):
    y = one(lax.erf_inv, x)
    with mp.workdps(200):
        back = 1 - mp.mpf(x) if x > 0.5 else mp.mpf(x)
        assert_close(mp.erfc(y) if x > 0.5 else mp.erf(y), back, digits=47)


def test_erfc_far_out_is_its_asymptotic_series():
    x = mp.mpf(2) ** 600
    y = one(lambda x: lax.log(lax.erfc(x)), float(x))
    with mp.workdps(500):
        assert_close(y, -x * x - mp.log(x * mp.sqrt(mp.pi)))


GRID = [0.0, 1.0, -1.0, 0.5, -2.5, 3.0, -3.0, 1e10, np.inf, -np.inf, np.nan]
GRID = np.array(np.meshgrid(GRID, GRID)).reshape(2, -1)
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "atan2": np.arctan2,
    "rem": np.fmod,
    "max": np.maximum,
    "min": np.minimum,
    **dict(eq=np.equal, ne=np.not_equal, lt=np.less, le=np.less_equal),
    **dict(gt=np.greater, ge=np.greater_equal),
}


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers_agree_with_numpy(name):
    x, y = GRID
    with np.errstate(all="ignore"):
        expected = BINARY[name](x, y)
    got = evaluate(getattr(lax, name), x, y, digits=20).astype(float)
    np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_powers():
    for x, y in [(2.0, 0.5), (1e-300, 0.3), (10.0, 1e5), (0.1, -7.3), (1 + 2**-52, 1e18)]:
        got = evaluate(lax.pow, np.float64(x), np.float64(y))[()]
        assert_close(got, truth(lambda x, y=y: x ** mp.mpf(y), x))
    assert [float(one(lambda x, n=n: lax.integer_pow(x, n), -3.0)) for n in (3, -2)] == [-27, 1 / 9]
    assert mp.isinf(one(lambda x: lax.integer_pow(x, -1), 0.0))


def test_steps_between_integers():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1.4999, -0.1, 1e20, np.inf])
    even, away = lax.RoundingMethod.TO_NEAREST_EVEN, lax.RoundingMethod.AWAY_FROM_ZERO
    assert evaluate(lax.floor, x).tolist() == np.floor(x).tolist()
    assert evaluate(lax.ceil, x).tolist() == np.ceil(x).tolist()
    assert evaluate(lambda x: lax.round(x, even), x).tolist() == np.rint(x).tolist()
    expected = (np.sign(x) * np.floor(abs(x) + 0.5)).tolist()
    assert evaluate(lambda x: lax.round(x, away), x).tolist() == expected
    whole = evaluate(lambda x: x.astype(jnp.int32), np.append(x, np.nan))
    assert whole.dtype == np.int32
    assert whole.tolist() == [-2, -1, 0, 0, 1, 2, 1, 0, 2**31 - 1, 2**31 - 1, 0]
    assert evaluate(lambda x: x.astype(bool), np.array([0.0, 0.1])).tolist() == [False, True]


def test_clamp_and_select():
    x = np.array([-3.0, 0.5, 9.0, np.nan])
    got = evaluate(lambda x: lax.clamp(jnp.float64(0), x, jnp.float64(1)), x)
    np.testing.assert_array_equal(got.astype(float), [0, 0.5, 1, np.nan])
    which = np.array([2, 0, 1, 1], np.int32)
    got = evaluate(lambda w, x: lax.select_n(w, x, x + 1, x + 2), which, x)
    np.testing.assert_array_equal(got.astype(float), [-1, 0.5, 10, np.nan])


def fractions(v):
    return np.vectorize(Fraction, otypes=[object])(v)


def test_products_and_sums_are_exact():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 2, 5))
    got = evaluate(lambda x, y: jnp.einsum("bik,kbj->bij", x, y), x, y)
    expected = np.matmul(fractions(x), fractions(y.transpose(1, 0, 2)))
    for g, e in zip(got.ravel(), expected.ravel(), strict=True):
        assert_close(g, mp.mpf(e.numerator) / e.denominator, digits=15)
        with mp.workdps(100):
            assert_close(g, mp.mpf(e.numerator) / e.denominator, digits=60)
    outer = evaluate(lambda x, y: jnp.tensordot(x, y, axes=(2, 0)), x, y)
    np.testing.assert_allclose(outer.astype(float), np.tensordot(x, y, axes=(2, 0)), rtol=1e-13)
    total = evaluate(lambda x: x.sum(axis=(0, 2)), x)
    assert [Fraction(*v.as_integer_ratio()) for v in map(float, total)] == pytest.approx(
        [Fraction(v) for v in fractions(x).sum(axis=(0, 2))], rel=1e-16
    )
    assert evaluate(lambda x: jnp.sum(x), np.array([1e300, 1.0, -1e300]))[()] == 1
    assert evaluate(jnp.dot, np.ones(3), np.array([1e200, 1e-200, -1e200]))[()] == mp.mpf(1e-200)
    assert evaluate(lambda x: x.sum(), np.zeros((0,)))[()] == 0


WITH_NAN = np.array([[3.0, -1.0, 3.0], [0.5, np.nan, 2.0]])
REDUCE = {
    "max": lambda x: x.max(axis=1),
    "min": lambda x: x.min(axis=0),
    "prod": lambda x: x.prod(axis=1),
    "argmax": lambda x: jnp.argmax(x, axis=1),
    "argmin": lambda x: jnp.argmin(x, axis=0),
    "any": lambda x: (x > 2.5).any(axis=1),
    "all": lambda x: (x > -9).all(axis=1),
    "cumsum": lambda x: lax.cumsum(x, axis=1),
    "cumsum reverse": lambda x: lax.cumsum(x, axis=0, reverse=True),
    "cumprod": lambda x: lax.cumprod(x, axis=1),
    "cummax": lambda x: lax.cummax(x, axis=1),
    "cummin": lambda x: lax.cummin(x, axis=1, reverse=True),
    "sort": lambda x: jnp.sort(x, axis=1),
    "sort pairs": lambda x: lax.sort((x, jnp.arange(6.0).reshape(2, 3)), dimension=0, num_keys=1),
    "top_k": lambda x: lax.top_k(x, 2),
}
AT = np.array([[2, 0], [0, 7], [-1, 1]], np.int32)
MOVE = {
    "reshape": lambda x: x.reshape(4, 3).T,
    "squeeze": lambda x: jnp.squeeze(jnp.expand_dims(x, 1), 1),
    "broadcast": lambda x: jnp.broadcast_to(x[:, None], (3, 2, 4)),
    "concatenate": lambda x: jnp.concatenate([x, 2 * x], axis=1),
    "stack": lambda x: jnp.stack([x, x + 1], axis=1),
    "split": lambda x: jnp.split(x, 2, axis=1),
    "pad": lambda x: lax.pad(x, x[0, 0], [(1, -1, 2), (-1, 2, 0)]),
    "slice": lambda x: lax.slice(x, (0, 1), (3, 4), (2, 2)),
    "dynamic slice": lambda x: lax.dynamic_slice(x, (2, 1), (2, 2)),
    "dynamic update": lambda x: lax.dynamic_update_slice(x, -x[:2, :2], (2, 3)),
    "reverse": lambda x: x[::-1, ::-1],
    "tile": lambda x: jnp.tile(x, (2, 1)),
    "iota": lambda x: x + lax.broadcasted_iota(x.dtype, (3, 4), 1),
    "take fill": lambda x: jnp.take(x, AT, axis=0, mode="fill", fill_value=-7),
    "take nan": lambda x: x.at[AT[:, 0], AT[:, 1]].get(mode="fill"),
    "take clip": lambda x: jnp.take(x, AT, axis=1, mode="clip"),
    "take along": lambda x: jnp.take_along_axis(x, AT[:, :1], axis=1),
    "set": lambda x: x.at[AT[:, 0], AT[:, 1]].set(9, mode="drop"),
    "add": lambda x: x.at[AT[:, 0]].add(x[:3] * 2, mode="drop"),
    "add twice": lambda x: x.at[jnp.array([1, 1, 5])].add(x),
    "multiply": lambda x: x.at[:, AT[:, 1]].multiply(3, mode="clip"),
    "min": lambda x: x.at[1].min(4.0),
    "max": lambda x: x.at[:, 2].max(4.0),
    "segment sum": lambda x: jax.ops.segment_sum(x, jnp.array([1, 0, 1]), num_segments=2),
    "batched": lambda x: jax.vmap(lambda r, i: r.at[i].add(r[i] * 2))(x, jnp.arange(3)),
}
CONTROL = {
    "cond": lambda x: lax.cond(x[0, 0] > 0, lambda v: -v, lambda v: 2 * v, x),
    "switch": lambda x: lax.switch(x[0, 1].astype(int) + 9, [jnp.abs, jnp.square], x),
    "while": lambda x: lax.while_loop(lambda v: v.sum() < 1e3, lambda v: v * 2, x),
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, v: v * i.astype(v.dtype) + x[i], x),
    "scan": lambda x: lax.scan(lambda c, r: (c * 0.5 + r.sum(), (c, r[0] > 2)), 0.0 * x[0, 0], x),
    "scan reverse": lambda x: lax.scan(lambda c, r: (c + r, c), x[0], x, reverse=True),
    "scan without rows": lambda x: lax.scan(lambda c, r: (c, c), x, jnp.arange(0)),
    "map": lambda x: lax.map(lambda r: r * r[0], x),
    "jit": lambda x: jax.jit(lambda v: jax.jit(jnp.square)(v) + 1)(x),
    "remat": lambda x: jax.checkpoint(lambda v: v * v)(x),
    "vmap": lambda x: jax.vmap(lambda r: r[::-1] * r.sum())(x),
    "barrier": lambda x: lax.optimization_barrier((x, x + 1)),
    "gradient": jax.grad(lambda x: (x[:2] ** 3).sum() + x[1] @ x[2]),
    "random": lambda x: x * jax.random.bernoulli(jax.random.key(0), 0.5, x.shape).astype(x.dtype),
    "key": lambda x: x[jax.random.randint(jax.random.key(1), (), 0, 3)],
}


def assert_as_jax(f, x):
    with jax.enable_x64(True):
        expected = jax.tree.map(np.asarray, jax.jit(f)(x))  # one program, not one an operation
    got = evaluate(f, x, digits=20)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for g, e in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert g.shape == e.shape
        assert g.dtype == (object if e.dtype == np.float64 else e.dtype)
        np.testing.assert_array_equal(g.astype(e.dtype), e)


@pytest.mark.parametrize("name", REDUCE)
def test_reductions_agree_with_jax(name):
    assert_as_jax(REDUCE[name], WITH_NAN)


@pytest.mark.relaxed
@pytest.mark.parametrize("name", [*MOVE, *CONTROL])
def test_moves_and_control_flow_agree_with_jax(name):
    assert_as_jax({**MOVE, **CONTROL}[name], np.arange(12.0).reshape(3, 4) / 2 + 1)


def test_cumlogsumexp():
    got = evaluate(lambda x: lax.cumlogsumexp(x), np.array([-1000.0, 0.0, 1000.0]))
    e = truth(lambda x: mp.exp(x), 1000.0)
    with mp.workdps(1000):
        for g, sum_ in zip(got, [1 / e, 1 / e + 1, 1 / e + 1 + e], strict=True):
            assert_close(g, mp.log(sum_))


def test_normal_numbers_are_made_of_bits():
    def f(x):
        return x + jax.random.normal(jax.random.key(3), (4,), jnp.float32)

    got = evaluate(f, np.zeros(4, np.float32)).astype(float)
    np.testing.assert_allclose(got, f(jnp.zeros(4)), rtol=1e-6)


def test_arguments_and_types_are_exact_and_nothing_rounds():
    for dtype in (np.float32, jnp.bfloat16, np.float16):
        x = np.array(0.1, dtype)
        assert evaluate(lambda x: x, x)[()] == float(x)
        narrow = evaluate(lambda x: jnp.exp(x.astype(jnp.float16)).astype(jnp.float32), x)
        assert_close(narrow[()], truth(mp.exp, float(x)))
    assert evaluate(lambda x: x, 0.1)[()] == 0.1
    tenth = evaluate(lambda x: x * 0.1, np.ones(1, np.float32))  # the constant is float32's
    assert tenth[0] == float(np.float32(0.1))
    assert evaluate(lambda x: lax.reduce_precision(x, 5, 3), 0.1)[()] == 0.1


def test_a_custom_rule_is_its_body():
    @jax.custom_jvp
    def f(x):
        return jnp.tanh(x)

    @jax.custom_vjp
    def g(x):
        return f(x) * 2

    f.defjvp(lambda p, t: (p[0] * 100, t[0] * 7))
    g.defvjp(lambda x: (x * 1000, None), lambda _, c: (c * 9,))
    assert_close(one(g, 0.3), truth(lambda x: 2 * mp.tanh(x), 0.3))
    found = slope(g, (np.float64(0.3),), (1.0,))
    assert_close(found.value[()], truth(lambda x: 2 * mp.sech(x) ** 2, 0.3), digits=20)


def test_trees_static_arguments_and_named_values():
    def f(params, power, kind):
        z = checkpoint_name(params["w"] @ params["x"], "z")
        a = checkpoint_name(jax.jit(lambda z: checkpoint_name(jnp.exp(z), "a"))(z), "a")
        return {"L": a**power, kind: jnp.arange(3)}

    params = {"w": np.array([1.0, 2.0]), "x": np.array([0.5, 0.25])}
    record = {}
    got = evaluate(f, params, 2, "kind", record=record)
    assert_close(got["L"][()], truth(mp.exp, 2.0))
    assert got["kind"].tolist() == [0, 1, 2]
    assert [v[()] for v in record["z"]] == [1]
    assert record["a"] == [record["a"][0]] * 2


def test_nothing_global_changes():
    before = mp.prec, jax.config.jax_enable_x64
    evaluate(jnp.exp, np.array([1.0]))
    slope(jnp.exp, (np.array([1.0]),), (np.ones(1),))
    assert (mp.prec, jax.config.jax_enable_x64) == before


def test_lost_terms_are_found_again():
    assert_close(one(lambda x: (1 + x) - 1, 1e-300), mp.mpf(1e-300))
    assert_close(one(lambda x: (1 + x) - (1 + 2 * x), 1e-100), -mp.mpf(1e-100))
    assert_close(
        one(lambda x: -jnp.log(1 - jax.nn.sigmoid(x)), 800.0, digits=400),
        truth(lambda x: mp.log1p(mp.exp(x)), 800.0),
        digits=400,
    )
    assert_close(one(lambda x: 1 - jnp.tanh(x), 300.0), truth(lambda x: 1 - mp.tanh(x), 300.0))
    assert_close(one(lambda x: 1 - lax.erf(x), 20.0), truth(mp.erfc, 20.0))
    assert_close(one(lambda x: jnp.exp(x) - 1, 1e-200), truth(mp.expm1, 1e-200))
    zero = evaluate(lambda x: jax.nn.softmax(x * jnp.arange(3.0)).sum() - 1, np.float64(1.1))
    assert abs(zero[()]) < mp.mpf(2) ** -1100


def test_huge_exponents_end():
    assert mp.mag(one(jnp.exp, 1e30)) == pytest.approx(1e30 / np.log(2))
    assert mp.isinf(one(lambda x: jnp.exp(jnp.exp(jnp.exp(x))), 1e3))
    assert one(lambda x: jnp.exp(-jnp.exp(jnp.exp(x))), 1e3) == 0
    assert_close(one(jnp.sin, 1e300), truth(mp.sin, 1e300))
    assert mp.isnan(one(lambda x: jnp.sin(x * x * x * x), 1e300))
    with pytest.raises(Unresolved, match="rounding decides"):
        one(lambda x: -jnp.log(1 - jax.nn.sigmoid(x)), 1e30)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.where(jnp.sqrt(x) ** 2 >= x, x, 2 * x),
        lambda x: jnp.where(x / 3 * 3 - x > 0, x, 2 * x),
        lambda x: jnp.floor(x / 3 * 3),
        lambda x: jnp.round(x / 3 * 1.5),
        lambda x: jnp.sign(x / 3 * 3 - x),
    ],
)
def test_ties_of_rounded_numbers_are_refused(f):
    with pytest.raises(Unresolved, match=r"test_exact\.py:\d+ .* equal but for rounding"):
        evaluate(f, np.arange(2.0, 30.0))  # some are not rounded right


@pytest.mark.parametrize("z", [-1e-300, -5e-324, 0.0, 1e-80, 300.0, 2000.0, 5000.0])
def test_small_numbers_are_not_ties(z):
    got = one(lambda x: jnp.where(jnp.exp(-abs(x)) > 0, jnp.sign(x) + jnp.floor(-x * x), 9), z)
    assert got == mp.sign(z) + mp.floor(-(mp.mpf(z) ** 2))


def test_what_has_no_rule_is_refused_by_name_and_place():
    x = np.ones((1, 1, 4), np.float32)
    for f, name in [
        (lambda x: lax.conv(x, x, (1,), "SAME"), "conv_general_dilated"),
        (lambda x: lax.nextafter(x, x), "nextafter"),
        (lambda x: lax.bitcast_convert_type(x, jnp.int32), "bitcast_convert_type"),
        (lambda x: jax.jit(lambda v: lax.scan(lambda c, r: (c, lax.lgamma(c) * lax.bessel_i1e(r)),
                                              v[0, 0, 0], v[0, 0]))(x), "bessel_i1e"),
    ]:  # fmt: skip
        with pytest.raises(Unsupported, match=rf"{name} has no rule .*test_exact\.py:\d+ "):
            evaluate(f, x)
    with pytest.raises(Unsupported, match="complex"):
        evaluate(lambda x: jnp.real(lax.complex(x, x)), x)


def test_a_loop_that_waits_for_rounding_is_refused(monkeypatch):
    monkeypatch.setattr("jaxlr.check.exact.interpret._MOST_TURNS", 50)
    with pytest.raises(Unsupported, match="while has not ended after 50 turns"):
        one(lambda x: lax.while_loop(lambda v: (1 + v != 1).all(), lambda v: v / 2, x), 1.0)


def test_mpmath_is_asked_for_by_the_name_of_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpmath", None)
    with pytest.raises(ImportError, match=r"jaxlr\[check\]"):
        evaluate(jnp.exp, 1.0)


# Derivatives.

Z = np.array([-800.0, -20.0, 0.0, 1e-300, 20.0, 800.0])


def sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def d_sigmoid(z):
    return mp.exp(-abs(z)) / (1 + mp.exp(-abs(z))) ** 2


def d2_sigmoid(z):
    return d_sigmoid(z) * (sigmoid(-z) - sigmoid(z))


SMOOTH = {
    "sigmoid": (jax.nn.sigmoid, d_sigmoid, d2_sigmoid),
    "by parts": (
        lambda z: jnp.where(z >= 0, 1 / (1 + jnp.exp(-z)), jnp.exp(z) / (1 + jnp.exp(z))),
        d_sigmoid,
        d2_sigmoid,
    ),
    "softplus": (jax.nn.softplus, sigmoid, d_sigmoid),
    "log1p(exp)": (lambda z: jnp.log1p(jnp.exp(z)), sigmoid, d_sigmoid),
    "max form": (
        lambda z: jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z))),
        sigmoid,
        d_sigmoid,
    ),
    "textbook": (lambda z: -jnp.log(1 - 1 / (1 + jnp.exp(-z))), sigmoid, d_sigmoid),
    "tanh": (jnp.tanh, lambda z: mp.sech(z) ** 2, lambda z: -2 * mp.tanh(z) * mp.sech(z) ** 2),
    "exp": (jnp.exp, mp.exp, mp.exp),
}


def assert_slopes(found, expected, digits=20):
    """Every value is smooth and right to so many digits, or as near 0 as its error says."""
    values = zip(found.value.ravel(), found.error.ravel(), expected, strict=True)
    assert found.smooth.all()
    with mp.workdps(1000):
        for got, error, e in values:
            assert error < mp.mpf(10) ** -70 or error <= abs(e) * mp.mpf(10) ** -digits
            assert abs(got - e) <= max(error, abs(e) * mp.mpf(10) ** -digits)


@pytest.mark.relaxed
@pytest.mark.parametrize("name", SMOOTH)
def test_slopes_are_those_of_the_closed_form(name):
    f, d, d2 = SMOOTH[name]
    factors = (1, d), (2, d), (-3, d2)
    with mp.workdps(1000):
        first, twice, curvature = ([k * g(mp.mpf(z)) for z in Z] for k, g in factors)
    assert_slopes(slope(f, (Z,), (np.ones(6),)), first)
    for z, e1, e2 in zip(Z, twice, curvature, strict=True):  # each with its own step
        assert_slopes(slope(f, (z,), (2.0,)), [e1])
        assert_slopes(second(f, (z,), (1.0,), (-3.0,)), [e2])


@pytest.mark.parametrize(
    ("f", "x", "left", "right"),
    [
        (jnp.abs, 0.0, -1, 1),
        (jax.nn.relu, 0.0, 0, 1),
        (lambda x: 1 + 1e-300 * jnp.abs(x), 0.0, -mp.mpf(1e-300), mp.mpf(1e-300)),
        (lambda x: jnp.maximum(x, 2 - x), 1.0, -1, 1),
        (lambda x: jnp.abs(jnp.sin(x)) + x * x, 0.0, -1, 1),
        (lambda x: jnp.abs(x - 3) * 1e-30 + x, 3.0, 1 - mp.mpf(1e-30), 1 + mp.mpf(1e-30)),
    ],
)
def test_a_kink_is_refused_and_has_two_sides(f, x, left, right):
    found = slope(f, (np.float64(x),), (1.0,))
    assert not found.smooth
    assert mp.isnan(found.value[()])
    assert_close(found.left[()], mp.mpf(left), digits=20) if left else None
    assert_close(found.right[()], mp.mpf(right), digits=20)


@pytest.mark.relaxed
@pytest.mark.parametrize(
    ("f", "x"),
    [
        (jnp.floor, 2.0),
        (lambda x: jnp.where(x >= 1, 2.0, 1.0), 1.0),
        (lambda x: jnp.where(x == 1, 5.0, x), 1.0),
        (lambda x: (x > 1).astype(int), 1.0),
        (jnp.sqrt, 0.0),
        (jnp.cbrt, 0.0),
        (jnp.log, 0.0),
        (lambda x: jnp.sin(x) / x, 0.0),  # 0 / 0
        (lambda x: x * jnp.log(x), 0.0),
        (lambda x: -jnp.log(1 - jax.nn.sigmoid(x)), 1e30),  # rounding decides
    ],
)
def test_where_there_is_no_slope_the_value_is_nan(f, x):
    found = slope(f, (np.float64(x),), (1.0,))
    assert not found.smooth
    assert mp.isnan(found.value[()])


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (jnp.cos, 0.0),
        (lambda x: x**3, 0.0),
        (lambda x: x * jnp.abs(x), 0.0),
        (lambda x: jnp.maximum(0, 1 - x) ** 2, 1.0),
        (jax.nn.relu, -5.0),
        (lambda x: jax.nn.relu(x - 1e-30), 0.0),
        (lambda x: jax.nn.sigmoid(x) + jax.nn.sigmoid(-x), 3.0),
        (lambda x: jax.nn.softmax(x * jnp.arange(3.0)).sum() - 1, 1.0),
        (lambda x: (x > 1).astype(int), 3.0),
    ],
)
@pytest.mark.relaxed
def test_a_slope_of_zero_is_smooth_and_says_how_near(f, x):
    assert_slopes(slope(f, (np.float64(x),), (1.0,)), [0])


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 300.0, 1e30])
def test_logsumexp_and_softmax_cross_entropy(size):
    rng = np.random.default_rng(1)
    x, u, v = rng.normal(size=(3, 5))
    x = size * x

    def loss(x):
        return jax.nn.logsumexp(x) - jax.nn.log_softmax(x)[2]

    with mp.workdps(1500):
        top = max(x)
        e = [mp.exp(mp.mpf(t) - mp.mpf(top)) for t in x]
        p = [t / mp.fsum(e) for t in e]
        along_u, along_v = (mp.fdot(p, map(mp.mpf, w)) for w in (u, v))
        both = mp.fdot(p, [mp.mpf(a) * mp.mpf(b) for a, b in zip(u, v, strict=True)])
        first, curvature = 2 * along_u - mp.mpf(u[2]), 2 * (both - along_u * along_v)
    assert_slopes(slope(loss, (x,), (u,)), [first])
    assert_slopes(second(loss, (x,), (u,), (v,)), [curvature], digits=19)


def test_layer_norm():
    rng = np.random.default_rng(2)
    x, v = rng.normal(size=(2, 4))
    eps = 1e-5

    def norm(x):
        return (x - x.mean()) / jnp.sqrt(x.var() + eps)

    def at(t, i):
        y = [mp.mpf(a) + t * mp.mpf(b) for a, b in zip(x, v, strict=True)]
        mean = mp.fsum(y) / 4
        return (y[i] - mean) / mp.sqrt(mp.fsum((a - mean) ** 2 for a in y) / 4 + mp.mpf(eps))

    with mp.workdps(60):
        expected = [mp.diff(lambda t, i=i: at(t, i), 0) for i in range(4)]
        bent = [mp.diff(lambda t, i=i: at(t, i), 0, 2) for i in range(4)]
    assert_slopes(slope(norm, (x,), (v,)), expected)
    assert_slopes(second(norm, (x,), (v,), (v,)), bent)


def test_a_recurrence():
    X = np.linspace(-1, 1, 6)

    def last(w, X):
        return lax.scan(lambda h, x: (jnp.tanh(w * h + x), h), 0.0 * w, X)[0]

    def at(w):
        h = mp.mpf(0)
        for x in X:
            h = mp.tanh(w * h + mp.mpf(x))
        return h

    with mp.workdps(60):
        expected = mp.diff(at, mp.mpf(0.7)), mp.diff(at, mp.mpf(0.7), 2)
    assert_slopes(slope(last, (np.float64(0.7), X), (1.0, None)), expected[:1])
    assert_slopes(second(last, (np.float64(0.7), X), (1.0, None), (1.0, None)), expected[1:])


def test_arguments_of_all_sizes_move_together():
    w, v = np.array([1e30, 1e-300, 0.0, 5e-324]), np.array([1e30, 1e-300, 3.0, 1e-320])

    def f(w):
        return jnp.sum(w * w) + w[0] * w[3]

    with mp.workdps(1000):
        a, b = ([mp.mpf(t) for t in x] for x in (w, v))
        expected = 2 * mp.fdot(a, b) + a[0] * b[3] + a[3] * b[0]
    assert_slopes(slope(f, (w,), (v,)), [expected])
    assert_slopes(slope(lambda w: w[3] ** 2, (w,), (v,)), [2 * a[3] * b[3]])


def test_angles_near_their_limits():
    for x, y in [(1e-300, 1.0), (-1.0, 1e-200), (-1e-200, -1.0), (2.0, 1e-300)]:
        a, b = mp.mpf(x), mp.mpf(y)
        with mp.workdps(1000):
            expected = (3 * a - 2 * b) / (a * a + b * b)
        args, way = (np.float64(y), np.float64(x)), (3.0, 2.0)
        assert_slopes(slope(jnp.arctan2, args, way), [expected])


def test_a_slope_that_rounding_hides_is_not_0(monkeypatch):
    assert slope(jax.nn.sigmoid, (1e-300,), (1.0,)).smooth
    monkeypatch.setattr("jaxlr.check.exact.functions.Functions.note", lambda self, gap: None)
    assert not slope(jax.nn.sigmoid, (1e-300,), (1.0,)).smooth


def test_points_are_rounded_alike_when_a_gap_is_found_at_the_last():
    traced = Traced(lambda x: 1 + x / 3, (1.0,))
    points = [[exact(np.float64(x))] for x in (1.0, 1e-200)]
    first = _run_alike(traced, points, bits=100, seed=0)
    again = _run_alike(traced, points, bits=100, seed=0)
    assert [v[0].tolist() for v in first] == [v[0].tolist() for v in again]


def test_second_derivatives_that_are_not_there():
    three = np.array([0.0, 1.0, -1.0])
    found = second(lambda x: x * jnp.abs(x), (three,), (np.ones(3),), (np.ones(3),))
    assert found.smooth.tolist() == [False, True, True]
    assert (float(found.left[0]), float(found.right[0])) == (-2, 2)

    def f(x, y):
        return jnp.stack([abs(x) * y, abs(x) + y * y, abs(x) * y * y * x, x * y, jnp.exp(x * y)])

    found = second(f, (np.float64(0), np.float64(1)), (1.0, None), (None, 1.0))
    assert found.smooth.tolist() == [False, False, True, True, True]
    assert_slopes(jax.tree.map(lambda v: v[2:], found), [0, 1, 1])


@pytest.mark.parametrize(
    ("direction", "error", "message"),
    [
        ((np.ones(2),), ValueError, "the arguments are"),
        ((np.ones(3), None), ValueError, r"args\[0\] has shape \(2,\)"),
        ((np.zeros(2), None), ValueError, "moves no argument"),
        ((np.ones(2), np.ones(2)), TypeError, r"args\[1\] is not floating point"),
    ],
)
def test_a_direction_that_does_not_fit(direction, error, message):
    with pytest.raises(error, match=message):
        slope(lambda x, n: x, (np.ones(2), np.arange(2)), direction)


def test_integers_may_be_told_that_they_do_not_move():
    for still in (None, np.zeros(2, jax.dtypes.float0), np.zeros(2, np.int64)):
        found = slope(lambda x, n: x[n], (np.ones(2), np.arange(2)), (np.ones(2), still))
        assert found.value.tolist() == [1, 1]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=4),
    st.sampled_from([-1.0, 0.5, 3.0]),
)
def test_the_error_is_a_bound(z, scale):
    z = np.array(z)

    def f(z):
        return jnp.tanh(jax.nn.logsumexp(z) / 64) * jax.nn.sigmoid(z[0])

    def at(z):
        a = mp.log(mp.fsum(mp.exp(t) for t in z)) / 64
        p = mp.exp(z[0] - 64 * a)
        return mp.sech(a) ** 2 / 64 * p * sigmoid(z[0]) + mp.tanh(a) * d_sigmoid(z[0])

    found = slope(f, (z,), (scale * np.eye(len(z))[0],))
    with mp.workdps(1500):
        assert_slopes(found, [scale * at([mp.mpf(t) for t in z])])


def test_mpmath_of_the_caller_is_what_comes_out():
    assert isinstance(evaluate(jnp.exp, 1.0)[()], mpmath.mpf)
