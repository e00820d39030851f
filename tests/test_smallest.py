"""The smallest failing input: planted conditions must come out as small as they are."""

import subprocess
import sys
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.dtypes import float0

from jaxlr.check.smallest import as_code, boundary, smallest
from jaxlr.check.smallest.axes import dimensions
from jaxlr.check.smallest.literals import fill, number


class Params(NamedTuple):
    """Parameters of a linear model."""

    w: object
    b: object


def rows(n=50, d=6, dtype=np.float32):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(n, d)).astype(dtype), (rng.random(n) < 0.5).astype(np.int32)
    return Params(rng.normal(size=d).astype(dtype), dtype(0.3)), X, y


def loss(params, X, y):
    return jnp.logaddexp(0.0, X @ params.w + params.b) * (1 - y)


def shape_of(f):
    return lambda args: jax.eval_shape(f, *args)


def shrunk(args, cotangent, fails, f=loss, **limits):
    found = smallest(args, cotangent, fails, shape_of(f), seconds=60, **limits)
    assert fails(found.args, found.cotangent)
    out = jax.eval_shape(f, *found.args)
    assert jax.tree.map(jnp.shape, out) == jax.tree.map(jnp.shape, found.cotangent)
    return found


@pytest.mark.relaxed
@pytest.mark.parametrize("row", [0, 1, 23, 48, 49])
def test_one_row_and_one_feature_are_left(row):
    params, X, y = rows()
    X[row, 4] = 17.25

    def fails(args, c):
        return (args[1] > 16.64).any()

    found = shrunk((params, X, y), np.linspace(0.1, 2, 50, dtype=np.float32), fails)
    (w, b), X, y = found.args
    assert (w.tolist(), b, y.tolist()) == ([0.0], 0.0, [0])
    assert (X.tolist(), found.cotangent.tolist()) == ([[20.0]], [1.0])
    assert [v.dtype for v in (w, b, X, y)] == [np.float32] * 3 + [np.int32]


@pytest.mark.relaxed
@pytest.mark.parametrize("n", [9, 50, 64, 1000])
def test_a_fault_of_the_tail_keeps_as_many_rows_as_it_needs(n):
    params, X, y = rows(n)
    found = shrunk((params, X, y), np.ones(n, np.float32), lambda args, c: len(args[1]) > 8)
    assert found.args[1].shape == (9, 1)
    assert not np.asarray(found.args[1]).any()


@pytest.mark.relaxed
def test_rows_that_matter_together_are_kept_together():
    params, X, y = rows(40, 2)
    X[[7, 31], 1] = 5

    def fails(args, c):
        return (args[1] == 5).sum() >= 2 and args[1].shape[1] >= 1

    found = shrunk((params, X, y), np.ones(40, np.float32), fails)
    assert found.args[1].tolist() == [[5.0], [5.0]]


@pytest.mark.relaxed
@pytest.mark.parametrize(("i", "j"), [(0, 0), (5, 5), (2, 4)])
def test_rows_and_features_of_one_number_are_told_apart(i, j):
    params, X, y = rows(6, 6)
    X[i, j] = 100

    def fails(args, c):
        # The fault is in a column of its own index and in a row of another: w knows the column.
        return (args[1] == 100).any() and len(args[0].w) >= 2 and c[0] != 0

    found = shrunk((params, X, y), np.ones(6, np.float32), fails)
    assert found.args[1].shape == (1, 2)
    assert sorted(found.args[1].ravel().tolist()) == [0, 100]
    assert found.args[2].shape == found.cotangent.shape == (1,)


def square(A, x):
    return x @ A @ x


@pytest.mark.relaxed
def test_two_axes_of_one_leaf_are_cut_by_the_same_indices():
    A, x = np.diag(np.arange(1.0, 9.0)).astype(np.float32), np.ones(8, np.float32)

    def fails(args, c):
        return (np.diag(args[0]) == 6).any()

    found = shrunk((A, x), np.float32(2.5), fails, square)
    assert (found.args[0].tolist(), found.args[1].tolist()) == ([[6.0]], [0.0])
    assert found.cotangent == 1


@pytest.mark.relaxed
def test_dimensions_are_found_by_what_they_are_tied_to():
    params, X, y = rows(6, 6)
    leaves = (*params, X, y)  # w, b, X, y

    def fits(leaves):
        w, b, X, y = leaves
        try:
            jax.eval_shape(loss, Params(w, b), X, y)
        except (TypeError, ValueError):
            return False
        return True

    assert set(dimensions(leaves, fits)) == {((0, 0), (2, 1)), ((2, 0), (3, 0))}


def test_layers_of_one_width_are_cut_together_when_there_are_too_many_to_tell_apart():
    layers = [np.full((8, 8), i + 1, np.float32) for i in range(6)]

    def f(layers, x):
        for w in layers:
            x = x @ w
        return x

    x = np.ones((8, 8), np.float32)
    found = shrunk((layers, x), x, lambda args, c: args[0][5][0, 0] == 6, f)
    assert [w.tolist() for w in found.args[0]] == [[[0.0]]] * 5 + [[[6.0]]]
    assert found.args[1].shape == (1, 1)


def test_rows_folded_into_eights_are_cut_by_eights():
    x = np.arange(1, 65, dtype=np.float32)

    def f(x):
        return x.reshape(-1, 8).sum(axis=1)

    found = shrunk((x,), np.arange(1, 9, dtype=np.float32), lambda args, c: 44 in args[0], f)
    assert sorted(found.args[0].tolist()) == [0] * 7 + [44]
    assert found.cotangent.tolist() == [1]


def test_a_length_that_is_fixed_inside_stays():
    inside = np.ones(5, np.float32)

    def f(X):
        return X @ inside

    X = np.ones((30, 5), np.float32)
    found = shrunk((X,), np.ones(30, np.float32), lambda args, c: True, f)
    assert found.args[0].shape == (1, 5)


def test_what_the_function_refuses_is_not_smaller():
    def fails(args, c):
        if len(args[0]) % 4:
            raise ValueError("no multiple of the block")
        return True

    found = smallest(
        (np.ones(64, np.float32),), np.ones(64, np.float32), fails, lambda args: args[0]
    )
    assert found.args[0].shape == found.cotangent.shape == (4,)


def identity(x):
    return x


@pytest.mark.parametrize(
    ("value", "condition", "expected"),
    [
        (-0.0, lambda x: (np.signbit(x) & (x == 0)).any(), -0.0),
        (np.inf, np.isinf, np.inf),
        (np.nan, np.isnan, np.nan),
        (123.456, lambda x: x > 100, 120.0),
        (123.456, lambda x: x > 123, 123.456),
        (-7.77, lambda x: x < 0, -1.0),
        (0.0377, lambda x: (x != 0) & (x < 0.2), 0.1),
        (3e-42, lambda x: (x > 0) & (x < 1e-38), 1e-42),
        (65500.0, lambda x: (x > 3e4) & (x < 9e4), 70000.0),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_numbers_become_round(value, condition, expected, kind):
    x = kind(np.array([0.5, value, 2.0], np.float32))
    found = shrunk(
        (x,),
        np.full(3, 0.7, np.float32),
        lambda args, c: condition(np.asarray(args[0])).any(),
        identity,
    )
    assert np.asarray(found.args[0]).tobytes() == np.float32([expected]).tobytes()
    assert isinstance(found.args[0], type(x))
    assert found.cotangent.tolist() == [1.0]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes_and_kinds_stay(name):
    with jax.enable_x64(True):
        x = jnp.asarray(np.linspace(-3, 3, 20), name)
        c = jnp.asarray(np.linspace(1, 2, 20), name)

    def fails(args, c):
        return args[0].dtype == c.dtype == jnp.dtype(name) and (np.asarray(args[0]) > 1.5).any()

    found = shrunk((x,), c, fails, identity)
    assert isinstance(found.args[0], jax.Array)
    assert np.asarray(found.args[0]).astype(np.float32).tolist() == [3.0]


def test_the_largest_half_does_not_round_to_infinity():
    x = np.array([65504.0], np.float16)
    found = shrunk((x,), x, lambda args, c: np.isfinite(args[0]).all() and args[0] > 6e4, identity)
    assert found.args[0] == 65504


def test_integers_and_booleans_only_go_towards_zero():
    args = ({"n": np.array([3, -4, 9]), "on": np.array([True, True]), "k": 7, "how": "mean"},)

    def fails(args, c):
        return args[0]["n"].min() < 0 and args[0]["on"].any()

    def f(p):
        return jnp.float32(p["k"])

    found = smallest(args, np.float32(3), fails, lambda args: jax.eval_shape(lambda: f(*args)))
    p = found.args[0]
    assert (p["n"].tolist(), p["on"].tolist(), p["k"], p["how"]) == ([-1], [True], 7, "mean")


def test_a_cotangent_that_matters_is_kept():
    x, c = np.ones(12, np.float32), np.linspace(0.5, 1.5, 12, dtype=np.float32)
    found = shrunk((x,), c, lambda args, c: len(set(c.tolist())) > 1, identity)
    assert (found.args[0].tolist(), sorted(found.cotangent.tolist())) == ([0, 0], [0, 1])


def test_cotangents_of_integers_and_none_stay_and_fit():
    def f(x):
        return {"x": x, "order": jnp.argsort(x), "n": jnp.int32(0)}

    x = np.arange(10, dtype=np.float32)
    c = {"x": x, "order": np.zeros(10, float0), "n": None}
    found = smallest((x,), c, lambda args, c: 7 in args[0], shape_of(f))
    assert found.cotangent["x"].tolist() == [1.0]
    assert found.cotangent["order"].shape == (1,)
    assert found.cotangent["order"].dtype == float0
    assert found.cotangent["n"] is None


def test_an_output_of_another_length_gets_a_cotangent_that_fits():
    def f(x, y):
        return jnp.concatenate([x, x]), jnp.outer(x, y)

    x, y = np.arange(20, dtype=np.float32), np.arange(4, dtype=np.float32)
    c = np.arange(40, dtype=np.float32), np.ones((20, 4), np.float32)
    found = shrunk((x, y), c, lambda args, c: 13 in args[0], f)
    assert (found.args[0].tolist(), found.args[1].tolist()) == ([13.0], [0.0])
    assert jax.tree.map(np.shape, found.cotangent) == ((2,), (1, 1))


def test_nothing_to_shrink_is_an_error():
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="does not fail"):
        smallest((x,), x, lambda args, c: False, lambda args: args[0])
    with pytest.raises(ValueError, match=r"leaf 0 of the cotangent has shape \(2,\)"):
        smallest((x,), x[:2], lambda args, c: True, lambda args: args[0])


@pytest.mark.relaxed
def test_the_same_input_gives_the_same_answer():
    params, X, y = rows()

    def fails(args, c):
        return np.abs(args[1]).sum() > 20 and np.asarray(args[0].w).any()

    first, second = (shrunk((params, X, y), np.ones(50, np.float32), fails) for _ in range(2))
    assert str(first) == str(second)
    assert first.tried == second.tried < 1000


def test_no_input_is_tried_twice_and_limits_hold():
    asked, shapes = [], set()

    def fails(args, c):
        asked.append((args[0].tobytes(), c.tobytes()))
        shapes.add(args[0].shape)
        return len(args[0]) > 40  # 40 steps to get there

    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    found = smallest((x,), x, fails, lambda args: args[0], tries=200, shapes=9)
    assert found.tried == len(asked) == len(set(asked)) <= 200
    assert len(shapes) == 10
    assert (asked[-1][0] == asked[0][0]) is False


def test_time_ends_the_search():
    def fails(args, c):
        time.sleep(0.02)
        return len(args[0]) > 40

    x = np.random.default_rng(0).normal(size=64).astype(np.float32)
    start = time.monotonic()
    found = smallest((x,), x, fails, lambda args: args[0], seconds=0.3)
    assert time.monotonic() - start < 10
    assert found.tried < 30
    none = smallest((x,), x, fails, lambda args: args[0], seconds=0)
    assert (none.tried, none.args[0] is x) == (1, True)


@jax.custom_vjp
def softplus(x):
    return jnp.logaddexp(x, jnp.zeros_like(x))


def softplus_bwd(x, c):
    wrong = 1 - 1 / (1 + jnp.exp(x))  # loses the left tail
    return (c * wrong,)


softplus.defvjp(lambda x: (softplus(x), x), softplus_bwd)


@partial(jax.jit, static_argnums=0)
def pulled(f, x, c):
    return jax.vjp(f, x)[1](c)[0]


def right(x):
    return jnp.logaddexp(x, jnp.zeros_like(x))


def pullback_is_wrong(args, c):
    hand, truth = np.asarray(pulled(softplus, *args, c)), np.asarray(pulled(right, *args, c))
    return bool((abs(hand - truth) > 1e-5 * abs(truth)).any())


def test_a_wrong_tail_of_a_custom_vjp_comes_out_as_one_round_number():
    x = np.random.default_rng(1).normal(size=(33, 5)).astype(np.float32) * 3
    c = np.random.default_rng(2).normal(size=(33, 5)).astype(np.float32)
    assert pullback_is_wrong((x,), c)
    found = shrunk((jnp.asarray(x),), jnp.asarray(c), pullback_is_wrong, softplus)
    assert (found.args[0].shape, found.cotangent.tolist()) == ((1, 1), [[1.0]])
    assert len(number(np.asarray(found.args[0])[0, 0]).strip("-")) <= 4


def test_the_boundary_of_a_scalar_has_no_number_between():
    edge = np.float32(3.3)
    low, high = boundary(
        (np.float32(-80),), (np.float32(70),), lambda args: args[0] > edge, steps=200
    )
    assert low[0] == edge
    assert high[0] == np.nextafter(edge, np.float32(np.inf))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_the_boundary_is_on_the_line_and_keeps_dtypes(name):
    with jax.enable_x64(True):
        low = ({"x": jnp.asarray([0.0, 1.0], name), "n": np.arange(2), "k": "a"},)
        high = ({"x": jnp.asarray([4.0, -1.0], name), "n": np.arange(2), "k": "a"},)
        passes, fails = boundary(low, high, lambda args: bool(args[0]["x"][0] > 3))
    for (found,), side in ((passes, np.less_equal), (fails, np.greater)):
        x = np.asarray(found["x"]).astype(np.float64)
        assert found["x"].dtype == jnp.dtype(name)
        assert side(x[0], 3)
        assert x.tolist() == pytest.approx([3, -0.5], rel=0.02)
    assert not np.array_equal(np.asarray(passes[0]["x"]), np.asarray(fails[0]["x"]))


def test_the_boundary_to_what_is_no_number():
    one = np.ones(1, np.float32)
    low, high = boundary((one,), (one * np.inf,), lambda args: args[0][0] > 1e30, steps=200)
    assert low[0][0] == np.float32(1e30)
    assert high[0][0] == np.nextafter(np.float32(1e30), np.float32(np.inf))
    low, high = boundary((one,), (one * np.inf,), lambda args: np.isinf(args[0][0]), steps=200)
    assert (low[0][0], high[0][0]) == (np.finfo(np.float32).max, np.inf)
    low, high = boundary((one,), (one * np.nan,), lambda args: np.isnan(args[0][0]))
    assert (low[0][0], np.isnan(high[0][0])) == (1, True)


def test_a_boundary_needs_two_sides_and_a_line():
    one, two, ints = np.ones(1, np.float32), np.full(1, 2.0, np.float32), np.arange(2)
    for low, high, message in [
        ((one,), (one,), "should fail passes"),
        ((two,), (two,), "should pass fails"),
        ((one,), ([one],), "different structures"),
        ((one,), (np.ones(2, np.float32),), r"float32 of shape \(1,\) in one"),
        ((one, ints), (two, ints + 1), "leaf 1, not floating point"),
        ((one, "a"), (two, "b"), "leaf 1, not floating point"),
    ]:
        with pytest.raises(ValueError, match=message):
            boundary(low, high, lambda args: args[0][0] > 1)


SNIPPETS = r"""
import contextlib, enum, io, sys, warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import jax, jax.numpy as jnp, numpy as np
from jax.dtypes import float0
from jaxlr.check.smallest import as_code

warnings.simplefilter("error")
rng = np.random.default_rng(0)

def bits(v):
    v = jax.random.key_data(v) if isinstance(v, jax.Array) and v.dtype == key.dtype else v
    array = isinstance(v, jax.Array | np.ndarray | np.generic)
    return (str(v.dtype), v.shape, np.asarray(v).tobytes()) if array else v

def equal(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs), (ours, theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert bits(a) == bits(b), (a, b)

def run(code, **names):
    assert max(map(len, code.splitlines())) <= 100, code
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    return names

def special(dtype):
    info = jnp.finfo(dtype)
    edge = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 0.1, 1 / 3, 16.64, 1e-3, 1.0, -2.5]
    edge += [float(v) for v in (info.max, info.min, info.tiny, info.smallest_subnormal, info.eps)]
    edge += [float(info.smallest_subnormal) * 3, -float(info.tiny) / 2]
    kind = np.dtype(f"u{dtype.itemsize}")
    bits = rng.integers(0, np.iinfo(kind).max, 200, kind).view(dtype)
    return np.concatenate([np.array(edge).astype(dtype), bits[~np.isnan(bits)]])

def identity(x):
    return x

def check(values, wide):
    c = np.ones(values.shape).astype(values.dtype)
    code = as_code("here:f.<locals>.identity", (values,), c, [], ["x"])
    assert ("jax_enable_x64" in code) == wide
    names = run(code, identity=identity)
    equal(names["x"], values)
    assert isinstance(names["x"], jax.Array)
    equal(names["c"], c)
    equal(names["pull"](names["c"])[0], c)

key = jax.random.key(0)
for name in ("float16", "bfloat16", "float32", "float64"):
    dtype = jnp.dtype(name)
    wide = name == "float64"
    if wide:  # the snippet has to switch this on, and from here on it is
        assert not jax.config.jax_enable_x64
    check(special(dtype), wide)
    assert jax.config.jax_enable_x64 == wide
    for v in special(dtype)[:19]:
        for shape in ((), (2, 1, 3)):
            check(np.full(shape, v, dtype), wide)
    check(special(dtype)[:24].reshape(2, 3, 4), wide)
    check(np.zeros((0, 3), dtype), wide)
print("arrays", name)

sys.modules["here"] = here = type(sys)("here")
jax.config.update("jax_enable_x64", False)

class Params(NamedTuple):
    w: object
    b: object

class How(enum.Enum):
    MEAN = "mean"

def model(params, X, y, how, *rest):
    assert how is How.MEAN and y.dtype == np.int64
    z = X["X"] @ params.w + params.b
    return (z * X["scale"], None), X["order"]

@jax.tree_util.register_dataclass
@dataclass
class Layer:
    w: object
    n: object

@dataclass(frozen=True)
class Options:
    rate: float
    data: object = None

for value in (Params, How, model, Layer, Options):
    value.__module__ = "here"
    setattr(here, value.__name__, value)

f32 = np.float32
args = (
    Params(f32([0.1, -0.0]), f32(3e-42)),
    {"X": np.arange(6, dtype=f32).reshape(3, 2), "order": np.arange(3, dtype=np.int32),
     "scale": jnp.float32(2), "text": "a b,  (c", "none": None, "on": np.array([True, False])},
    np.array([0, 1, 2**40]),
    How.MEAN,
    (1, [2.5, float("inf")], ()),
    OrderedDict(k=jnp.tanh, t=jnp.bfloat16, d=np.dtype("float16")),
    key,
)
cotangent = ((f32([1, 2, 3]), None), None)
code = as_code("here:model", args, cotangent, [("params.w[0]", f32(0.1), 0.25)],
               ["params", "jax", "y", "lambda", "y", "model", "key"])
names = run(code)
assert code.endswith("print(pull(c))\n# params.w[0]: by hand 0.1, truth 0.25"), code
for line in ("from here import model", "from here import Params", "from here import How"):
    assert line in code.splitlines(), code
assert "jax_enable_x64" not in code
equal(names["params"], args[0])
equal(names["y"], args[2])
equal(names["key"], args[6])
equal(names["x4"], args[4])
equal(names["x5"], args[5])
grads = names["pull"](names["c"])
truth = jax.vjp(lambda p, X, s: ((X @ p.w + p.b) * s), args[0], args[1]["X"], args[1]["scale"])[1]
equal(grads, truth(cotangent[0][0]))

def scaled(layer, options):
    return layer.w * options.rate * layer.n

args = Layer(f32([1, 2]), 3), Options(0.5)
names = run(as_code("here:f.<locals>.scaled", args, f32([1, 1]), [], ["layer"]), scaled=scaled)
assert bits(names["layer_0"]) == bits(args[0].w) and names["x1"] == args[1]
assert np.asarray(names["pull"](names["c"])).tolist() == [[1.5, 1.5]]

def ordered(x):
    return {"x": x, "i": jnp.argsort(x)}

x = f32([2, 1])
for i in (np.zeros(2, float0), None):
    code = as_code("__main__:ordered", (x,), {"x": x, "i": i}, [])
    assert "# ordered is __main__:ordered: no import reaches it" in code
    equal(run(code, ordered=ordered)["pull"]({"x": x, "i": np.zeros(2, float0)})[0], x)

code = as_code("a.b:<lambda>", (x, object()), x, [("x0[0]", np.float64(1), 2)])
assert "# f is a.b:<lambda>" in code and "# it is <object object at" in code
code = as_code("here:Model.loss", (x,), x, [])
assert "from here import Model\n" in code and "jax.vjp(Model.loss, x0)" in code
with np.testing.assert_raises(NameError):
    run(as_code("here:model", (x, object()), x, []))
print("trees")
"""


def test_snippets_give_back_every_bit():
    # In a process of its own: a snippet may switch 64-bit mode on, for good.
    done = subprocess.run([sys.executable, "-c", SNIPPETS], capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "arrays float64\ntrees\n")


def test_constant_arrays_are_short_and_long_ones_are_wrapped():
    x = np.zeros((1000, 3), np.float32)
    pattern = np.arange(300, dtype=np.float32)
    code = as_code("m:f", (x, x + 1, x - 0.5, pattern, np.arange(5)), pattern, [])
    lines = code.splitlines()
    assert "x0 = jnp.zeros((1000, 3), jnp.float32)" in lines
    assert "x1 = jnp.ones((1000, 3), jnp.float32)" in lines
    assert "x2 = jnp.full((1000, 3), -0.5, jnp.float32)" in lines
    assert "x4 = np.array([0, 1, 2, 3, 4], np.int64)" in lines
    assert (
        "out, pull = jax.vjp(lambda x0, x1, x2, x3: f(x0, x1, x2, x3, x4), x0, x1, x2, x3)" in lines
    )
    assert 90 < max(map(len, lines)) <= 100


def test_text_is_never_broken_inside():
    text = "1, 2, (3, " * 20
    words = ["x = f(", repr(text), ", ", "2", ")"]
    assert fill(words).splitlines() == ["x = f(", f"    {text!r},", "    2)"]


def test_numbers_are_as_short_as_their_dtype_allows():
    values = {"float16": "0.1", "float32": "0.1", "float64": "0.1", "bfloat16": "0.1"}
    for name, text in values.items():
        assert number(np.asarray(0.1).astype(jnp.dtype(name))[()]) == text
    assert number(np.float64(np.float32(0.1))) == "0.10000000149011612"
    assert number(np.uint8(255)) == "255"
    assert number(np.bool_(True)) == "True"
    assert number(np.complex64(0.1 - 2j)) == "complex(0.1, -2.0)"
