"""Mutants: wrong copies of a hand-written derivative, to test the tests that should find them."""

from jaxlr.check.mutation.collection import OPERATORS, Mutants, mutants
from jaxlr.check.mutation.mutant import Mutant
from jaxlr.check.mutation.report import MutationReport, Status, Trial
from jaxlr.check.mutation.source import NoSourceError

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
