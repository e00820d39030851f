"""What happens inside the computation graph: nodes by name, and the custom rules within."""

from jaxlr.check.graph.body import body, without_rules

__all__ = ["body", "without_rules"]
