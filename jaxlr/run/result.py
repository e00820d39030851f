"""How a run begins and ends on disk."""

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jaxlr import data, shard
from jaxlr.run import folder
from jaxlr.run.config import RunConfig
from jaxlr.run.hosts import own_folder
from jaxlr.run.model import Model
from jaxlr.run.summary import to_json

Config = TypeVar("Config", bound=RunConfig)


class Run(NamedTuple):
    """A finished run: its folder, its model, and what ``summary.json`` says."""

    folder: Path
    model: Model
    summary: dict[str, Any]


def settle(config: Config) -> tuple[Config, Path]:
    """Find the folder to write, and refuse it now rather than after the work."""
    target = config.folder(datetime.now().strftime("%Y%m%d-%H%M%S"))
    with shard.together():
        if shard.host_index() == 0:
            folder.check_free(target, overwrite=config.overwrite)
    return located(config), target


def located(config: Config) -> Config:
    """Name the files of the rows such that it holds in any folder."""
    beside = {  # labels and weights of an npy file lie in files of their own
        name: data.absolute(path)
        for name, path in (("target", config.target), ("weight", config.weight))
        if path is not None and path.lower().endswith(".npy")
    }
    return dataclasses.replace(config, data=data.absolute(config.data), **beside)


def write(
    target: Path, config: RunConfig, model: Model, metrics: str, summary: dict[str, Any]
) -> Run:
    """Write the run folder."""
    files = {
        folder.CONFIG: config.to_toml(),
        folder.MODEL: model.to_bytes(),
        folder.METRICS: metrics,
        folder.SUMMARY: to_json(summary, indent=2) + "\n",
    }
    with shard.together(), own_folder(target) as own:
        folder.write(own, files, overwrite=config.overwrite)
    return Run(target, model, summary)


def begin(target: Path, config: RunConfig, origin: dict[str, Any]) -> None:
    """Write the run folder that a training begins with; it has no summary before its end."""
    files = {
        folder.CONFIG: config.to_toml(),
        folder.ORIGIN: to_json(origin, indent=2) + "\n",
        folder.METRICS: "",
    }
    folder.write(target, files, overwrite=config.overwrite)


def finish(target: Path, model: Model, summary: dict[str, Any]) -> Run:
    """Write what a training ends with; the summary, which says that it has, last."""
    folder.write_file(target / folder.MODEL, model.to_bytes())
    folder.write_file(target / folder.SUMMARY, (to_json(summary, indent=2) + "\n").encode())
    return Run(target, model, summary)


def reopen(target: Path, config: RunConfig) -> None:
    """Take back what a training ended with, the summary first, for it goes on."""
    folder.clear_leftovers(target)
    for name in (folder.SUMMARY, folder.MODEL):
        (target / name).unlink(missing_ok=True)
    folder.write_file(target / folder.CONFIG, config.to_toml().encode())
