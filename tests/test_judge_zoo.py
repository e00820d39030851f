"""The judge over the zoo: faults are wrong and their nodes named, right rules pass in full."""

import os
from typing import Any

import jax
import numpy as np
import pytest
from zoo import FAULTS, SPECIES, Fault, Species, node_gradients, rule
from zoo.faults import ROWS

from jaxlr.check import DerivativeReport, Verdict, check_derivatives

ALL = "ZOO" in os.environ  # with ZOO=all in the environment, every fault and every species
EVERY = 1 if ALL else 700
RIGHT = SPECIES if ALL else ("sigmoid",)
SEEDS = range(3 if ALL else 1)
SAMPLE = {name: [f for f in FAULTS[::EVERY] if f.species == name] for name in SPECIES}


def judged(
    species: Species, fault: Fault | None = None, seed: int = 0, **options: Any
) -> DerivativeReport:
    """Report on the rule of a species, with a fault planted in it."""

    def nodes(*args):
        return node_gradients(species, args[:-1], args[-1], fault)

    args = species.sample(np.random.default_rng(seed), ROWS, np.float32)
    return check_derivatives(
        rule(species, fault),
        *args,
        reference=species.twin,
        argnums=[i for i, yes in enumerate(species.differentiable) if yes],
        vary=[i for i, yes in enumerate(species.stretched) if yes],
        nodes=nodes,
        seed=seed,
        **({"order": species.order} | options),
    )


def first_report(species: Species, fault: Fault) -> DerivativeReport:
    """Report of level quick, or where that finds nothing, of level full."""
    report = judged(species, fault, level="quick", smallest=False)
    if report.verdict is Verdict.WRONG:
        return report
    return judged(species, fault, fail_fast=True, smallest=False)


def blamed(report: DerivativeReport) -> set[str]:
    """Nodes that are wrong themselves; ``out``, where the rule returns another value."""
    if report.findings[0].quantity == "value":
        return {"out"}
    return {c.node for c in report.culprits if c.status == "wrong here"}


def has_culprit(fault: Fault) -> bool:
    """Whether a node's gradient is off: not of faults of the derivative's own derivative."""
    return "order 2" not in fault.shows


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.thorough if name == "network" and not ALL else ())
        for name, faults in SAMPLE.items()
        if faults
    ],
)
def test_every_fault_is_wrong_and_its_node_is_named(name):
    missed, misnamed = {}, {}
    for fault in SAMPLE[name]:
        report = first_report(SPECIES[name], fault)
        if report.verdict is not Verdict.WRONG:
            missed[fault.id] = report.summary()
        elif has_culprit(fault) and blamed(report) != set(fault.culprits):
            misnamed[fault.id] = blamed(report)
    assert not missed
    assert len(misnamed) <= 0.05 * sum(map(has_culprit, SAMPLE[name])), misnamed


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_rules_pass(name, seed):
    report = judged(SPECIES[name], seed=seed, level="full" if ALL else "quick")
    assert report, str(report)
    assert {c.status for c in report.culprits} == {"right"}


@pytest.mark.thorough
def test_a_fault_of_a_quarter_in_bfloat16_alone_shows_in_the_size_of_a_gradient():
    (fault,) = (f for f in FAULTS if f.id == "network, dz1: off in bfloat16")
    options = {"dtypes": ("bfloat16",), "order": 1, "batch_axes": None, "smallest": False}
    report = judged(SPECIES["network"], fault, **options, fail_fast=True)
    assert report.verdict is Verdict.WRONG
    assert {f.quantity for f in report.findings} == {"norm"}  # no number alone shows it


def test_of_equal_numbers_which_are_off_alike_no_size_is_compared():
    f = jax.custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: (x * x, x), lambda x, c: (2 * x * c,))
    options = {"dtypes": ("bfloat16",), "order": 1, "batch_axes": None, "smallest": False}
    modes = 4
    for x, points in ((np.full(9, 1.5, np.float32), 1), (np.linspace(1, 2, 9), 4)):
        report = check_derivatives(f, x, **options)  # "close by", equal numbers differ
        assert report, str(report)
        assert [n.compared for n in report.nodes if n.quantity == "norm"] == [points * modes]
