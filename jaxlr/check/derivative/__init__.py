"""Derivatives by hand, judged: of a rule, of a function that returns gradients, of all inside."""

from jaxlr.check.derivative.audit import Audit, audit
from jaxlr.check.derivative.derivatives import check_derivatives
from jaxlr.check.derivative.of_loss import check_gradient
from jaxlr.check.derivative.report import DerivativeReport, Finding, Node, Oracle

__all__ = [
    "Audit",
    "DerivativeReport",
    "Finding",
    "Node",
    "Oracle",
    "audit",
    "check_derivatives",
    "check_gradient",
]
