"""The update loop: against closed form, optax and scikit-learn, and when things go wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxlr
from jaxlr import core
from jaxlr.core import Params
from jaxlr.train import first_state, record
from jaxlr.train.rows import Batches


def problem(n=200, d=4, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    y = (rng.random(n) < 1 / (1 + np.exp(-X[:, 0] + 0.5))).astype(dtype)
    return core.zeros(d, dtype), X, y


@pytest.mark.parametrize(
    "alpha", [0.3, *(pytest.param(v, marks=pytest.mark.thorough) for v in (0.1, 1.0))]
)
@pytest.mark.parametrize("batch_size", [None, 32])
def test_plain_equals_optax_sgd_to_the_bit(dtype, alpha, batch_size):
    params, X, y = problem(dtype=dtype)
    ours = jaxlr.train(params, X, y, jaxlr.plain(alpha), steps=60, batch_size=batch_size)
    theirs = jaxlr.train(params, X, y, optax.sgd(alpha), steps=60, batch_size=batch_size)
    for a, b in zip(ours.params, theirs.params, strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(ours.history.loss, theirs.history.loss)


def test_the_loop_does_what_it_says(dtype):
    params, X, y = problem(n=50, dtype=dtype)
    result = jaxlr.train(params, X, y, jaxlr.plain(0.5), steps=5, l2=0.1)
    for t in range(5):
        J, grads = jaxlr.loss_and_grads(params, X, y, l2=0.1)
        assert result.history.loss[t] == pytest.approx(float(J), rel=1e-6)
        norm = np.sqrt(np.sum(np.square(grads.w)) + grads.b**2)
        assert result.history.grad_norm[t] == pytest.approx(float(norm), rel=1e-5)
        params = jaxlr.update(params, grads, 0.5)
    np.testing.assert_allclose(result.params.w, params.w, rtol=1e-5)
    assert (result.steps, result.params_step, result.status) == (5, 5, jaxlr.Status.STEPS_DONE)


def test_intercept_only_lands_on_the_log_odds(dtype):
    y = np.array([1] * 30 + [0] * 70, dtype)
    result = jaxlr.train(
        core.zeros(0, dtype), np.empty((100, 0), dtype), y, jaxlr.plain(1.0), steps=300
    )
    assert float(result.params.b) == pytest.approx(np.log(0.3 / 0.7), rel=1e-6)


def test_descent_never_raises_the_loss_up_to_alpha_one_over_L():
    with jax.enable_x64(True):
        params, X, y = problem(dtype="float64", seed=3)
        design = np.c_[X, np.ones(len(X))]
        L = np.linalg.eigvalsh(design.T @ design / len(X)).max() / 4 + 0.2
        loss = jaxlr.train(params, X, y, jaxlr.plain(1 / L), steps=400, l2=0.2).history.loss
    assert np.all(np.diff(loss) <= 1e-15)
    assert loss[-1] < loss[0] - 0.01


def test_it_arrives_where_scikit_learn_does():
    from sklearn.linear_model import LogisticRegression

    with jax.enable_x64(True):
        params, X, y = problem(dtype="float64")
        s = np.random.default_rng(1).random(200)
        result = jaxlr.train(params, X, y, jaxlr.plain(1.0), steps=5000, l2=0.05, sample_weight=s)
    reference = LogisticRegression(C=1 / (0.05 * s.sum()), tol=1e-10, max_iter=1000)
    reference.fit(X, y, sample_weight=s)
    np.testing.assert_allclose(result.params.w, reference.coef_[0], rtol=1e-6, atol=1e-8)
    assert float(result.params.b) == pytest.approx(reference.intercept_[0], rel=1e-6)


TRANSFORMATIONS = {
    "adam": lambda: optax.adam(0.1),
    "schedule": lambda: optax.sgd(optax.cosine_decay_schedule(0.5, 200), momentum=0.9),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(0.05)),
    "reads the loss": lambda: optax.chain(
        optax.sgd(0.5), optax.contrib.reduce_on_plateau(patience=5)
    ),
    "many steps": lambda: optax.MultiSteps(optax.adam(0.1), 2),
    "lbfgs": lambda: optax.lbfgs(0.5, linesearch=None),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_optax_fits_the_seam(name):
    params, X, y = problem()
    loss = jaxlr.train(params, X, y, TRANSFORMATIONS[name](), steps=100).history.loss
    assert loss[-1] < 0.6 < loss[0]


def test_a_line_search_is_refused_with_the_way_out():
    params, X, y = problem()
    with pytest.raises(TypeError, match="linesearch=None"):
        jaxlr.train(params, X, y, optax.lbfgs(), steps=2)


def test_the_step_is_traced_once_for_all_steps_and_learning_rates(monkeypatch):
    traced = []
    original = core.forward
    monkeypatch.setattr(core, "forward", lambda *a: (traced.append(1), original(*a))[1])
    params, X, y = problem(n=211, d=3)
    for alpha in (0.1, 0.2, 0.3):
        jaxlr.train(params, X, y, jaxlr.plain(alpha), steps=20, l2=alpha)
    assert len(traced) == 1
    tx = optax.adam(0.1)
    for _ in range(2):
        jaxlr.train(params, X, y, tx, steps=20, batch_size=64)
    assert len(traced) == 2


def test_mini_batches_visit_every_row_once_an_epoch(monkeypatch):
    # 21 rows of some weight in batches of 8: the third batch of an epoch is padded with -1.
    n, seen = 23, []
    X = np.arange(n, dtype=np.float32)[:, None]
    y = (np.arange(n) % 2).astype(np.float32)
    original = Batches.at

    def at(self, t):
        order, turn = original(self, t)
        seen.append(np.asarray(order[turn]))
        return order, turn

    monkeypatch.setattr(Batches, "at", at)
    s = np.ones(n)
    s[[3, 11]] = 0
    for _ in range(2):
        jaxlr.train(core.zeros(1), X, y, jaxlr.plain(1e-3), steps=6, batch_size=8, sample_weight=s)
    epochs = [np.concatenate(seen[i : i + 3]) for i in range(0, 12, 3)]
    kept = sorted(set(range(n)) - {3, 11})
    for epoch in epochs:
        assert sorted(epoch[epoch >= 0]) == kept
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(epochs[0], epochs[2])  # the same key, the same order


def test_mini_batch_history_is_the_loss_of_the_batch():
    params, X, y = problem(n=50)
    result = jaxlr.train(params, X, y, jaxlr.plain(1e-30), steps=3, batch_size=20)
    np.testing.assert_allclose(result.history.loss, np.log(2), rtol=1e-6)
    one = jaxlr.train(params, X, y, jaxlr.plain(0.1), steps=3, batch_size=1000)
    full = jaxlr.train(params, X, y, jaxlr.plain(0.1), steps=3)
    np.testing.assert_allclose(one.params.w, full.params.w, rtol=1e-4)


def test_early_stopping_returns_the_best_parameters():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 30)).astype(np.float32)
    y = (rng.random(40) < 0.5).astype(np.float32)  # noise: it can only overfit
    Xv, yv = X[20:], y[20:]
    result = jaxlr.train(
        core.zeros(30), X[:20], y[:20], jaxlr.plain(0.5), steps=500,
        validation=(Xv, yv), patience=7, validate_every=2,
    )  # fmt: skip
    steps, losses = result.history.validation_step, result.history.validation_loss
    assert result.status is jaxlr.Status.STOPPED_EARLY
    best = int(np.argmin(losses))
    assert result.params_step == steps[best]
    assert result.steps == steps[best] + 7 * 2
    assert float(jaxlr.loss(result.params, Xv, yv)) == losses[best]


def test_a_diverging_loss_says_when_and_keeps_the_last_good_parameters():
    params, X, y = problem()
    seen = []
    with pytest.raises(jaxlr.DivergedError, match=r"smaller alpha.*standardise") as caught:
        jaxlr.train(
            params, X * np.float32(1e18), y, jaxlr.plain(1e20), steps=250,
            callback=lambda p: seen.append(p.params),
        )  # fmt: skip
    error = caught.value
    assert len(error.history.loss) == error.step + 1
    assert np.isfinite(error.history.loss[:-1]).all()
    assert not np.isfinite([error.history.loss[-1], error.history.grad_norm[-1]]).all()
    before = [params, *seen][error.step - 1]
    assert np.array_equal(error.params.w, before.w)


def test_a_loss_that_starts_infinite_is_not_blamed_on_the_learning_rate():
    params, X, y = problem()
    params = params._replace(w=params.w + 1e20)
    with pytest.raises(jaxlr.DivergedError) as caught:
        jaxlr.train(params, X * np.float32(1e30), y, jaxlr.plain(0.1), steps=5)
    assert caught.value.step == 0
    assert "standardise" in str(caught.value)
    assert "smaller" not in str(caught.value)


def test_validations_cost_the_same_late_as_early():
    start = first_state(core.zeros(1), jaxlr.plain(0.1))
    look = record.loss_on((np.ones((2, 1)), np.array([0, 1])), start.params)
    held_out = record.HeldOut(start, look, 1, 3)

    class Unread(list):
        def __iter__(self):
            raise AssertionError("read from the start")

        __getitem__ = __contains__ = index = __iter__

    held_out.steps, held_out.losses = Unread(), Unread()
    for t, b in enumerate([2.0, 1.0, 0.5, 0.7, 0.6, 0.8], start=1):
        held_out.look(Params(jnp.zeros(1), jnp.asarray(b)), after=t)
        assert held_out.is_over() == (t in (3, 4, 5, 6))  # b = 0, before all of them, was best
    assert held_out.best.step == 0


def test_validation_may_have_weights():
    params, X, y = problem()
    s = (np.arange(200) < 50).astype(np.float32)
    weighted, fewer = (
        jaxlr.train(params, X, y, jaxlr.plain(0.1), steps=3, validation=rows)
        for rows in ((X, y, s), (X[:50], y[:50]))
    )
    found = weighted.history.validation_loss
    np.testing.assert_allclose(found, fewer.history.validation_loss, rtol=1e-6)
    with pytest.raises(ValueError, match=r"validation has 1 parts: pass \(X, y\)"):
        jaxlr.train(params, X, y, jaxlr.plain(0.1), steps=3, validation=(X,))


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (0.1, r"for plain steps pass jaxlr.plain\(0.1\)"),
        (optax.adam, r"call it first, as in adam\(0.1\)"),
        (jaxlr.plain, r"call it first, as in plain\(0.1\)"),
        (None, "no jaxlr.Optimizer"),
        (optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.1)), "evaluates the loss by itself"),
    ],
)
def test_what_is_no_optimizer_is_refused_with_a_hint(optimizer, message):
    params, X, y = problem()
    with pytest.raises(TypeError, match=message):
        jaxlr.train(params, X, y, optimizer, steps=1)


def test_an_overflow_in_the_very_last_update_is_seen():
    params, X, y = problem()
    with pytest.raises(jaxlr.DivergedError) as caught:
        jaxlr.train(params, X * np.float32(1e5), y, jaxlr.plain(3e38), steps=1)
    assert caught.value.step == 1
    assert np.isfinite(caught.value.params.w).all()


def test_a_callback_sees_every_step_and_can_stop():
    params, X, y = problem()
    steps = []

    def callback(progress):
        steps.append(progress.step)
        return progress.step == 4

    result = jaxlr.train(params, X, y, jaxlr.plain(0.1), steps=100, callback=callback)
    assert steps == [0, 1, 2, 3, 4]
    assert (result.steps, result.status) == (5, jaxlr.Status.STOPPED_BY_CALLBACK)
    assert len(result.history.loss) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"steps": 1, "batch_size": 0}, "batch_size is 0"),
        ({"steps": 1, "patience": 3}, "patience needs validation"),
        ({"steps": 1, "l2": -1.0}, "l2 is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    params, X, y = problem()
    with pytest.raises(ValueError, match=message):
        jaxlr.train(params, X, y, jaxlr.plain(0.1), **settings)


@pytest.mark.parametrize("alpha", [0, -0.1, np.nan, np.inf])
def test_a_learning_rate_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match="learning rate"):
        jaxlr.plain(alpha)


def test_parameters_of_no_steps_are_those_given():
    params, X, y = problem()
    result = jaxlr.train(params, X, y, jaxlr.plain(0.1), steps=0)
    assert result.history.loss.shape == (0,)
    assert np.array_equal(result.params.w, params.w)


def test_bfloat16_parameters_train():
    params, X, y = problem(n=400)
    half = Params(params.w.astype(jnp.bfloat16), params.b.astype(jnp.bfloat16))
    result = jaxlr.train(half, X.astype(jnp.bfloat16), y, jaxlr.plain(0.5), steps=100)
    assert result.params.w.dtype == jnp.bfloat16
    assert result.history.loss[-1] < 0.62
