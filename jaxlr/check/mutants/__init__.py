"""Mutants: wrong copies of a hand-written derivative, to test the tests that should find them."""

from jaxlr.check.mutants.collection import OPERATORS, Mutants, mutants
from jaxlr.check.mutants.mutant import Mutant
from jaxlr.check.mutants.report import MutationReport, Status, Trial
from jaxlr.check.mutants.source import NoSourceError

__all__ = [
    "OPERATORS",
    "Mutant",
    "Mutants",
    "MutationReport",
    "NoSourceError",
    "Status",
    "Trial",
    "mutants",
]
