"""The judge: hand-written derivatives of anyone's against oracles that share no code with them.

Nothing here imports the rest of jaxlr; what is judged comes in as an argument.
"""

from typing import TYPE_CHECKING, Any

from jaxlr.check.gradient import check_gradient
from jaxlr.check.nodes import NodeCheck, check_nodes
from jaxlr.check.report import Coordinate, Report, Verdict

if TYPE_CHECKING:
    from jaxlr.check.mutation import Mutants, MutationReport, mutants

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


def __getattr__(name: str) -> Any:
    """Read the files behind ``mutants`` when they are asked for: `import jaxlr` is quick."""
    if name not in ("Mutants", "MutationReport", "mutants"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jaxlr.check import mutation

    return getattr(mutation, name)
