"""The judge: hand-written derivatives of anyone's against oracles that share no code with them.

Nothing here imports the rest of jaxlr; what is judged comes in as an argument.
"""

from typing import TYPE_CHECKING, Any

from jaxlr.check.nodes import NodeCheck, check_nodes
from jaxlr.check.point import check_point
from jaxlr.check.report import Coordinate, Report, Verdict

if TYPE_CHECKING:
    from jaxlr.check.derivative import (
        Audit,
        DerivativeReport,
        audit,
        check_derivatives,
        check_gradient,
    )
    from jaxlr.check.mutation import Mutants, MutationReport, mutants

__all__ = [
    "Audit",
    "Coordinate",
    "DerivativeReport",
    "Mutants",
    "MutationReport",
    "NodeCheck",
    "Report",
    "Verdict",
    "audit",
    "check_derivatives",
    "check_gradient",
    "check_nodes",
    "check_point",
    "mutants",
]

# Read when they are asked for: `import jaxlr` is quick.
_LATER = {
    "Audit": "derivative",
    "DerivativeReport": "derivative",
    "audit": "derivative",
    "check_derivatives": "derivative",
    "check_gradient": "derivative",
    "Mutants": "mutation",
    "MutationReport": "mutation",
    "mutants": "mutation",
}


def __getattr__(name: str) -> Any:
    """Read the files behind a name when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
