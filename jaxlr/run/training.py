"""One training run from config to run folder, at once or after a break."""

from contextlib import ExitStack

import jax

from jaxlr import shard
from jaxlr.run import folder
from jaxlr.run.config import TrainConfig
from jaxlr.run.hosts import own_folder
from jaxlr.run.keeper import Callback
from jaxlr.run.parts import Tell
from jaxlr.run.result import Run, begin, settle
from jaxlr.run.session import carry_out, prepare_training


def run_training(
    config: TrainConfig,
    *,
    tell: Tell = lambda line: None,
    callback: Callback | None = None,
) -> Run:
    """Train as ``config`` says, and write the run folder.

    Parameters
    ----------
    config : TrainConfig
    tell : callable, optional
        Called with a line of text at each stage.
    callback : callable, optional
        As for `jaxlr.train`. A run that it stops is written like any other, and can go on.

    Returns
    -------
    Run
        ``summary["status"]`` says how training ended: "steps_done", "stopped_early",
        "interrupted" (by the callback), or "diverged", with the last good parameters.

    Raises
    ------
    DataError, RunFolderError
        If the data cannot be used or the folder not be written; the message says why.
    GradientCheckError
        If the hand-written gradient does not pass the judge on a sample of the rows.

    Notes
    -----
    Where there are several devices and rows enough for each, they share the training rows of full
    batches. Sums are then rounded in another order, so that a model has the same bytes again on
    as many devices; ``summary["devices"]`` says on how many.

    Rows that need more memory than ``config.memory`` are streamed. Before the first step the file
    is then read twice, to learn its columns and to take the fingerprint and the moments of the
    training rows; each step with full batches reads it once, and so does each validation; an epoch
    of mini-batches, a window of the rows at a time, reads it about once where the chunks of a
    window are larger than the file's row groups. Which rows are held out depends on the seed and
    the number of a row alone; labels are not looked at. For the area under the
    ROC curve, scores of all rows that need more than ``memory`` are sorted in a temporary file, 20
    bytes a row; where there is no room for it, the area is None, and ``roc_auc_why`` beside it
    says so. Weights count in the losses and in the metrics; means and deviations of columns are
    those of the rows as they are.

    The folder is there from the first step on, with metrics that grow and, every few minutes, a
    checkpoint; the model and the summary come at the end. `resume_training` goes on where a run
    was killed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     run = run_training(TrainConfig(steps=300, out=f"{parent}/first"))
    ...     print(sorted(path.name for path in run.folder.iterdir()))
    ['.lock', 'config.toml', 'metrics.jsonl', 'params.safetensors', 'run.json', 'summary.json']
    >>> run.summary["test"]["accuracy"] > 0.95
    True
    """
    config, target = settle(config)
    config = config.resolved()
    with jax.enable_x64(config.dtype == "float64"):
        task = prepare_training(config, tell)
        with own_folder(target) as own, ExitStack() as stack:
            with shard.together():
                begin(own, config, task.origin())
                stack.enter_context(folder.held(own))
            return carry_out(task, own, task.beginning(), callback)
