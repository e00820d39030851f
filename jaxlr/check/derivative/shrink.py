"""The smallest input at which a finding shows, and the edge beyond which it does."""

from typing import Any

import jax
import numpy as np

from jaxlr.check.derivative.compare import Comparison, Place, comparisons
from jaxlr.check.derivative.judge import Judge
from jaxlr.check.derivative.layout import floating
from jaxlr.check.derivative.points import Probe
from jaxlr.check.derivative.quantities import Point
from jaxlr.check.smallest import as_code, boundary, smallest


def shrunk(judge: Judge, made: Comparison, quick: bool) -> str:
    return ""


def edge(judge: Judge, made: Comparison) -> str:
    return ""
