"""The zoo is what it claims: its right derivatives are right, its wrong ones wrong."""

import os
from functools import cache, partial
from itertools import islice, takewhile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zoo import FAULTS, LEFT_OUT, SPECIES, Fault, node_gradients, rule
from zoo.equivalent import EQUIVALENT
from zoo.faults import fault_of
from zoo.operators import COTANGENT, GRADIENT
from zoo.oracle import FLUSHED, allowed, flat, gradient, second, split, true_nodes, truth
from zoo.probes import probes
from zoo.species import plant
from zoo.witness import differs, right, witness

import jaxlr
from jaxlr import core

ORDINARY = ("anywhere", "accuracy", "n > 1", "n > 8", "float32", "bfloat16", "one class", "eager")
UNSEEN = ("exact zero", "extreme input")
EVERY = 1 if "ZOO" in os.environ else 60  # fault; with ZOO=all in the environment, each of them
THOROUGH = () if EVERY == 1 else pytest.mark.thorough
each_species = pytest.mark.parametrize("name", SPECIES)
SOME = "logistic", "layer norm"  # products and loops take seconds
some_every_day = pytest.mark.parametrize(
    "name",
    [pytest.param(v, marks=() if v in SOME else THOROUGH) for v in SPECIES],
)


@cache
def by_hand(name):
    return jax.jit(partial(gradient, SPECIES[name], rule(SPECIES[name])))


def faults_of(name: str, *shows: str) -> list[Fault]:
    found = [f for f in FAULTS if f.species == name and f.shows.partition(",")[0] in shows]
    return found[::EVERY]


def first_order(name: str) -> list[Fault]:
    rest = ("order 2", "jit", "vmap", "primal")
    found = [f for f in FAULTS if f.species == name and f.shows.partition(",")[0] not in rest]
    return found[::EVERY]


def test_the_zoo_is_large_and_every_name_is_of_one():
    assert len(SPECIES) >= 10
    assert len(FAULTS) >= 240
    assert len({f.id for f in FAULTS}) == len(FAULTS)
    left_out = {(species, node, operator) for species, node, operator, why in LEFT_OUT if why}
    assert len(left_out) == len(LEFT_OUT)
    assert left_out >= set(EQUIVALENT)
    assert not left_out & {(f.species, f.node, f.operator) for f in FAULTS}
    for name, species in SPECIES.items():
        nodes = {node for f in FAULTS if f.species == name for node in f.culprits}
        assert nodes == {*species.nodes, "out"}


@each_species
@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=THOROUGH)], indirect=True
)
def test_right_rules_agree_with_autodiff_everywhere(dtype, name):
    species, eps = SPECIES[name], float(jnp.finfo(dtype).eps)
    for probe in until_one_row(species, dtype, more=0 if dtype == "float64" else 2):
        found = flat(by_hand(name)(*probe[1:]))
        true = flat(truth(species, *probe[1:]))
        bound = allowed(species, *probe[1:], eps) + FLUSHED
        assert np.all(abs(found - true) <= bound), probe.name
        if dtype == "float64" and probe.name == "ordinary":
            assert np.all(abs(found - true) <= 1e-9 * abs(true))


@pytest.mark.parametrize(
    ("half", "name"),
    [
        *(
            pytest.param("bfloat16", name, marks=() if name == "logistic" else THOROUGH)
            for name in (SPECIES if EVERY == 1 else ("logistic", "layer norm"))
        ),
        pytest.param("float16", "logistic", marks=THOROUGH),
        ("float16", "rms norm"),
    ],
)
def test_right_rules_in_half_precision_are_rounded_once(half, name):
    species, eps = SPECIES[name], float(jnp.finfo(half).eps)
    for probe in islice(probes(species, half), 8):
        found = flat(by_hand(name)(*probe[1:]))
        true = flat(truth(species, *probe[1:]))
        computed = allowed(species, *probe[1:], np.finfo(np.float32).eps)
        rounded = eps / 2 * abs(true) + max(FLUSHED, float(jnp.finfo(half).smallest_subnormal))
        assert np.all(abs(found - true) <= 1.01 * rounded + computed), probe.name


def until_one_row(species, dtype, more):
    """All probes of nine rows, and some of one."""
    coming = probes(species, dtype)
    for probe in coming:
        if "one row" not in probe.name:
            yield probe
        elif more > 0:
            more -= 1
            yield probe
        else:
            return


@each_species
def test_right_rules_agree_with_central_differences(name):
    species, rng = SPECIES[name], np.random.default_rng(6)
    with jax.enable_x64(True):
        _, args, c = next(probes(species, "float64"))  # the cotangent is 1
        hand = by_hand(name)(args, c)[1]
        given, merge = split(species, args)
        for _ in range(3):
            along = jax.tree.map(lambda v: rng.standard_normal(v.shape), given)

            def value(h, along=along):
                moved = jax.tree.map(lambda v, u: v + h * u, given, along)
                return truth(species, merge(moved), c)[0].sum()

            slope = (8 * (value(1e-3) - value(-1e-3)) - (value(2e-3) - value(-2e-3))) / 12e-3
            assert slope == pytest.approx(flat(hand) @ flat(along), rel=1e-8, abs=1e-8)


@each_species
def test_nodes_have_the_names_and_the_gradients_of_the_twin(name):
    species = SPECIES[name]
    _, probe, *_ = probes(species, "float32")
    hand = node_gradients(species, *probe[1:])
    true = true_nodes(species, *probe[1:])
    assert tuple(hand) == species.nodes
    assert set(true) == set(hand)
    for node, value in hand.items():
        size = np.max(abs(true[node]))
        np.testing.assert_allclose(value, true[node], rtol=0, atol=1e-5 * size, err_msg=node)


@each_species
def test_every_fault_is_wrong_and_shows_where_it_says(name):
    for fault in first_order(name):
        seen = witness(fault)
        assert seen, fault.id
        where = seen.name
        if fault.shows in ORDINARY:
            assert where in ("ordinary", "cotangent of both signs"), fault.id
        if fault.shows in UNSEEN:
            assert where not in ("ordinary", "cotangent of both signs"), fault.id
        if fault.shows == "cotangent":
            assert where != "ordinary", fault.id


@each_species
def test_what_is_left_out_as_equivalent_is(name):
    operators = {op.name: op for op in (*GRADIENT, *COTANGENT)}
    for species, node, operator in EQUIVALENT:
        if species == name:
            fault = fault_of(species, node, operators[operator])
            known = takewhile(lambda at: "one row" not in at.probe.name, right(name, "float32"))
            assert not any(differs(fault, at) for at in known), fault.id


@each_species
def test_faults_of_a_mode_are_wrong_there_only(name):
    backward = SPECIES[name].backward
    at = next(right(name, "float32"))
    for fault in faults_of(name, "jit", "vmap"):
        assert not differs(fault, at), fault.id
        run = partial(backward, at=plant(fault))
        run = run if fault.shows == "jit" else in_vmap(run)
        found = flat(jax.jit(run)(at.saved, at.probe.cotangent))
        assert np.any(abs(found - at.found) > at.wrong), fault.id


@pytest.mark.parametrize("mode", ["eager", "jit", "vmap"])
def test_faults_of_a_mode_reach_the_rule(mode):
    species = SPECIES["sigmoid"]
    at = next(right("sigmoid", "float32"))
    for fault in faults_of("sigmoid", "eager", "jit", "vmap"):
        run = partial(gradient, species, rule(species, fault))
        run = {"eager": run, "jit": jax.jit(run), "vmap": in_vmap(run)}[mode]
        found = flat(run(*at.probe[1:])[1])
        shows = {mode, "jit"} if mode == "vmap" else {mode}  # vmap traces too
        assert np.any(abs(found - at.found) > at.wrong) == (fault.shows in shows), fault.id


def in_vmap(f):
    """Run f on a batch of one."""

    def g(*args):
        found = jax.vmap(f)(*jax.tree.map(lambda v: v[None], args))
        return jax.tree.map(lambda v: v[0], found)

    return g


@each_species
def test_faults_of_the_primal_are_wrong(name):
    species = SPECIES[name]
    at = next(right(name, "float32"))
    out = flat(species.forward(*at.probe.args)[0])
    for fault in faults_of(name, "primal"):
        f = rule(species, fault)
        found = flat(gradient(species, f, *at.probe[1:])[0])
        assert np.max(abs(found - out)) > 1e-4, fault.id
        assert np.array_equal(flat(f(*at.probe.args)), out) == ("differentiated" in fault.name)


@some_every_day
def test_right_rules_have_right_second_derivatives(name):
    species, eps = SPECIES[name], np.finfo(np.float32).eps
    if species.order < 2:
        assert not faults_of(name, "order 2")
        return
    by_hand = jax.jit(partial(second, species, rule(species)))
    for probe in islice(probes(species, "float32"), 7):
        found = flat(by_hand(*probe[1:]))
        true = flat(truth(species, *probe[1:], order=2))
        bound = allowed(species, *probe[1:], eps, order=2)
        # Autodiff of the hand's formula adds terms of the size of the largest.
        assert np.all(abs(found - true) <= bound + 8 * eps * np.max(abs(true))), probe.name


@some_every_day
def test_faults_of_the_second_derivative_are_right_in_the_first(name):
    known = list(islice(right(name, "float32"), 6))
    ordinary, zero = known[1], known[5]
    assert zero.probe.name.startswith("zero")
    for fault in faults_of(name, "order 2"):
        assert not any(differs(fault, at, slack=1e-5) for at in known), fault.id
        at = zero if "exact zero" in fault.shows else ordinary
        by = "cotangent" if "by the cotangent" in fault.shows else "args"
        assert seen_in_jvp(name, fault, at, by), fault.id
        assert by == "args" or not seen_in_jvp(name, fault, at, "args"), fault.id


def seen_in_jvp(name, fault, at, by):
    wrong, true = (moved(name, f, at, by) for f in (fault, None))
    return not np.allclose(wrong, true, rtol=1e-3, atol=1e-5 * np.max(abs(true)))


def moved(name, fault, at, by):
    """How the gradient moves as its arguments or its cotangent do, in a direction of 1 and -1."""
    species = SPECIES[name]

    def backward(given, c):
        return species.backward(species.forward(*merge(given))[1], c, plant(fault))

    given, merge = split(species, at.probe.args)
    primals = given, at.probe.cotangent
    rng = np.random.default_rng(4)
    along = jax.tree.map(lambda v: jnp.asarray(rng.choice([-1, 1], v.shape), v.dtype), primals)
    zeros = jax.tree.map(jnp.zeros_like, primals)
    tangents = (along[0], zeros[1]) if by == "args" else (zeros[0], along[1])
    return flat(jax.jvp(backward, primals, tangents)[1])


def test_the_species_that_are_ours_compute_what_jaxlr_does(dtype):
    rng = np.random.default_rng(2)
    species = SPECIES["jaxlr core"]
    args = species.sample(rng, 9, dtype)
    _, (grads,) = gradient(species, rule(species), args, jnp.ones((), dtype))
    np.testing.assert_array_equal(flat(grads), flat(core.backward(core.forward(*args)[1])))
    species = SPECIES["jaxlr batch"]
    params, X, y, s = args = species.sample(rng, 9, dtype)
    J, (grads,) = gradient(species, rule(species), args, jnp.ones((), dtype))
    ours = jaxlr.loss_and_grads(params, X, y, s, l2=0.125)
    np.testing.assert_allclose(flat((J, grads)), flat(ours), rtol=32 * jnp.finfo(dtype).eps)
