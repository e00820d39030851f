"""The smallest failing input: fewer rows, fewer features, rounder numbers, printed as code."""

from jaxlr.check.smallest.boundary import boundary
from jaxlr.check.smallest.reduce import Smallest, smallest

__all__ = ["Smallest", "boundary", "smallest"]
