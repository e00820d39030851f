"""Where a fault shows: inputs at which it differs from the right rule by more than its error."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from zoo.faults import SPECIES
from zoo.oracle import FLUSHED, flat, truth
from zoo.probes import Probe, probes
from zoo.species import Fault, plant


class Right(NamedTuple):
    """A probe, what the right backward pass makes of it, and how far from that is wrong."""

    probe: Probe
    saved: Any
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
        true = flat(truth(species, *probe[1:])[1])
        wrong = 4 * np.maximum(abs(found - true), eps * abs(true)) + FLUSHED
        known.append(Right(probe, saved, found, wrong))
        yield known[-1]


def differs(fault: Fault, at: Right, slack: float = 0.0) -> bool:
    """Whether the fault shows there, by more than ``slack`` of the largest gradient."""
    found = flat(SPECIES[fault.species].backward(at.saved, at.probe.cotangent, plant(fault)))
    with np.errstate(invalid="ignore"):
        return bool(np.any(~(abs(found - at.found) <= at.wrong + slack * np.max(abs(at.found)))))


def witness(fault: Fault) -> Probe | None:
    """The first probe at which the gradient by the backward pass is wrong."""
    dtype = "bfloat16" if fault.shows == "bfloat16" else "float32"
    found = (at.probe for at in right(fault.species, dtype) if differs(fault, at))
    return next(found, None)
