"""Where a command computes: options of every command, taken out before its own are read."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import jax

from jaxlr import shard

_TASKS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")  # set by srun and mpirun
_SEVERAL = "options of train, resume, fit and cv, as several processes that share the rows"
_MOST = 2**31 - 1


class StartError(ValueError):
    """The command cannot compute where it was told to; the message says why."""


@dataclass(frozen=True)
class Start:
    """Where to compute, and with which other processes; None: as JAX finds it, and with none."""

    device: str | None = None
    profile: str | None = None
    coordinator: str | None = None
    processes: str | None = None
    process: int | None = None
    heartbeat: int = shard.HEARTBEAT_SECONDS

    @property
    def is_one_of_several(self) -> bool:
        """Whether the command runs as several processes, as far as is known before they meet."""
        said = (self.coordinator, self.processes, self.process)
        return self.processes != "1" and any(v is not None for v in said)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartError(message)


def take_start(
    argv: Sequence[str], environ: Mapping[str, str] = os.environ
) -> tuple[list[str], Start]:
    """Take the options of `Start` out of the arguments; the environment stands in for some.

    Examples
    --------
    >>> argv, start = take_start(["train", "--device", "cpu", "--steps", "3"], {})
    >>> argv, start.device
    (['train', '--steps', '3'], 'cpu')
    """
    found, rest = _parser(environ).parse_known_args(list(argv))
    if found.processes not in (None, "auto") and not _is_count(found.processes):
        raise StartError(
            f"--processes is {found.processes!r}: it must be a whole number from 1 to {_MOST}, or "
            "auto"
        )
    if not _is_count(str(found.heartbeat)):
        raise StartError(f"--heartbeat is {found.heartbeat}: it must be from 1 to {_MOST} seconds")
    started = any(environ.get(name, "1") not in ("", "1") for name in _TASKS)
    if found.processes is None and started:
        found.processes = "auto"
    return rest, Start(**vars(found))


def start_help() -> str:
    """Describe the options of `Start`, to stand below those of a command."""
    return _parser({}).format_help().partition("\n\n")[2]  # without the usage


def _parser(environ: Mapping[str, str]) -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    every = parser.add_argument_group("options of every command")
    every.add_argument(
        "--device", choices=("cpu", "gpu"), help="Compute there, or say why that cannot be."
    )
    every.add_argument(
        "--profile", metavar="FOLDER", help="Write a trace there, for TensorBoard or Perfetto."
    )
    several = parser.add_argument_group(_SEVERAL)
    several.add_argument(
        "--processes",
        metavar="N",
        default=environ.get("JAXLR_PROCESSES"),
        help="How many there are; auto: as JAX finds out, under Kubernetes say. srun and mpirun "
        "tell by themselves.",
    )
    several.add_argument(
        "--process",
        metavar="I",
        type=int,
        default=environ.get("JAXLR_PROCESS"),
        help="Which of them this is, from 0.",
    )
    several.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        default=environ.get("JAXLR_COORDINATOR"),
        help="Where process 0 is, with a port that is free there.",
    )
    several.add_argument(
        "--heartbeat",
        metavar="SECONDS",
        type=int,
        default=environ.get("JAXLR_HEARTBEAT", Start.heartbeat),
        help="How long one of them may be silent before it counts as dead. (default: %(default)s)",
    )
    return parser


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(_MOST)) and 1 <= int(text) <= _MOST


def join_hosts(start: Start) -> None:
    """Join the other processes, if the command is one of several.

    Raises
    ------
    StartError, jaxlr.shard.HostsError
        If that cannot be.
    """
    if not start.is_one_of_several or jax.distributed.is_initialized():
        return
    count = None if start.processes in (None, "auto") else int(start.processes)
    try:
        shard.start_hosts(
            start.coordinator, count, start.process, heartbeat_seconds=start.heartbeat
        )
    except ValueError as error:
        raise StartError(f"options of several processes: {error}") from error


def choose_device(start: Start) -> None:
    """Compute on the device asked for, where JAX has not started yet.

    Raises
    ------
    StartError
        If there is no such device.
    """
    if start.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if start.device is None:
        return
    try:
        if jax.default_backend() == start.device:
            return
        found = f"only {', '.join(sorted({device.device_kind for device in jax.devices()}))}"
    except (RuntimeError, AssertionError):  # JAX was told to look for others
        found = f"nor any of JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}"
    raise StartError(
        f"--device {start.device}: JAX finds no such device here, {found}. "
        "For NVIDIA's GPUs install jax[cuda12], with a driver for them; or leave the option out"
    )


@contextmanager
def profiled(start: Start) -> Iterator[None]:
    """Write a trace of what the first process computes meanwhile, if that was asked for."""
    if start.profile is None or shard.host_index() > 0:
        yield
        return
    Path(start.profile).mkdir(parents=True, exist_ok=True)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # the calls of JAX's own tracing would bury all else
    with jax.profiler.trace(start.profile, profiler_options=options):
        yield
