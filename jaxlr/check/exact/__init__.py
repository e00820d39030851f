"""Functions of JAX in arbitrary precision: their values, and derivatives by differences.

What is judged in float32 or float64 is compared here with numbers that rounding has not touched.
"""

from jaxlr.check.exact.evaluate import evaluate
from jaxlr.check.exact.interpret import Unsupported
from jaxlr.check.exact.slope import Slope, second, slope
from jaxlr.check.exact.trace import Unresolved

__all__ = ["Slope", "Unresolved", "Unsupported", "evaluate", "second", "slope"]
