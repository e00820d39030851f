"""Training that stops at a step and goes on from its state: the same bits as without the break."""

import jax
import numpy as np
import optax
import pytest

import jaxlr
from jaxlr import core

STEPS = 23
RNG = np.random.default_rng(0)
X = RNG.standard_normal((37, 4)).astype(np.float32)
Y = (RNG.random(37) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(np.float32)
S = RNG.random(37).astype(np.float32)
S[[4, 9]] = 0
ADAM = optax.adam(0.1)
OPTIMIZERS = {
    "plain": jaxlr.plain(0.5),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "adam": ADAM,
    "schedule": optax.sgd(optax.cosine_decay_schedule(0.5, STEPS), momentum=0.9),
}
SETTINGS = {
    "full": {},
    "batches": {"batch_size": 8, "key": jax.random.key(3)},  # 37 rows: the fifth batch is padded
    "weights": {"batch_size": 8, "sample_weight": S},
    "validation": {"validation": (X[:9], Y[:9]), "validate_every": 3},
}


def train(start, optimizer, steps=STEPS, **settings):
    return jaxlr.train(start, X, Y, optimizer, steps=steps, l2=0.01, **settings)


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for u, v in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(u).dtype == np.asarray(v).dtype
        assert np.asarray(u).tobytes() == np.asarray(v).tobytes()


def test_a_break_at_any_step_changes_no_bit():
    whole = train(core.zeros(4), ADAM, **SETTINGS["weights"])
    for k in range(STEPS + 1):  # before, in and at the end of an epoch
        first = train(core.zeros(4), ADAM, k, **SETTINGS["weights"])
        rest = train(first.state, ADAM, **SETTINGS["weights"])
        assert_same_bits(rest.state, whole.state)
        losses = np.append(first.history.loss, rest.history.loss)
        assert np.array_equal(losses, whole.history.loss)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_state_that_was_on_disk_gives_the_same_bits(optimizer, settings):
    optimizer, settings, kept = OPTIMIZERS[optimizer], SETTINGS[settings], []
    whole = train(
        core.zeros(4), optimizer, callback=lambda p: kept.append(p.state) and None, **settings
    )
    state = jax.tree.map(np.asarray, kept[9])  # what a file gives back
    rest = train(state, optimizer, **settings)
    assert_same_bits(rest.state, whole.state)
    assert_same_bits(rest.params, whole.params)
    assert (rest.steps, rest.params_step, rest.status) == (STEPS, whole.params_step, whole.status)
    assert np.array_equal(rest.history.loss, whole.history.loss[10:])
    late = whole.history.validation_step > 10
    assert np.array_equal(rest.history.validation_step, whole.history.validation_step[late])
    assert np.array_equal(rest.history.validation_loss, whole.history.validation_loss[late])


def test_patience_goes_on_counting():
    opposite = {"validation": (X[:9], 1 - Y[:9]), "patience": 4, "validate_every": 3}
    kept = []
    whole = train(core.zeros(4), ADAM, callback=lambda p: kept.append(p.state) and None, **opposite)
    assert (whole.status, whole.steps, whole.params_step) == (jaxlr.Status.STOPPED_EARLY, 12, 0)
    for state in kept:  # the last of them too, from which there is no step to take
        rest = train(state, ADAM, **opposite)
        assert (rest.status, rest.steps, rest.params_step) == (jaxlr.Status.STOPPED_EARLY, 12, 0)
        assert_same_bits(rest.state, whole.state)


def test_a_divergence_after_a_break_is_told_by_its_step_from_the_beginning():
    huge = jaxlr.plain(1e20)

    def run(start, steps, callback=None):
        return jaxlr.train(start, X * np.float32(1e18), Y, huge, steps=steps, callback=callback)

    with pytest.raises(jaxlr.DivergedError) as whole:
        run(core.zeros(4), 50)
    assert whole.value.step > 0
    with pytest.raises(jaxlr.DivergedError) as rest:
        run(run(core.zeros(4), whole.value.step - 1).state, 50)
    assert rest.value.step == whole.value.step
    assert_same_bits(rest.value.params, whole.value.params)


def test_a_state_of_another_training_is_refused():
    state = train(core.zeros(4), ADAM, 2).state
    with pytest.raises(ValueError, match=r"state\.optimizer is .*float32\[\].*the training began"):
        train(state, OPTIMIZERS["momentum"])
    with pytest.raises(ValueError, match=r"X has 3 features \(columns\), but w has 4"):
        jaxlr.train(state, X[:, :3], Y, ADAM, steps=4)
    half = state._replace(good=core.zeros(3))
    with pytest.raises(ValueError, match=r"state\.good is \.w float32\[3\]"):
        train(half, ADAM)


def test_a_callback_sees_how_many_rows_a_step_read():
    seen = []
    for settings in ({}, {"batch_size": 8}):
        train(core.zeros(4), ADAM, 1, callback=lambda p: seen.append(p.rows) and None, **settings)
    assert seen == [37, 8]
