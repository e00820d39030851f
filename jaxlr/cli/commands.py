"""The commands there are, and their run."""

from collections.abc import Sequence
from typing import Annotated

import tyro
from tyro.conf import subcommand

from jaxlr.cli.check import Check
from jaxlr.cli.explain import Explain
from jaxlr.cli.export import Export
from jaxlr.cli.fit import Cv, Fit
from jaxlr.cli.predict import Predict
from jaxlr.cli.show import print_error
from jaxlr.cli.start import start_jax
from jaxlr.cli.train import Train
from jaxlr.data import DataError
from jaxlr.run import GradientCheckError, RunFolderError


def run(argv: Sequence[str]) -> int:
    """Parse ``argv``, run the command, and return the exit code."""
    commands = (
        Annotated[Train, subcommand("train")]
        | Annotated[Fit, subcommand("fit")]
        | Annotated[Cv, subcommand("cv")]
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
    except (DataError, RunFolderError, GradientCheckError) as error:
        print_error(str(error))
        return 1
