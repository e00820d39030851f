"""``jaxlr train``: a model from data, in a run folder."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from jaxlr.cli.show import TrainingProgress, print_error, print_line, print_metrics
from jaxlr.data import BUILT_IN
from jaxlr.run import TrainConfig, run_training


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a model by gradient descent and write it to a run folder.

    Without arguments: on the built-in Wisconsin breast cancer data.
    """

    data: Annotated[Positional[str], arg(metavar="DATA")] = BUILT_IN
    """A CSV file with a header, or the name of the built-in data set."""

    def run(self) -> int:
        """Train; 1 if the loss diverged, 130 if it was interrupted."""
        with TrainingProgress(self.steps) as progress:
            run = run_training(self, tell=progress.tell, callback=progress)
        print_line("")
        print_metrics(run.summary)
        if run.summary["status"] == "diverged":
            print_line(f"diverged; written to {run.folder}")
            print_error(f"{run.summary['why']}. The last good parameters are saved")
            return 1
        print_line(f"{run.summary['why']}; written to {run.folder}")
        return 130 if run.summary["status"] == "interrupted" else 0
