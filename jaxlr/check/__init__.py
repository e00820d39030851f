"""The judge: hand-written derivatives of anyone's against oracles that share no code with them.

Nothing here imports the rest of jaxlr; what is judged comes in as an argument.
"""

from jaxlr.check.gradient import check_gradient
from jaxlr.check.mutation import Mutants, MutationReport, mutants
from jaxlr.check.nodes import NodeCheck, check_nodes
from jaxlr.check.report import Coordinate, Report, Verdict

__all__ = [
    "Coordinate",
    "Mutants",
    "MutationReport",
    "NodeCheck",
    "Report",
    "Verdict",
    "check_gradient",
    "check_nodes",
    "mutants",
]
