"""The smallest failing input: fewer rows, fewer features, rounder numbers, printed as code."""

from jaxlr.check.smallest.boundary import boundary
from jaxlr.check.smallest.reduce import Smallest, smallest
from jaxlr.check.smallest.snippet import as_code

__all__ = ["Smallest", "as_code", "boundary", "smallest"]
