"""What happens inside the computation graph: nodes by name, and the custom rules within."""

from jaxlr.check.graph.body import body, without_rules
from jaxlr.check.graph.locate import NodeVerdict, locate
from jaxlr.check.graph.nodes import expected_nodes, left_out, true_nodes
from jaxlr.check.graph.rules import Rule, rules

__all__ = [
    "NodeVerdict",
    "Rule",
    "body",
    "expected_nodes",
    "left_out",
    "locate",
    "rules",
    "true_nodes",
    "without_rules",
]
