"""A sweep: many trainings that differ in their settings, compared on validation rows."""

from jaxlr.run.sweep.config import SweepConfig
from jaxlr.run.sweep.folder import BEST, SWEEP, TABLE, cut_short, is_sweep
from jaxlr.run.sweep.outcome import METRICS, Outcome, Sweep
from jaxlr.run.sweep.progress import SweepProgress
from jaxlr.run.sweep.resuming import resume_sweep
from jaxlr.run.sweep.sweep import run_sweep

__all__ = [
    "BEST",
    "METRICS",
    "SWEEP",
    "TABLE",
    "Outcome",
    "Sweep",
    "SweepConfig",
    "SweepProgress",
    "cut_short",
    "is_sweep",
    "resume_sweep",
    "run_sweep",
]
