"""Settings from a file: ``jaxlr train CONFIG.toml``, with options that come before it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from jaxlr.run import RunConfig

_ENDING = ".toml"


class ConfigError(ValueError):
    """A file of settings that cannot be used; the message says why."""


def with_config(
    argv: Sequence[str], kinds: Mapping[str, type[RunConfig]]
) -> tuple[list[str], dict[str, RunConfig]]:
    """Take the file of settings out of the arguments.

    Parameters
    ----------
    argv : sequence of str
    kinds : mapping
        For each command that takes such a file, the class of its settings.

    Returns
    -------
    argv : list of str
        The arguments without it.
    defaults : dict
        For each command its settings, to be changed by the options that are given too.

    Raises
    ------
    ConfigError
        If it cannot be read, or a setting in it is unknown or out of range.

    Examples
    --------
    >>> from jaxlr.run import TrainConfig
    >>> argv, defaults = with_config(["train", "rows.csv"], {"train": TrainConfig})
    >>> argv, defaults["train"].alpha
    (['train', 'rows.csv'], 0.1)
    """
    argv, defaults = list(argv), {command: kind() for command, kind in kinds.items()}
    command = argv[0] if argv else ""
    at = _position(argv, kinds[command]) if command in kinds else None
    if at is not None:
        defaults[command] = _read(argv.pop(at), command, kinds[command])
    return argv, defaults


def _position(argv: list[str], kind: type[RunConfig]) -> int | None:
    """Position of a file of settings, which is no value of an option."""
    hints = get_type_hints(kind)
    flags = {f"--{no}{name.replace('_', '-')}" for name in hints for no in ("", "no-")
             if hints[name] is bool}  # fmt: skip
    for i, text in enumerate(argv[1:], start=1):
        before = argv[i - 1].replace("_", "-")
        is_value = before.startswith("--") and "=" not in before and before not in flags
        if text.endswith(_ENDING) and not text.startswith("-") and not is_value:
            return i
    return None


def _read(path: str, command: str, kind: type[RunConfig]) -> RunConfig:
    try:
        config = RunConfig.from_toml(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if config.command != command:
        raise ConfigError(f"{path}: these are settings of jaxlr {config.command}")
    settings: dict[str, Any] = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(config)
    }
    return kind(**settings)
