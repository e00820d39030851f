"""K trainings in one program: each as it is alone, whatever becomes of the others."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxlr
from jaxlr import core
from jaxlr.core import Params
from jaxlr.train import first_state, from_optax
from jaxlr.train.many import loop
from jaxlr.train.many.orders import Orders

N, D = 60, 3


def problem(dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D)).astype(dtype)
    y = (rng.random(N) < 1 / (1 + np.exp(-X[:, 0] + 0.5))).astype(dtype)
    return core.zeros(D, dtype), X, y


def members_of(alphas, l2=(0.0,), seeds=(0,)):
    keys = [jax.random.key(seed) for seed in seeds]
    return [jaxlr.Member(a, p, key) for a in alphas for p in l2 for key in keys]


def alone(member, params, X, y, optimizer, **settings):
    """What `train` makes of one member, in its own way."""
    try:
        return jaxlr.train(
            params, X, y, optimizer(member.alpha), l2=member.l2, key=member.key, **settings
        )
    except jaxlr.DivergedError as error:
        return error


def assert_same(found, expected, rtol=1e-12):
    assert type(found) is type(expected)
    close = dict(rtol=rtol, atol=rtol)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **close), found.params, expected.params
    )
    for a, b in zip(found.history, expected.history, strict=True):
        np.testing.assert_allclose(a, b, **close)
    if isinstance(found, jaxlr.DivergedError):
        assert (found.step, found.why) == (expected.step, expected.why)
        return
    for name in ("params_step", "steps", "status"):
        assert getattr(found, name) == getattr(expected, name), name
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **close), found.state, expected.state
    )


def momentum(alpha):
    return optax.sgd(optax.exponential_decay(alpha, 10, 0.5), momentum=0.9)


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "weights"),
    [(jaxlr.plain, None, np.arange(N) % 3 / 2), (momentum, 16, None)],
)
def test_each_member_is_what_train_makes_of_it_alone(optimizer, batch_size, weights):
    with jax.enable_x64(True):
        params, X, y = problem()
        settings = dict(steps=24, batch_size=batch_size, validation=(X[:20], y[:20]))
        settings |= dict(validate_every=4, sample_weight=weights)
        members = members_of([0.05, 0.3], [0.0, 0.1], seeds=[0, 3])[:-1]  # orders of 4 and of 3
        found = jaxlr.train_many(params, X, y, members, optimizer=optimizer, **settings)
        for member, result in zip(members, found, strict=True):
            assert_same(result, alone(member, params, X, y, optimizer, **settings))


def test_they_agree_in_float32_but_for_rounding():
    params, X, y = problem("float32")
    members = members_of([0.1, 1.0])
    found = jaxlr.train_many(params, X, y, members, steps=40)
    for member, result in zip(members, found, strict=True):
        expected = alone(member, params, X, y, jaxlr.plain, steps=40)
        assert result.params.w.dtype == np.float32
        np.testing.assert_allclose(result.params.w, expected.params.w, rtol=1e-5)


def test_a_member_that_diverges_is_reported_and_touches_no_other():
    with jax.enable_x64(True):
        start, X, y = problem()
        sane, wild = jaxlr.Member(0.1, 0.1), jaxlr.Member(1e5, 10.0)
        late = jaxlr.Member(8.0, 1.0)  # w <- -7 w each time: finite for long
        members = [sane, wild, late, sane, sane, sane, sane]
        found = jaxlr.train_many(start, X, y, members, steps=230)
        without = jaxlr.train_many(start, X, y, [sane] * 7, steps=230)
        kinds = [isinstance(result, jaxlr.DivergedError) for result in found]
        assert kinds == [False, True, True, False, False, False, False]
        assert 0 < found[1].step < found[2].step
        for member, result in zip(members[:4], found[:4], strict=True):
            assert_same(result, alone(member, start, X, y, jaxlr.plain, steps=230))
        for k in (0, 3):
            assert all(map(np.array_equal, found[k].params, without[k].params))


def test_members_that_are_over_leave_the_program(monkeypatch):
    monkeypatch.setattr(loop, "_WORTH_COMPILING", 0)
    with jax.enable_x64(True):
        params, X, y = problem()
        settings = dict(steps=130, batch_size=16, validate_every=5, patience=3)
        settings |= dict(validation=(X[:20], 0.7 * y[:20] + 0.1))  # what a long way makes worse
        alphas = [3.0, 1e-3, 1.0, 2.0, 0.3, 4.0, 2e-3]
        members = [jaxlr.Member(a, 0.0, jax.random.key(k % 2)) for k, a in enumerate(alphas)]
        seen = []
        found = jaxlr.train_many(
            params, X, y, members, callback=lambda p: seen.append(p.members), **settings
        )
        assert len(seen) == max(result.steps for result in found)
        assert seen[0].tolist() == [0, 1, 2, 3, 4, 5, 6]
        assert seen[-1].tolist() == [1, 6]
        for k in (0, 1, 6):
            expected = alone(members[k], params, X, y, jaxlr.plain, **settings)
            assert_same(found[k], expected, rtol=1e-10)


def test_it_ends_when_all_are_over():
    params, X, y = problem("float32")
    seen = []
    found = jaxlr.train_many(
        params, X, y, members_of([1e-30, 1e-31]), steps=10**9, patience=2,
        validation=(X, y), callback=lambda p: seen.append(p.step),
    )  # fmt: skip
    assert [result.status for result in found] == [jaxlr.Status.STOPPED_EARLY] * 2
    assert seen == [0, 1]


def test_each_may_start_elsewhere_and_go_on_alone():
    with jax.enable_x64(True):
        _, X, y = problem()
        start = Params(jnp.array(np.random.default_rng(2).normal(size=(7, D))), jnp.arange(7.0))
        members = members_of(np.linspace(0.1, 0.7, 7))
        found = jaxlr.train_many(start, X, y, members, optimizer=optax.adam, steps=10)
        for k, member in list(enumerate(members))[::3]:
            own = jax.tree.map(lambda v, k=k: v[k], start)
            assert_same(found[k], alone(member, own, X, y, optax.adam, steps=10))
            more = alone(member, found[k].state, X, y, optax.adam, steps=20)
            at_once = alone(member, own, X, y, optax.adam, steps=20)
            np.testing.assert_allclose(more.params.w, at_once.params.w, rtol=1e-12)


def test_a_callback_stops_all():
    params, X, y = problem("float32")
    found = jaxlr.train_many(
        params, X, y, members_of([0.1, 0.2]), steps=50, callback=lambda p: p.step == 4
    )
    assert [(r.status, r.steps) for r in found] == [(jaxlr.Status.STOPPED_BY_CALLBACK, 5)] * 2


def test_no_steps_leave_the_start():
    params, X, y = problem("float32")
    result, _ = jaxlr.train_many(params, X, y, members_of([0.1, 0.2]), steps=0)
    assert result.history.loss.shape == (0,)
    assert_same(result, alone(jaxlr.Member(0.1), params, X, y, jaxlr.plain, steps=0))


def test_rows_that_are_split_over_devices_are_summed_there(monkeypatch):
    # One device is here: that the mesh arrives is what can be seen.
    params, X, y = problem("float32")
    seen = []
    original = loop._gradient
    monkeypatch.setattr(
        loop, "_gradient", lambda *a, mesh: (seen.append(mesh), original(*a, mesh=None))[1]
    )
    monkeypatch.setattr(loop.shard, "mesh_of", lambda X: "mesh" if X.shape == (N, D) else None)
    for batch_size in (None, 16):
        jaxlr.train_many(params, X, y, members_of([0.1, 0.2]), steps=1, batch_size=batch_size)
    assert seen == ["mesh", None]  # a mini-batch is small, and its rows lie anywhere


def test_members_of_one_key_read_their_rows_once():
    _, X, _ = problem("float32")
    members = members_of([0.1, 0.2, 0.3], seeds=[5, 6])
    orders = Orders(jnp.asarray(X), None, 16, members)
    turn = orders.at(0)
    assert turn.orders.shape == (2, 4, 16)
    assert turn.place.tolist() == [[0, 2, 4], [1, 3, 5]]
    assert turn.place.ravel()[turn.back].tolist() == [0, 1, 2, 3, 4, 5]
    orders.take(np.array([1, 2, 4]))
    turn = orders.at(1)
    assert turn.place.tolist() == [[1, 2], [0, 0]]
    assert turn.place.ravel()[turn.back].tolist() == [0, 1, 2]


def test_the_step_is_traced_once_for_all_steps(monkeypatch):
    traced = []
    original = core.forward
    monkeypatch.setattr(core, "forward", lambda *a: (traced.append(1), original(*a))[1])
    params, X, y = problem("float32")
    for alpha in (0.1, 0.2):
        jaxlr.train_many(params, X[:59], y[:59], members_of([alpha, 0.3]), steps=20)
    assert len(traced) == 1


MADE = from_optax(optax.adam(0.1))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (dict(members=[]), ValueError, "members is empty"),
        (dict(members=[0.1]), TypeError, r"members\[0\] is 0.1: make it a jaxlr.Member"),
        (dict(members=members_of([0.1, -1.0])), ValueError, r"members\[1\]: alpha is -1.0"),
        (dict(members=members_of([0.1], [-1.0])), ValueError, r"members\[0\]: l2 is -1.0"),
        (dict(optimizer=optax.adam(0.1)), TypeError, "without calling it"),
        (dict(optimizer=MADE), TypeError, "without calling it"),
        (dict(optimizer=lambda alpha: 3), TypeError, "no optax transformation"),
        (dict(steps=-1), ValueError, "steps is -1"),
        (dict(batch_size=0), ValueError, "batch_size is 0"),
        (dict(patience=2), ValueError, "patience needs validation"),
        (dict(params=Params(np.zeros((3, D)), np.zeros(3))), ValueError, r"or w \(2, d\) and b"),
        (dict(params=Params(np.zeros(5), 0.0)), ValueError, "X has 3 features .* w has 5"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(changed, error, message):
    params, X, y = problem("float32")
    settings = dict(params=params, X=X, y=y, members=members_of([0.1, 0.2]), steps=3) | changed
    with pytest.raises(error, match=message):
        jaxlr.train_many(**settings)


def test_the_state_is_that_of_the_optimiser():
    with jax.enable_x64(True):
        params, X, y = problem()
        members = members_of([0.1] * 7)
        result, *_ = jaxlr.train_many(params, X, y, members, optimizer=optax.adam, steps=2)
        expected = first_state(params, from_optax(optax.adam(0.1)))
    assert jax.tree.structure(result.state) == jax.tree.structure(expected)
