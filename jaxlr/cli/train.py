"""``jaxlr train`` and ``jaxlr resume``: a model from data, in a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from jaxlr import shard
from jaxlr.cli import sweep
from jaxlr.cli.progress import TrainingProgress
from jaxlr.cli.show import print_error, print_line, print_metrics
from jaxlr.data import BUILT_IN
from jaxlr.run import Run, RunConfig, RunFolderError, TrainConfig, resume_training, run_training
from jaxlr.run.sweep import is_sweep
from jaxlr.train import check_count


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a model by gradient descent and write it to a run folder.

    Without arguments: on the built-in Wisconsin breast cancer data. CONFIG.toml in the place of
    DATA is a file of settings, such as a run folder has; options given too come before it.
    """

    data: Annotated[Positional[str], arg(metavar="DATA|CONFIG.toml")] = BUILT_IN
    """A file (CSV, Parquet, npy, npz, libsvm), a folder of Parquet files, a URL of one of these,
    or the name of the built-in data set."""

    def run(self) -> int:
        """Train; 1 if the loss diverged, 130 or 143 if it was interrupted."""
        with TrainingProgress(self.steps) as progress:
            run = run_training(self, tell=progress.tell, callback=progress)
        return _end(run, progress)


@dataclass(frozen=True)
class Resume:
    """Go on with a training or a sweep that was killed or interrupted, as if it had not been.

    Of a sweep, programs that have ended are not trained again.
    """

    run_folder: Annotated[Positional[str], arg(metavar="RUN")]
    """A folder that `jaxlr train` or `jaxlr sweep` was writing."""
    steps: int | None = None
    """Number of updates in all, to make a training longer than its config says."""

    def __post_init__(self) -> None:
        """Check the options before anything is read."""
        if self.steps is not None:
            check_count("steps", self.steps)

    def run(self) -> int:
        """Train on; 1 if the loss diverged, 130 or 143 if it was interrupted."""
        with shard.together():
            steps = self.steps or 1
            if shard.host_index() == 0:  # the others, which show nothing, need not have the folder
                if is_sweep(Path(self.run_folder)):
                    return self._resume_sweep()
                steps = self.steps or getattr(RunConfig.load(self.run_folder), "steps", 1)
        with TrainingProgress(steps) as progress:
            run = resume_training(
                self.run_folder, steps=self.steps, tell=progress.tell, callback=progress
            )
        code = _end(run, progress)
        return 0 if progress.first is None else code  # it was over already, however it ended

    def _resume_sweep(self) -> int:
        if self.steps is not None:
            raise RunFolderError(
                f"{self.run_folder} holds a sweep, whose members keep their number of steps: "
                "leave out --steps"
            )
        return sweep.resume(Path(self.run_folder))


def _end(run: Run, progress: TrainingProgress) -> int:
    print_line("")
    print_metrics(run.summary)
    if run.summary["status"] == "diverged":
        print_line(f"diverged; written to {run.folder}")
        print_error(f"{run.summary['why']}. The last good parameters are saved")
        return 1
    print_line(f"{run.summary['why']}; written to {run.folder}")
    if run.summary["status"] != "interrupted":
        return 0
    print_line(f"to go on: jaxlr resume {run.folder}")
    return progress.exit_code
