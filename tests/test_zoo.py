"""The zoo is what it claims: its right derivatives are right, its wrong ones wrong."""

from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zoo import FAULTS, LEFT_OUT, SPECIES, Fault, node_gradients, rule
from zoo.equivalent import EQUIVALENT
from zoo.faults import _fault
from zoo.operators import COTANGENT, GRADIENT
from zoo.oracle import allowed, flat, gradient, second, true_nodes, truth
from zoo.probes import Probe, probes
from zoo.species import plant

import jaxlr
from jaxlr import core

ORDINARY = ("anywhere", "accuracy", "n > 1", "n > 8", "float32", "bfloat16", "one class", "eager")
UNSEEN_AT_ORDINARY = ("exact zero", "extreme input")
each_species = pytest.mark.parametrize("name", SPECIES)


class Right(NamedTuple):
    """A probe, what the right backward pass makes of it, and how far from that is wrong."""

    probe: Probe
    saved: object
    found: np.ndarray
    wrong: np.ndarray


@cache
def _looked_up(name: str, dtype: str) -> tuple[Iterator[Probe], list[Right]]:
    return probes(SPECIES[name], dtype), []


def right(name: str, dtype: str) -> Iterator[Right]:
    """Probes in their order, each computed once, when it is first asked for."""
    coming, known = _looked_up(name, dtype)
    yield from known
    species, eps = SPECIES[name], float(jnp.finfo(dtype).eps)
    for probe in coming:
        saved = species.forward(*probe.args)[1]
        found = flat(species.backward(saved, probe.cotangent, plant(None)))
        true = flat(truth(species, probe.args, probe.cotangent)[1])
        wrong = 4 * np.maximum(abs(found - true), eps * abs(true)) + float(jnp.finfo(dtype).tiny)
        known.append(Right(probe, saved, found, wrong))
        yield known[-1]


def differs(fault: Fault, at: Right) -> bool:
    found = flat(SPECIES[fault.species].backward(at.saved, at.probe.cotangent, plant(fault)))
    with np.errstate(invalid="ignore"):
        return bool(np.any(~(abs(found - at.found) <= at.wrong)))


def faults_of(name: str, *shows: str) -> list[Fault]:
    return [f for f in FAULTS if f.species == name and f.shows.partition(",")[0] in shows]


def first_order(name: str) -> list[Fault]:
    rest = ("order 2", "jit", "vmap", "primal")
    return [f for f in FAULTS if f.species == name and f.shows.partition(",")[0] not in rest]


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
@pytest.mark.parametrize("n", [1, 9])
def test_right_rules_agree_with_autodiff_everywhere(dtype, name, n):
    species, eps = SPECIES[name], float(jnp.finfo(dtype).eps)
    f = rule(species)
    for probe in probes(species, dtype, n):
        if "one row" in probe.name:
            continue
        found = flat(gradient(species, f, probe.args, probe.cotangent))
        true = flat(truth(species, probe.args, probe.cotangent))
        bound = allowed(species, probe.args, probe.cotangent, eps) + float(jnp.finfo(dtype).tiny)
        assert np.all(abs(found - true) <= bound), probe.name
        if dtype == "float64" and probe.name == "ordinary":
            assert np.all(abs(found - true) <= 1e-9 * abs(true))


@each_species
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_right_rules_in_half_precision_are_rounded_once(half, name):
    species, eps = SPECIES[name], float(jnp.finfo(half).eps)
    f = rule(species)
    for probe in list(probes(species, half))[:8]:
        found = flat(gradient(species, f, probe.args, probe.cotangent))
        true = flat(truth(species, probe.args, probe.cotangent))
        computed = allowed(species, probe.args, probe.cotangent, np.finfo(np.float32).eps)
        rounded = eps / 2 * abs(true) + float(jnp.finfo(half).smallest_subnormal)
        assert np.all(abs(found - true) <= 1.01 * rounded + computed), probe.name


@each_species
def test_right_rules_agree_with_central_differences(name):
    species = SPECIES[name]
    with jax.enable_x64(True):
        args = species.sample(np.random.default_rng(5), 9, "float64")
        c = jnp.ones_like(species.twin(*args))
        _, grads = gradient(species, rule(species), args, c)
        rng = np.random.default_rng(6)
        for _ in range(3):
            wanted = iter(grads)
            along = [
                jax.tree.map(lambda g: rng.standard_normal(g.shape), next(wanted)) if yes else None
                for yes in species.differentiable
            ]
            value = partial(moved_sum, species, args, along)
            slope = (8 * (value(1e-3) - value(-1e-3)) - (value(2e-3) - value(-2e-3))) / 12e-3
            parts = zip(grads, [v for v in along if v is not None], strict=True)
            hand = sum(flat(g) @ flat(v) for g, v in parts)
            assert slope == pytest.approx(hand, rel=1e-8, abs=1e-8)


def moved_sum(species, args, along, h):
    """Sum of what the twin makes of arguments moved by h."""
    moved = [
        v if u is None else jax.tree.map(lambda v, u: v + h * u, v, u)
        for v, u in zip(args, along, strict=True)
    ]
    return float(species.twin(*moved).sum())


@each_species
def test_nodes_have_the_names_and_the_gradients_of_the_twin(name):
    species = SPECIES[name]
    with jax.enable_x64(True):
        for probe in list(probes(species, "float64"))[:2]:
            hand = node_gradients(species, probe.args, probe.cotangent)
            true = true_nodes(species, probe.args, probe.cotangent)
            assert tuple(hand) == species.nodes
            assert set(true) == set(hand)
            for node, value in hand.items():
                np.testing.assert_allclose(value, true[node], rtol=1e-10, atol=1e-13, err_msg=node)


@each_species
def test_every_fault_is_wrong_and_shows_where_it_says(name):
    for fault in first_order(name):
        in_half = fault.shows == "bfloat16"
        seen = next((at for at in right(name, "bfloat16" if in_half else "float32")
                     if differs(fault, at)), None)  # fmt: skip
        assert seen, fault.id
        where = seen.probe.name
        if fault.shows in ORDINARY:
            assert where in ("ordinary", "cotangent of both signs"), fault.id
        if fault.shows in UNSEEN_AT_ORDINARY:
            assert where not in ("ordinary", "cotangent of both signs"), fault.id
        if fault.shows == "cotangent":
            assert where != "ordinary", fault.id


@each_species
def test_what_is_left_out_as_equivalent_is(name):
    operators = {op.name: op for op in (*GRADIENT, *COTANGENT)}
    for species, node, operator in EQUIVALENT:
        if species == name:
            fault = _fault(species, node, operators[operator])
            assert not any(differs(fault, at) for at in right(name, "float32")), fault.id


@each_species
def test_faults_of_a_mode_are_wrong_there_only(name):
    species = SPECIES[name]
    at = next(right(name, "float32"))
    for fault in faults_of(name, "jit", "vmap"):
        assert not differs(fault, at), fault.id
        run = partial(gradient, species, rule(species, fault))
        mode = jax.jit if fault.shows == "jit" else in_vmap
        found = flat(mode(run)(at.probe.args, at.probe.cotangent)[1])
        assert np.any(abs(found - at.found) > at.wrong), fault.id


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


@each_species
def test_second_derivatives(name):
    species = SPECIES[name]
    if species.order < 2:
        assert not faults_of(name, "order 2")
        return
    with jax.enable_x64(True):
        for probe in probes(species, "float64"):
            if not probe.name.startswith(("ordinary", "cotangent of", "zero (0,")):
                continue
            found = flat(second(species, rule(species), *probe[1:]))
            true = flat(truth(species, *probe[1:], order=2))
            bound = allowed(species, *probe[1:], np.finfo(float).eps, order=2)
            assert np.all(abs(found - true) <= bound + 1e-15), probe.name


@each_species
def test_faults_of_the_second_derivative_are_right_in_the_first(name):
    species = SPECIES[name]
    at = list(right(name, "float32"))[:9]
    for fault in faults_of(name, "order 2"):
        assert not any(differs(fault, a) for a in at), fault.id
        where = at[6].probe if "exact zero" in fault.shows else at[1].probe
        by_args, by_c = second(species, rule(species, fault), *where[1:])
        true_args, true_c = truth(species, *where[1:], order=2)
        size = np.max(abs(flat((true_args, true_c))))
        in_hessian = np.any(abs(flat(by_args) - flat(true_args)) > 1e-3 * size)
        if "by the cotangent" in fault.shows:
            assert not in_hessian, fault.id
            assert np.any(abs(flat(by_c) - flat(true_c)) > 1e-3 * size), fault.id
        else:
            assert in_hessian, fault.id


def test_the_species_that_are_ours_compute_what_jaxlr_does(dtype):
    rng = np.random.default_rng(2)
    species = SPECIES["jaxlr core"]
    params, x, y = args = species.sample(rng, 5, dtype)
    _, (grads,) = gradient(species, rule(species), args, jnp.ones((), dtype))
    np.testing.assert_array_equal(flat(grads), flat(core.backward(core.forward(*args)[1])))
    species = SPECIES["jaxlr batch"]
    params, X, y, s = args = species.sample(rng, 30, dtype)
    J, (grads,) = gradient(species, rule(species), args, jnp.ones((), dtype))
    ours = jaxlr.loss_and_grads(params, X, y, s, l2=0.125)
    np.testing.assert_allclose(flat((J, grads)), flat(ours), rtol=8 * jnp.finfo(dtype).eps)
