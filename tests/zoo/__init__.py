"""The zoo: derivatives by hand that are right, and faults to plant in them, to judge the judge."""

from zoo.faults import FAULTS, LEFT_OUT, SPECIES
from zoo.species import Context, Fault, Species, node_gradients, rule

__all__ = [
    "FAULTS", "LEFT_OUT", "SPECIES", "Context", "Fault", "Species", "node_gradients", "rule",
]  # fmt: skip
