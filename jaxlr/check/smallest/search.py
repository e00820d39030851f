"""What every step of the search shares: the best input so far, and what may still be spent."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr.check.smallest.arrays import is_array

PyTree = Any
_FOR_SHAPES = 0.7  # share of the time in which a new shape may still be compiled


class State(NamedTuple):
    """One input: the leaves of the arguments, and of the cotangent along those of the output."""

    args: tuple[Any, ...]
    cotangent: tuple[Any, ...]


@dataclass
class Search:
    """A walk to ever simpler inputs that fail; ``accept`` is its only step.

    A state is asked about once. New shapes are counted apart, for each is a compilation.
    """

    args_tree: Any
    out_tree: Any
    fails: Callable[[Any, PyTree], bool]
    shape_of: Callable[[Any], PyTree]
    best: State
    seconds: float
    tries: int
    shapes: int
    tried: int = 0
    started: float = field(default_factory=time.monotonic)
    seen: set[bytes] = field(default_factory=set)
    seen_shapes: set[Any] = field(default_factory=set)

    def trees(self, state: State) -> tuple[Any, PyTree]:
        """Arguments and cotangent of a state, as the user wrote them."""
        return self.args_tree.unflatten(state.args), self.out_tree.unflatten(state.cotangent)

    def begin(self) -> None:
        """Count the given input; raise where there is nothing to shrink."""
        self._note(self.best)
        self.tried += 1
        if not self.fails(*self.trees(self.best)):
            raise ValueError("the given input does not fail: there is nothing to make smaller")

    def accept(self, state: State) -> bool:
        """Take ``state`` as the best one if it is new, affordable, and still fails."""
        if not self._affordable(state) or not self._note(state):
            return False
        self.tried += 1
        try:
            failed = bool(self.fails(*self.trees(state)))
        except Exception:  # what the function refuses is no smaller example of the fault
            return False
        if failed:
            self.best = state
        return failed

    def outputs(self, args: tuple[Any, ...]) -> list[tuple[int, ...]] | None:
        """Return the shapes of the output's leaves at ``args``; None where these do not fit."""
        try:
            out = self.shape_of(self.args_tree.unflatten(args))
        except Exception:  # shapes that do not fit are what this asks about
            return None
        leaves, tree = jax.tree.flatten(out)
        return [tuple(leaf.shape) for leaf in leaves] if tree == self.out_tree else None

    def _affordable(self, state: State) -> bool:
        share = (time.monotonic() - self.started) / self.seconds if self.seconds > 0 else 1.0
        if share >= 1 or self.tried >= self.tries:
            return False
        new = _shapes(state) not in self.seen_shapes
        return not new or (share < _FOR_SHAPES and len(self.seen_shapes) <= self.shapes)

    def _note(self, state: State) -> bool:
        """Remember a state; False where it is known already."""
        key = _digest(state)
        new = key not in self.seen
        self.seen.add(key)
        self.seen_shapes.add(_shapes(state))
        return new


def _shapes(state: State) -> Any:
    return tuple(tuple(np.shape(v) for v in leaves if is_array(v)) for leaves in state)


def _digest(state: State) -> bytes:
    key = hashlib.blake2b(repr(_shapes(state)).encode())
    for leaves in state:
        for leaf in leaves:
            if is_array(leaf):
                key.update(np.asarray(leaf).tobytes())
    return key.digest()
