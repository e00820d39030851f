"""What happens inside the computation graph: nodes by name, and the custom rules within."""

from jaxlr.check.graph.body import body, without_rules
from jaxlr.check.graph.rules import Rule, rules

__all__ = ["Rule", "body", "rules", "without_rules"]
