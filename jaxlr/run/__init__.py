"""A scripted training run: a config in, a run folder out."""

from jaxlr.run.config import CvConfig, FitConfig, RunConfig, TrainConfig, check_seed
from jaxlr.run.crosscheck import check_gradient_at, check_nodes_at
from jaxlr.run.fitting import run_cv, run_fit
from jaxlr.run.folder import RunFolderError, write_file
from jaxlr.run.model import Model
from jaxlr.run.result import Run
from jaxlr.run.training import GradientCheckError, run_training

__all__ = [
    "CvConfig",
    "FitConfig",
    "GradientCheckError",
    "Model",
    "Run",
    "RunConfig",
    "RunFolderError",
    "TrainConfig",
    "check_gradient_at",
    "check_nodes_at",
    "check_seed",
    "run_cv",
    "run_fit",
    "run_training",
    "write_file",
]
