"""What a run is told: one typed record for scripts, files and the command line."""

from jaxlr.run.config.base import RunConfig, check_seed
from jaxlr.run.config.columns import ColumnSettings, check_missing
from jaxlr.run.config.fit import CvConfig, FitConfig
from jaxlr.run.config.train import TrainConfig

__all__ = [
    "ColumnSettings",
    "CvConfig",
    "FitConfig",
    "RunConfig",
    "TrainConfig",
    "check_missing",
    "check_seed",
]
