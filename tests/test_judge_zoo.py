"""The judge over the zoo: faults are wrong and their nodes named, right rules pass in full."""

import os

import numpy as np
import pytest
from zoo import FAULTS, SPECIES, Fault, Species, node_gradients, rule
from zoo.faults import ROWS

from jaxlr.check import DerivativeReport, Verdict, check_derivatives
from jaxlr.check.derivative import conclude

ALL = "ZOO" in os.environ  # with ZOO=all in the environment, every fault and every species
EVERY = 1 if ALL else 40
RIGHT = SPECIES if ALL else ("softmax cross-entropy", "rms norm")
SEEDS = range(3 if ALL else 1)
SAMPLE = {name: [f for f in FAULTS[::EVERY] if f.species == name] for name in SPECIES}


@pytest.fixture(autouse=True)
def no_smallest_input(monkeypatch):
    """Leave out what comes after the verdict, and takes most of the time."""
    monkeypatch.setattr(conclude.Failing, "code", lambda *_: "")
    monkeypatch.setattr(conclude.Failing, "edge", lambda *_: "")


def judged(species: Species, fault: Fault | None = None, seed: int = 0, **options):
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
        order=species.order,
        nodes=nodes,
        seed=seed,
        **options,
    )


def blamed(report: DerivativeReport) -> set[str]:
    """Nodes that are wrong themselves; ``out``, where the rule returns another value."""
    if report.findings[0].quantity == "value":
        return {"out"}
    return {c.node for c in report.culprits if c.status == "wrong here"}


def has_culprit(fault: Fault) -> bool:
    """Whether a node's gradient is off: not of faults of the derivative's own derivative."""
    return "order 2" not in fault.shows


@pytest.mark.parametrize("name", [name for name, faults in SAMPLE.items() if faults])
def test_every_fault_is_wrong_and_its_node_is_named(name):
    missed, misnamed = {}, {}
    for fault in SAMPLE[name]:
        report = judged(SPECIES[name], fault, fail_fast=True)
        if report.verdict is not Verdict.WRONG:
            missed[fault.id] = report.summary()
        elif has_culprit(fault) and blamed(report) != set(fault.culprits):
            misnamed[fault.id] = blamed(report)
    assert not missed
    assert len(misnamed) <= 0.05 * sum(map(has_culprit, SAMPLE[name])), misnamed


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_rules_pass_in_full(name, seed):
    report = judged(SPECIES[name], seed=seed)
    assert report, str(report)
    assert {c.status for c in report.culprits} == {"right"}
