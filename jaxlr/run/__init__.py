"""A scripted training run: a config in, a run folder out."""

from jaxlr.run.config import TrainConfig, check_seed
from jaxlr.run.crosscheck import check_gradient_at, check_nodes_at
from jaxlr.run.folder import RunFolderError, write_file
from jaxlr.run.model import Model
from jaxlr.run.training import GradientCheckError, Run, run_training

__all__ = [
    "GradientCheckError",
    "Model",
    "Run",
    "RunFolderError",
    "TrainConfig",
    "check_gradient_at",
    "check_nodes_at",
    "check_seed",
    "run_training",
    "write_file",
]
