"""A sweep: many trainings that differ in their settings, compared on validation rows."""

from jaxlr.run.sweep.config import SweepConfig
from jaxlr.run.sweep.folder import BEST, SWEEP, TABLE
from jaxlr.run.sweep.outcome import METRICS, Outcome, Sweep
from jaxlr.run.sweep.sweep import SweepProgress, run_sweep

__all__ = [
    "BEST",
    "METRICS",
    "SWEEP",
    "TABLE",
    "Outcome",
    "Sweep",
    "SweepConfig",
    "SweepProgress",
    "run_sweep",
]
