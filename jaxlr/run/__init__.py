"""A scripted training run: a config in, a run folder out."""

from jaxlr.run.config import FILE as CONFIG_FILE
from jaxlr.run.config import TrainConfig
from jaxlr.run.crosscheck import check_gradient_at, check_nodes_at
from jaxlr.run.folder import RunFolderError
from jaxlr.run.model import Model
from jaxlr.run.training import GradientCheckError, Run, run_training

__all__ = [
    "CONFIG_FILE",
    "GradientCheckError",
    "Model",
    "Run",
    "RunFolderError",
    "TrainConfig",
    "check_gradient_at",
    "check_nodes_at",
    "run_training",
]
