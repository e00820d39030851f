"""Every custom rule that a function calls, with the values that reach it."""

from jaxlr.check.graph.body import body, without_rules

__all__ = ["body", "without_rules"]
