"""One wrong copy of the user's functions, and how it takes their place."""

import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from jaxlr.check.mutation.build import Unit, Watcher, copies
from jaxlr.check.mutation.source import FunctionNode

Place = tuple[Any, str]


@dataclass(frozen=True, eq=False)
class Origin:
    """The functions that mutants are copies of."""

    functions: tuple[Any, ...]
    raws: tuple[types.FunctionType, ...]
    units: Sequence[Unit]

    def build(
        self, trees: Mapping[types.FunctionType, FunctionNode], watch: Watcher
    ) -> tuple[Any, ...]:
        """Copy the functions, some units with another tree."""
        made = copies(self.units, trees, watch)
        return tuple(made[raw] for raw in self.raws)

    @contextmanager
    def installed(self, made: Sequence[Any], places: Sequence[Place]) -> Iterator[None]:
        """Put copies where the originals are found, for a while."""
        replaced = []
        try:
            for owner, name in places:
                old = inspect.getattr_static(owner, name)
                new = made[self._index(owner, name)]
                replaced.append((owner, name, old, name in vars(owner)))
                setattr(owner, name, staticmethod(new) if isinstance(old, staticmethod) else new)
            jax.clear_caches()  # callers that are compiled already would never look
            yield
        finally:
            for owner, name, old, its_own in reversed(replaced):
                setattr(owner, name, old) if its_own else delattr(owner, name)
            jax.clear_caches()

    def _index(self, owner: Any, name: str) -> int:
        there = getattr(owner, name)
        for i, function in enumerate(self.functions):
            if there is function or there == function:
                return i
        raise ValueError(f"{name} of {owner!r} is none of the functions given to mutants")


@dataclass(frozen=True, eq=False)
class Mutant:
    """A wrong copy of the functions given to `mutants`: one change, in one of them.

    ``name`` is the operator's, ``where`` names the function in which the change is, ``before``
    and ``after`` are the text of its line (of its lines, as one).
    """

    name: str
    line: int
    before: str
    after: str
    where: str
    path: str = field(repr=False)
    origin: Origin = field(repr=False)
    changed: Mapping[types.FunctionType, FunctionNode] = field(repr=False)

    @property
    def place(self) -> str:
        """Name of the file, and the line from 1."""
        return f"{Path(self.path).name}:{self.line}"

    @property
    def function(self) -> Any:
        """Wrong copy of the one function given, or of the first."""
        return self.functions[0]

    @cached_property
    def functions(self) -> tuple[Any, ...]:
        """Copies of all functions given, in their order."""
        return self.build()

    def build(self, watch: Watcher = lambda raw, copy: copy) -> tuple[Any, ...]:
        """Make new copies, each passed through ``watch`` before its decorators."""
        return self.origin.build(self.changed, watch)

    @contextmanager
    def installed(self, *places: Place) -> Iterator[None]:
        """Put the copies where the originals are found, and the originals back afterwards.

        Parameters
        ----------
        places
            Pairs of a module, class or other object and the name of its attribute, whose value
            is one of the functions given to `mutants`.
        """
        with self.origin.installed(self.functions, places):
            yield
