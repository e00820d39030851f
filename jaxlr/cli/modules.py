"""What ``MODULE:NAME`` on the command line names, and what to say where it names nothing."""

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_FRAMES = 3  # of a traceback, the last ones
_NOT_OF_USERS = sys.stdlib_module_names | {
    "jaxlr", "jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "mpmath"
}  # fmt: skip


class CallError(Exception):
    """What the command line asks for is not there, or cannot be done; the message says what."""


def is_name(text: str) -> bool:
    """Whether ``text`` is a MODULE:NAME, and no file that happens to have a colon.

    Examples
    --------
    >>> is_name("ops.py:softplus"), is_name("rows.csv"), is_name("C:/rows.csv")
    (True, False, False)
    """
    _, colon, name = text.rpartition(":")
    return bool(colon) and not {"/", "\\"} & set(name) and not Path(text).exists()


@contextmanager
def path_of_users() -> Iterator[None]:
    """Let imports find what lies in the current folder, as for a script that lies there."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def load(text: str, option: str) -> Any:
    """Import what ``option`` names as MODULE:NAME or FILE.py:NAME, inside `path_of_users`."""
    place, _, name = text.rpartition(":")
    if not place or not name:
        raise CallError(f"{option} {text!r}: write MODULE:NAME or FILE.py:NAME")
    try:
        found: Any = _of_file(place) if place.endswith(".py") else _of_module(place)
    except CallError as error:
        raise CallError(f"{option} {text!r}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, dir(found), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise CallError(f"{option} {text!r}: {place} has no {part!r}{hint}")
        found = getattr(found, part)
    return found


def load_function(text: str, option: str) -> Any:
    """Import a MODULE:NAME that must be callable."""
    found = load(text, option)
    if not callable(found):
        raise CallError(f"{option} {text!r}: this is {found!r}, which cannot be called")
    return found


def raised(error: BaseException) -> str:
    """Last lines of the traceback of what a user's code raised; empty if it was other code."""
    names = [f.f_globals.get("__name__", "") for f, _ in traceback.walk_tb(error.__traceback__)]
    frames = zip(names, traceback.extract_tb(error.__traceback__), strict=True)
    users = [frame for name, frame in frames if name.partition(".")[0] not in _NOT_OF_USERS]
    if isinstance(error, SyntaxError):  # it names file and line itself
        told = traceback.format_exception_only(error)
    else:
        told = [f"{type(error).__name__}: {error}"] if users else []
    return "".join([*traceback.format_list(users[-_FRAMES:]), *told]).rstrip()


def _of_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise CallError(f"{name!r} is no module; the name of a file ends with .py")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            message = f"there is no module {missing!r} in {Path.cwd()}, nor is one installed"
            raise CallError(message) from error
        raise CallError(_on_import(error)) from error
    except (Exception, SystemExit) as error:
        raise CallError(_on_import(error)) from error


def _of_file(file: str) -> ModuleType:
    path = Path(file).resolve()
    if not path.is_file():
        raise CallError(f"there is no file {path}")
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    # A file may have the name of a module that something else needs.
    name = path.stem if known is None else str(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CallError(f"{path} cannot be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise CallError(_on_import(error)) from error
    return module


def _on_import(error: BaseException) -> str:
    return f"importing it raised\n{raised(error) or f'{type(error).__name__}: {error}'}"
