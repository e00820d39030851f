"""Directional derivatives of a function by ways that share no code, each with its own error.

Every one is asked under ``jax.enable_x64(True)`` about a function of a flat float64 vector to a
float64 number, and answers with a ``Reading``: a value and a bound of its error, or a refusal.
None of them uses the rule of a ``custom_jvp`` or ``custom_vjp``.
"""

from jaxlr.check.oracles import complex_step, differences, exact, taylor
from jaxlr.check.oracles.reading import Reading
from jaxlr.check.oracles.taylor import Taylor

__all__ = ["Reading", "Taylor", "complex_step", "differences", "exact", "taylor"]
