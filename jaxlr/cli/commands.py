"""The commands there are, and their run."""

from collections.abc import Sequence
from typing import Annotated

import tyro
from tyro.conf import subcommand

from jaxlr.cli.check import Check
from jaxlr.cli.config import ConfigError, with_config
from jaxlr.cli.devices import StartError, profiled, start_help, take_start
from jaxlr.cli.explain import Explain
from jaxlr.cli.export import Export
from jaxlr.cli.fit import Cv, Fit
from jaxlr.cli.hosts import on_hosts
from jaxlr.cli.predict import Predict
from jaxlr.cli.runs import Runs
from jaxlr.cli.show import print_code, print_error
from jaxlr.cli.sweep import SweepCommand
from jaxlr.cli.train import Resume, Train
from jaxlr.data import DataError
from jaxlr.extras import MissingExtraError
from jaxlr.run import GradientCheckError, RunFolderError
from jaxlr.shard import ElsewhereError, HostsError

_CONFIGURED = {"train": Train, "sweep": SweepCommand, "fit": Fit, "cv": Cv}
_ON_HOSTS = (Train, Resume, Fit, Cv)
_CODES: dict[type[Exception], int] = {
    StartError: 2,
    HostsError: 2,
    DataError: 2,
    RunFolderError: 2,
    MissingExtraError: 2,
    GradientCheckError: 1,
}


def run(argv: Sequence[str]) -> int:
    """Parse ``argv``, run the command, and return the exit code."""
    try:
        argv, start = take_start(argv)
        argv, defaults = with_config(argv, _CONFIGURED)
    except (ConfigError, StartError) as error:
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
    try:
        command = tyro.cli(
            commands,  # pyright: ignore[reportArgumentType]
            prog="jaxlr",
            description="Logistic regression: derivatives by hand, proven by machine. "
            "jaxlr --version prints the version.",
            args=list(argv),
        )
    except SystemExit as end:
        if end.code == 0 and {"-h", "--help"} & {*argv}:
            print_code(start_help())
        raise

    def carry_out() -> int:
        with profiled(start):
            return command.run()

    if start.is_one_of_several and not isinstance(command, _ON_HOSTS):
        print_error(f"jaxlr {argv[0]} runs as one process: start it without --processes, once")
        return 2
    return on_hosts(carry_out, _code_of, start, goes_on=isinstance(command, (Train, Resume)))


def _code_of(error: BaseException) -> int | None:
    """Return the exit code of an error that needs no traceback, here or in another process."""
    if isinstance(error, ElsewhereError):
        codes = {**_CODES, OSError: 2}
        return next((code for kind, code in codes.items() if kind.__name__ in error.kinds), 1)
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
