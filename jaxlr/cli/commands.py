"""The commands there are, and their run."""

from collections.abc import Sequence
from typing import Annotated

import tyro
from tyro.conf import subcommand

from jaxlr.cli.check import Check
from jaxlr.cli.config import ConfigError, with_config
from jaxlr.cli.explain import Explain
from jaxlr.cli.export import Export
from jaxlr.cli.fit import Cv, Fit
from jaxlr.cli.predict import Predict
from jaxlr.cli.runs import Runs
from jaxlr.cli.show import print_error
from jaxlr.cli.start import start_jax
from jaxlr.cli.sweep import SweepCommand
from jaxlr.cli.train import Resume, Train
from jaxlr.data import DataError
from jaxlr.run import GradientCheckError, RunFolderError

_CONFIGURED = {"train": Train, "sweep": SweepCommand, "fit": Fit, "cv": Cv}


def run(argv: Sequence[str]) -> int:
    """Parse ``argv``, run the command, and return the exit code."""
    try:
        argv, defaults = with_config(argv, _CONFIGURED)
    except ConfigError as error:
        print_error(str(error))
        return 2
    commands = (
        Annotated[Train, subcommand("train", default=defaults["train"])]
        | Annotated[Resume, subcommand("resume")]
        | Annotated[SweepCommand, subcommand("sweep", default=defaults["sweep"])]
        | Annotated[Runs, subcommand("runs")]
        | Annotated[Fit, subcommand("fit", default=defaults["fit"])]
        | Annotated[Cv, subcommand("cv", default=defaults["cv"])]
        | Annotated[Check, subcommand("check")]
        | Annotated[Explain, subcommand("explain")]
        | Annotated[Predict, subcommand("predict")]
        | Annotated[Export, subcommand("export")]
    )
    command = tyro.cli(
        commands,  # pyright: ignore[reportArgumentType]
        prog="jaxlr",
        description="Logistic regression: derivatives by hand, proven by machine. "
        "jaxlr --version prints the version.",
        args=list(argv),
    )
    start_jax()
    try:
        return command.run()
    except (DataError, RunFolderError) as error:
        print_error(str(error))
        return 2
    except GradientCheckError as error:
        print_error(str(error))
        return 1
