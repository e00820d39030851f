"""Inside the graph: gradients at names, the step that is wrong, rules and what reaches them."""

import os
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name as name
from zoo import FAULTS, SPECIES, node_gradients
from zoo.oracle import FLUSHED, wide64
from zoo.oracle import true_nodes as zoo_nodes
from zoo.probes import probes
from zoo.witness import witness

from jaxlr.check import check_derivatives
from jaxlr.check.graph import body, expected_nodes, left_out, locate, rules, true_nodes

EVERY = 1 if "ZOO" in os.environ else 1600  # fault; with ZOO=all in the environment, each of them
UNSEEN = ("order 2", "jit", "vmap", "primal")  # by the gradients of one eager backward pass
EPS = float(np.finfo(np.float32).eps)


@jax.custom_jvp
def wave(x, y):
    return jnp.sin(x) * y


wave.defjvp(lambda primals, tangents: (wave(*primals), 7 * tangents[0]))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def power(x, n, scale=2.0):
    return x**n * jnp.asarray(scale, x.dtype)


power.defvjp(lambda x, n, scale=2.0: (power(x, n, scale), x), lambda n, x, c: (n * x * c, None))


@jax.custom_vjp
def times(x, k):  # calls another rule, and takes an integer
    return wave(x, x) * k.astype(x.dtype), k


times.defvjp(lambda x, k: (times(x, k), x), lambda x, c: (c[0] * x, None))


def numbers(*values, dtype="float32"):
    return jnp.asarray(values[0] if len(values) == 1 else values, dtype)


def test_body_of_a_rule_is_the_function_that_was_decorated(dtype):
    x = numbers(1.5, dtype=dtype)
    assert jax.grad(power)(x, 3) == pytest.approx(4.5)
    assert jax.grad(body(power))(x, 3) == pytest.approx(13.5)
    assert jax.grad(body(power))(x, 3, scale=1.0) == pytest.approx(6.75)
    through = body(partial(jax.jit(power, static_argnums=1), n=3))
    assert jax.grad(through)(x) == pytest.approx(13.5)
    true = jnp.cos(x) * x, jnp.sin(x)
    np.testing.assert_allclose(jax.grad(body(wave), (0, 1))(x, x), true, rtol=1e-6)


def test_body_has_none_of_the_rules_inside():
    x, k = numbers(1.5), jnp.asarray(2)
    slope = jax.grad(lambda x: body(times)(x, k)[0])(x)
    assert slope == pytest.approx(2 * (np.sin(1.5) + 1.5 * np.cos(1.5)), rel=1e-6)
    assert jax.grad(lambda x: times.__wrapped__(x, k)[0])(x) == 14.0  # wave's wrong one


def everywhere(x):
    """A rule in a scan, a branch, a while loop, a call within a call, and under vmap."""

    def step(c, t):
        c = jax.lax.cond(t > 1, lambda c: wave(c, c), lambda c: power(c, 2), c)
        return c, jax.nn.relu(c)

    c, ys = jax.lax.scan(step, x, jnp.arange(3), reverse=True)
    c = jax.lax.while_loop(lambda v: v[0] < 2, lambda v: (v[0] + 1, wave(v[1], x)), (0, c))[1]
    c = jax.jit(jax.checkpoint(lambda c: wave(c, c)))(c)
    return c + jnp.sum(ys) + jnp.sum(jax.vmap(wave)(x[None], x[None]))


def everywhere_in_plain_words(x):
    c, ys = x, []
    for t in (2, 1, 0):
        c = jnp.sin(c) * c if t > 1 else 2 * c**2
        ys.append(c)
    for _ in range(2):
        c = jnp.sin(c) * x
    return jnp.sin(c) * c + sum(y for y in ys if y > 0) + jnp.sin(x) * x


def test_rules_are_taken_off_wherever_they_are_called(dtype):
    x, one = numbers(0.8, dtype=dtype), numbers(1.0, dtype=dtype)
    found = jax.jvp(body(everywhere), (x,), (one,))
    plain = jax.jvp(everywhere_in_plain_words, (x,), (one,))
    np.testing.assert_allclose(found, plain, rtol=1e-5)
    assert "custom_jvp_call" in str(jax.make_jaxpr(body(everywhere))(x))  # relu, which is JAX's
    assert "wave" not in str(jax.make_jaxpr(body(everywhere))(x))


def test_without_a_rule_of_anyone_there_is_nothing_to_judge():
    def f(x):
        return jax.vmap(jax.nn.softplus)(jax.nn.relu(x)) + jax.nn.logsumexp(x)

    with pytest.raises(ValueError, match="nothing is hand-written in f"):
        body(f)(jnp.ones(2))
    assert rules(f, (jnp.ones(2),)) == []


def test_a_rule_made_by_custom_gradient_is_its_author_s():
    @jax.custom_gradient
    def square(x):
        return x**2, lambda c: 5 * c * x

    assert jax.grad(square)(1.0) == 5.0
    assert jax.grad(body(square))(1.0) == 2.0
    assert len(rules(lambda x: square(x), (numbers(1.0),))) == 1


def test_a_function_that_needs_concrete_values_keeps_them():
    @jax.custom_vjp
    def f(x, up=True):
        return 3 * x if up and x > 0 else -x

    f.defvjp(lambda x, up=True: (f(x, up), None), lambda _, c: (c, None))
    assert jax.grad(body(f))(2.0) == 3.0
    assert jax.grad(body(f))(-2.0) == -1.0


def test_a_rule_where_it_cannot_be_taken_off_is_an_error():
    from jax.custom_batching import custom_vmap

    f = custom_vmap(lambda x: wave(x, x))
    f.def_vmap(lambda size, batched, x: (wave(x, x), batched[0]))
    with pytest.raises(ValueError, match="inside custom_vmap_call"):
        body(lambda x: f(x))(numbers(1.0))
    (rule,) = rules(lambda x: f(x), (numbers(1.0),))
    assert (rule.reached, rule.args) == (0, [])
    assert rule.path.endswith("/custom_vmap_call/wave")


def test_every_rule_is_found_with_what_reaches_it():
    found = {place: rule for rule in rules(everywhere, (numbers(0.8),)) for place in rule.places}
    assert set(found) == {
        "everywhere/scan[body]/cond[branch 0]/power",
        "everywhere/scan[body]/cond[branch 1]/wave",
        "everywhere/while[body]/wave",
        "everywhere/<lambda>/remat/wave",
        "everywhere/wave",
    }
    in_scan = found["everywhere/scan[body]/cond[branch 0]/power"]
    first = np.sin(0.8) * 0.8
    found_there = [float(x) for x, *_ in in_scan.args]
    np.testing.assert_allclose(found_there, [first, 2 * first**2], rtol=1e-6)
    scalar = found["everywhere/while[body]/wave"]
    assert scalar.reached == 4  # once in a branch, twice in the loop, once under jit
    assert scalar is found["everywhere/<lambda>/remat/wave"]
    assert found["everywhere/wave"].args[0][0].shape == (1,)


def test_of_many_iterations_the_first_and_the_last_are_kept():
    def f(xs):
        return jax.lax.scan(lambda c, x: (c + wave(x, x), None), numbers(0.0), xs)[0]

    (rule,) = rules(f, (jnp.arange(10.0),), keep=4)
    assert [float(x) for x, _ in rule.args] == [0, 1, 8, 9]
    assert rule.reached == 10
    (rule,) = rules(f, (jnp.arange(10.0),), keep=1)
    assert [float(x) for x, _ in rule.args] == [0]


def test_a_found_rule_can_be_called_with_and_without_its_derivative():
    x, k = numbers(1.5), jnp.asarray(2)
    outer, within = rules(lambda x, k: times(x, k), (x, k))
    assert (outer.name, within.name) == ("times", "wave")
    assert outer.differentiable == (True, False)
    assert within.path == "<lambda>/times/wave"

    def slope(of, x):
        return jax.grad(lambda x: of(x, k)[0])(x)

    assert slope(outer.call, x) == 1.5
    assert jax.jit(partial(slope, outer.call))(x) == 1.5
    np.testing.assert_allclose(jax.vmap(partial(slope, outer.call))(x[None]), [1.5])
    true = 2 * (np.sin(1.5) + 1.5 * np.cos(1.5))
    assert slope(outer.body, x) == pytest.approx(true, rel=1e-6)
    with jax.enable_x64(True):
        wide = slope(outer.body, numbers(1.5, dtype="float64"))
        assert wide.dtype == np.float64
        assert wide == pytest.approx(true, rel=1e-15)


def test_float64_keeps_the_rules_of_jax():
    @jax.custom_vjp
    def f(x):
        return 3 * jax.nn.relu(x)

    f.defvjp(lambda x: (f(x), x), lambda x, c: (3 * c * (x > 0).astype(c.dtype),))
    narrow_inside = lambda x: f(x.astype(jnp.float32))  # noqa: E731
    (rule,) = rules(lambda x: f(x), (jnp.zeros(()),))
    (cast,) = rules(narrow_inside, (jnp.zeros(()),))
    with jax.enable_x64(True):
        zero = jnp.zeros(())
        assert jax.grad(lambda x: rule.body(x)[0])(zero) == 0.0  # as relu's own rule has it
        assert jax.grad(lambda x: cast.body(x)[0])(zero + 1) == 3.0


def test_rules_that_only_look_alike_are_several():
    def times_two(by):
        @jax.custom_vjp
        def f(x):
            return 2 * x

        f.defvjp(lambda x: (f(x), None), lambda _, c: (by * c,))
        return f

    right, wrong = times_two(2), times_two(3)
    found = rules(lambda x: right(x) + wrong(x) + right(x), (numbers(1.0),))
    assert [(rule.name, rule.reached) for rule in found] == [("f", 2), ("f", 1)]


def test_a_rule_in_a_branch_not_taken_is_listed():
    def f(x):
        return jax.lax.cond(x > 0, lambda x: wave(x, x), lambda x: power(x, 2), x)

    found = {rule.name: rule.reached for rule in rules(f, (numbers(1.0),))}
    assert found == {"power": 0, "wave": 1}


def test_float64_reaches_loops_and_types_that_were_asked_for():
    @jax.custom_vjp
    def f(x):
        def step(c, t):
            return c * jnp.float32(0.1) + t, jnp.zeros((), jnp.float32)

        return jax.lax.scan(step, jnp.float32(0), x.astype(jnp.float32))[0]

    f.defvjp(lambda x: (f(x), x), lambda x, c: (x * c,))
    x = jnp.arange(1.0, 4.0)
    (rule,) = rules(lambda x: f(x), (x,))
    with jax.enable_x64(True):
        tenth = float(np.float32(0.1))
        found = jax.grad(lambda x: rule.body(x)[0])(jnp.arange(1.0, 4.0))
        np.testing.assert_allclose(found, [tenth**2, tenth, 1], rtol=1e-15)


def model(params, X, k):
    """Two layers; the first named in a call within a call."""
    inner = jax.jit(lambda X: name(jax.nn.relu(name(X @ params["W"], "z")), "a"))
    out = name(jax.checkpoint(inner)(X) @ params["v"], "out")
    return {"out": out, "labels": k}


def of_model(dtype):
    rng = np.random.default_rng(1)
    W, v, X = (jnp.asarray(rng.standard_normal(s), dtype) for s in ((3, 4), (4,), (5, 3)))
    return ({"W": W, "v": v}, X, jnp.arange(5)), {"out": jnp.ones(5, dtype), "labels": None}


def test_nodes_by_closed_form(dtype):
    args, cotangent = of_model(dtype)
    (params, X, _), c = args, cotangent["out"]
    found = true_nodes(model, args, cotangent)
    da = c[:, None] * params["v"][None]
    dz = da * (X @ params["W"] > 0).astype(dtype)
    assert list(found) == ["dz", "da", "dout"]
    for node, true in {"dz": dz, "da": da, "dout": c}.items():
        np.testing.assert_allclose(found[node], true, rtol=1e-6)
    expected = expected_nodes(model, args, cotangent, {"da": 2 * da})
    assert list(expected) == ["da", "dparams['W']", "dparams['v']", "dX"]
    np.testing.assert_allclose(expected["da"], da, rtol=1e-6)
    np.testing.assert_allclose(expected["dparams['W']"], X.T @ (2 * dz), rtol=1e-5)


@cache
def nodes_of_twin(species):
    """One program: each operation of an eager one is compiled on its own."""
    return jax.jit(partial(true_nodes, SPECIES[species].twin))


SLOW = "recurrence", "network", "layer norm"


@pytest.mark.parametrize(
    "species", [pytest.param(v, marks=pytest.mark.thorough if v in SLOW else ()) for v in SPECIES]
)
def test_nodes_of_the_zoo(species):
    _, probe, *_ = probes(SPECIES[species], "float32")
    known = zoo_nodes(SPECIES[species], *probe[1:])
    with jax.enable_x64(True):
        found = nodes_of_twin(species)(*wide64(probe[1:]))
    assert set(found) == set(known)
    for node, value in found.items():
        np.testing.assert_allclose(value, known[node], rtol=1e-12, atol=1e-14)


def test_names_without_a_node_are_told():
    def f(x, k):
        k = name(k, "k")
        x = jax.lax.fori_loop(0, 3, lambda i, v: name(2 * v, "inside"), name(x, "x"))
        return jax.lax.cond(k > 0, lambda x: name(x, "branch"), lambda x: -x, x)

    args = numbers(1.0), jnp.asarray(1)
    assert set(left_out(f, args)) == {"k", "inside", "branch"}
    assert list(true_nodes(f, args, numbers(1.0))) == ["dx"]
    found = locate(f, args, numbers(1.0), {"dx": numbers(8.0)}, lambda _, v: 1e-6 * abs(v))
    assert found[0].status == "right"
    assert {v.node: v.status for v in found[1:]} == dict.fromkeys(
        ("dk", "dinside", "dbranch"), "not checked"
    )


def test_a_name_of_two_values_and_a_node_of_none_are_errors():
    twice = lambda x: name(name(x, "z") * 2, "z")  # noqa: E731
    with pytest.raises(ValueError, match="'z' in <lambda> is the name of several values"):
        true_nodes(twice, (1.0,), jnp.ones(()))
    f = lambda x: name(x, "z") * 2  # noqa: E731
    allowed = lambda _, v: 1e-6 * abs(v)  # noqa: E731
    with pytest.raises(ValueError, match=r"nothing in the function is named 'q'; it has z, x"):
        locate(f, (1.0,), jnp.ones(()), {"dq": jnp.ones(())}, allowed)
    with pytest.raises(ValueError, match="nothing to compare"):
        locate(f, (1.0,), jnp.ones(()), {}, allowed)


def same(v):
    return v


WRONG = {  # what is done to which node, and what that makes of the others
    "nothing": ("dz", same, {}),
    "one element": (
        "dz",
        lambda v: v.at[2, 1].add(1.0),
        {"dz": "wrong here", "dX": "inherited", "dparams['W']": "inherited"},
    ),
    "nan": (
        "dz",
        lambda v: v.at[2, 1].set(jnp.nan),
        {"dz": "wrong here", "dX": "inherited", "dparams['W']": "inherited"},
    ),
    "a leaf of the arguments": ("dparams['v']", jnp.negative, {"dparams['v']": "wrong here"}),
    "a leaf in one place": ("dX", lambda v: v.at[0, 0].multiply(1.001), {"dX": "wrong here"}),
    "the shape": ("dX", jnp.transpose, {"dX": "wrong here"}),
    "the cotangent": (
        "dout",
        lambda v: 2 * v,
        {"dout": "wrong here"}
        | dict.fromkeys(("da", "dz", "dparams['W']", "dparams['v']", "dX"), "inherited"),
    ),
}


def model_by_hand(params, X, c, node, change):
    def at(name, v):
        return change(v) if name == node else v

    z = X @ params["W"]
    dout = at("dout", c)
    dv = at("dparams['v']", jnp.maximum(z, 0).T @ dout)
    da = at("da", dout[:, None] * params["v"][None])
    dz = at("dz", da * (z > 0).astype(z.dtype))
    dX, dW = at("dX", dz @ params["W"].T), at("dparams['W']", X.T @ dz)
    return {"dparams": {"W": dW, "v": dv}, "dX": dX, "dz": dz, "da": da, "dout": dout}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.thorough)], indirect=True
)
def test_what_is_wrong_and_what_inherits(dtype, case):
    (params, X, k), cotangent = of_model(dtype)
    c = cotangent["out"]
    node, change, statuses = WRONG[case]
    hand = model_by_hand(params, X, c, node, change)
    named = lambda params, X, k: model(params, X, k)["out"]  # noqa: E731
    allowed = lambda _, truth: 1e-5 * (abs(truth) + 1)  # noqa: E731
    found = {v.node: v for v in locate(named, (params, X, k), c, hand, allowed)}
    assert list(found) == ["dout", "da", "dz", "dparams['W']", "dparams['v']", "dX"]
    assert {n: v.status for n, v in found.items() if v.status != "right"} == statuses
    if case == "one element":
        assert found["dz"].index == (2, 1)
        assert found["dz"].hand - found["dz"].truth == pytest.approx(1.0)
    if case == "the shape":
        assert "shape (3, 5)" in found["dX"].reason


def test_arguments_without_a_name_are_known_by_their_place():
    found = expected_nodes(lambda *v: v[0] * v[1], (numbers(2.0), 3.0), numbers(1.0), {})
    assert {node: float(v) for node, v in found.items()} == {"d0": 3.0, "d1": 2.0}


def loop(x, r):
    u = name(2 * x, "u")
    return name(jax.lax.scan(lambda h, u: (r * h + u, r * h + u), 0 * u[0], u)[1], "out")


@pytest.mark.parametrize("fault", ["du", "dr"])
def test_of_values_that_enter_one_loop_the_first_to_be_wrong_is_named(fault):
    with jax.enable_x64(True):
        x, r, c = jnp.arange(1.0, 5.0), jnp.asarray(0.5), jnp.ones(4)
        h = np.asarray(loop(x, r))
        du = np.zeros(4)
        for t in range(3, -1, -1):
            du[t] = 1 + (0.5 * du[t + 1] if t < 3 else 0)
        du = du * (1.01 if fault == "du" else 1)
        dr = np.sum(du[1:] * h[:-1]) * (1.01 if fault == "dr" else 1)  # made from du
        hand = {"dout": c, "du": du, "dr": dr, "dx": 2 * du}
        found = locate(loop, (x, r), c, hand, lambda _, v: 1e-9 * abs(v))
    wrong = [v.node for v in found if v.status == "wrong here"]
    inherited = {v.node for v in found if v.status == "inherited"}
    assert wrong == [fault]
    assert inherited == ({"dx", "dr"} if fault == "du" else set())


def test_the_cotangent_is_a_node_where_the_result_has_no_name():
    f = lambda x: 3 * name(x, "x")  # noqa: E731
    hand = {"dout": numbers(2.0), "dx": numbers(6.0)}
    found = locate(f, (numbers(1.0),), numbers(1.0), hand, lambda _, v: 1e-6 * abs(v))
    assert [(v.node, v.status) for v in found] == [("dout", "wrong here"), ("dx", "inherited")]


def test_what_cancels_after_a_fault_is_still_inherited():
    def f(x):  # dx = dz - mean(dz): of dz = 1 + 1e6 in float32 little is left
        z = name(x - jnp.mean(x, keepdims=True), "z")
        return jnp.sum(z**2)

    with jax.enable_x64(True):
        x = jnp.linspace(-1.0, 1.0, 7)
        dz = np.float32(1e6) + (2 * np.asarray(x)).astype(np.float32)
        dx = dz - np.mean(dz, dtype=np.float32)
        hand = {"dz": dz, "dx": dx}
        found = locate(f, (x,), jnp.ones(()), hand, lambda _, v: 1e-6 * abs(v))
    assert [(v.node, v.status) for v in found] == [("dz", "wrong here"), ("dx", "inherited")]


MEASURED = {}


def rounding(species, probe):
    """What moving the inputs of a probe does to each node, as a share of the move."""
    if (species.name, probe.name) in MEASURED:
        return MEASURED[species.name, probe.name]
    rng, (args, c) = np.random.default_rng(11), wide64(probe[1:])

    def moved(v):
        floating = np.issubdtype(v.dtype, np.floating)
        return v * (1 + 2.0**-26 * rng.choice([-1.0, 1.0], v.shape)) if floating else v

    with jax.enable_x64(True):
        nodes = nodes_of_twin(species.name)
        here = nodes(args, c)
        near = [nodes(*jax.tree.map(moved, (args, c))) for _ in range(8)]
    change = {k: np.max([abs(n[k] - v) for n in near], axis=0) * 2.0**26 for k, v in here.items()}
    MEASURED[species.name, probe.name] = change
    return change


def found_by_locate(fault):
    """Nodes that are off in any way, and those that are called wrong themselves."""
    species, probe = SPECIES[fault.species], witness(fault)
    change = rounding(species, probe)
    hand = node_gradients(species, probe.args, probe.cotangent, fault)
    with jax.enable_x64(True):
        found = locate(
            species.twin,
            wide64(probe.args),
            wide64(probe.cotangent),
            hand,
            lambda node, truth: EPS * (32 * change[node] + 4 * abs(truth)) + FLUSHED,
        )
    judged = {v.node: v.status for v in found if v.status != "not checked"}
    assert set(judged) == set(species.nodes)
    off = {node for node, status in judged.items() if status != "right"}
    return off, {node for node in off if judged[node] == "wrong here"}


def test_the_culprit_of_a_fault_is_named():
    seen_eagerly = [f for f in FAULTS if f.shows.partition(",")[0] not in UNSEEN]
    in_loops = [f for f in seen_eagerly if f.species == "recurrence"]  # a second each
    some = [f for f in seen_eagerly if f not in in_loops][::EVERY] + in_loops[:: EVERY**2]
    misses, seen = [], 0
    for fault in some:
        off, wrong = found_by_locate(fault)
        seen += bool(off)
        if off and wrong != fault.culprits:
            misses.append((fault.id, wrong))
    assert seen >= 0.95 * len(some)
    assert len(misses) <= 0.05 * seen, misses


def test_nodes_of_a_function_of_star_args_are_allowed_what_their_terms_allow():
    def product(*args):
        return args[0] * name(args[1], "z")

    f = jax.custom_vjp(product)
    f.defvjp(lambda *args: (product(*args), args), lambda r, c: (c * r[1], c * r[0]))
    nodes = {"d0": lambda a, b, c: c * b, "dz": lambda a, b, c: c * a, "d1": lambda a, b, c: c * a}
    report = check_derivatives(
        f, jnp.array([1.5, -2.0]), jnp.array([3.0, 0.5]), level="quick",
        nodes=lambda *given: {key: node(*given) for key, node in nodes.items()},
    )  # fmt: skip
    assert report
    assert {n.name for n in report.nodes} == {"out", "d0", "d1"}
    assert {c.node: c.status for c in report.culprits} == dict.fromkeys(nodes, "right")
