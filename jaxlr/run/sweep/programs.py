"""The programs of a sweep that have ended, one line for each, so that none is trained again."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxlr.run.config import TrainConfig
from jaxlr.run.folder import RunFolderError
from jaxlr.run.parts import Tell
from jaxlr.run.summary import to_json
from jaxlr.run.sweep.outcome import Outcome

PROGRAMS = "programs.jsonl"


def add_program(target: Path, number: int, seconds: float, outcomes: Sequence[Outcome]) -> None:
    """Write down, durably, what became of the members of a program.

    Raises
    ------
    RunFolderError
        If it cannot be written; what was there before is intact.
    """
    members = [outcome.facts() for outcome in outcomes]
    found = {"program": number, "seconds": seconds, "members": members}
    line = to_json({**found, "sha256": _digest(found)}) + "\n"
    path = target / PROGRAMS
    try:
        with path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be written: {error.strerror}. Make room, then: jaxlr resume {target}"
        ) from error


def read_programs(
    target: Path, members: Sequence[TrainConfig], tell: Tell
) -> dict[int, list[Outcome]]:
    """Read what became of the members of each program that has ended, by its number.

    A line that is damaged, or was not yet whole when its process was killed, ends them: those
    programs, and what follows, are trained again.
    """
    path, found = target / PROGRAMS, {}
    try:
        for line in path.read_bytes().splitlines(keepends=True):
            number, outcomes = _program(line, members)
            if number in found:
                raise ValueError("written twice")
            found[number] = outcomes
    except OSError as error:
        raise RunFolderError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        tell(f"{path}: line {len(found) + 1} is not whole: from there on, programs train again")
    return found


def keep_programs(target: Path, count: int) -> None:
    """Remove the lines after the first so many, which `read_programs` did not take."""
    lines = (target / PROGRAMS).read_bytes().splitlines(keepends=True)
    os.truncate(target / PROGRAMS, sum(map(len, lines[:count])))


def _program(line: bytes, members: Sequence[TrainConfig]) -> tuple[int, list[Outcome]]:
    found = json.loads(line)
    if not line.endswith(b"\n") or found.pop("sha256") != _digest(found):
        raise ValueError("not what was written")
    number = found["program"]
    facts: list[dict[str, Any]] = found["members"]
    return number, [Outcome(config=members[fact["member"]], **fact) for fact in facts]


def _digest(found: dict[str, Any]) -> str:
    return hashlib.sha256(to_json(found).encode()).hexdigest()
