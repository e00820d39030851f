"""A scripted training run: a config in, a run folder out."""

from jaxlr.run.config import CvConfig, FitConfig, RunConfig, TrainConfig, check_seed
from jaxlr.run.crosscheck import check_gradient_at, check_nodes_at
from jaxlr.run.fitting import run_cv, run_fit
from jaxlr.run.folder import RunFolderError, write_file
from jaxlr.run.listing import Listed, list_runs
from jaxlr.run.memory import to_bytes
from jaxlr.run.model import Model
from jaxlr.run.predicting import (
    Predictions,
    is_parquet,
    predict_to,
    predictions,
    write_predictions,
)
from jaxlr.run.result import Run
from jaxlr.run.resuming import resume_training
from jaxlr.run.session import GradientCheckError
from jaxlr.run.sweep import Sweep, SweepConfig, resume_sweep, run_sweep
from jaxlr.run.training import run_training

__all__ = [
    "CvConfig",
    "FitConfig",
    "GradientCheckError",
    "Listed",
    "Model",
    "Predictions",
    "Run",
    "RunConfig",
    "RunFolderError",
    "Sweep",
    "SweepConfig",
    "TrainConfig",
    "check_gradient_at",
    "check_nodes_at",
    "check_seed",
    "is_parquet",
    "list_runs",
    "predict_to",
    "predictions",
    "resume_sweep",
    "resume_training",
    "run_cv",
    "run_fit",
    "run_sweep",
    "run_training",
    "to_bytes",
    "write_file",
    "write_predictions",
]
