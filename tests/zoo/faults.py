"""Every fault of the zoo, and what was left out of it, with the reason."""

from typing import Any

import jax
import numpy as np
from jax import Array

from zoo import elementwise, norms, ours, products, recurrent, rowwise
from zoo.by_hand import BY_HAND
from zoo.equivalent import EQUIVALENT
from zoo.operators import COTANGENT, GRADIENT, MODES, PRIMAL, Operator
from zoo.species import Context, Fault, Species

SPECIES: dict[str, Species] = {
    species.name: species
    for module in (elementwise, rowwise, norms, products, recurrent, ours)
    for species in module.SPECIES
}
ROWS = 9  # of the sample by which is told what a node has: more than 8, and no multiple of it


def _places(species: Species) -> list[tuple[str, Operator, str]]:
    """Each node and operator of a species, with what the node lacks for it."""
    found: list[tuple[str, Operator, str]] = []

    def at(node: str, value: Array, context: Context) -> Array:
        operators = COTANGENT if node == "dout" else GRADIENT
        if node == species.nodes[1]:
            operators = (*operators, *MODES)
        found.extend((node, op, _missing(species, op, value, context)) for op in operators)
        return value

    def run(*args: Any) -> Array:
        out, saved = species.forward(*args)
        context = Context(out.dtype, saved, rows=out.ndim > 0)
        found.extend(("out", op, op.missing(out, context)) for op in PRIMAL)
        species.backward(saved, out, at)
        return out

    jax.eval_shape(run, *species.sample(np.random.default_rng(0), ROWS, np.float32))
    return found


def _missing(species: Species, op: Operator, value: Array, context: Context) -> str:
    if op.shows == "order 2" and species.order < 2:
        return "the rule has no second derivative"
    return op.missing(value, context)


def _collect() -> tuple[list[Fault], list[tuple[str, str, str, str]]]:
    faults, left_out = [], []
    for species in SPECIES.values():
        for node, op, missing in _places(species):
            why = missing or EQUIVALENT.get((species.name, node, op.name), "")
            if why:
                left_out.append((species.name, node, op.name, why))
            else:
                faults.append(fault_of(species.name, node, op))
    return faults + list(BY_HAND), left_out


def fault_of(species: str, node: str, op: Operator) -> Fault:
    shows = SHOWS.get((species, node, op.name), op.shows)
    if op.name in ("stopped", "wrong rule inside") and (species, node) in LINEAR:
        shows = "order 2, by the cotangent"
    return Fault(species, node, op.name, op.build, shows, operator=op.name)


# Gradients that depend on nothing but the cotangent: a Hessian at a constant one shows no fault
# in their derivative.
LINEAR = {("layer norm", "db"), *((name, "dout") for name in SPECIES)}

# Where a fault of a kind shows elsewhere than others of its kind.
SHOWS = {
    ("logistic", "dy", "zero at exact 0"): "label 0",
    ("logistic", "dy", "off at exact 0"): "label 0",
    ("network", "dz1", "textbook's formula"): "accuracy",
}

FAULTS, LEFT_OUT = _collect()
