"""PyTrees and what is no array as Python expressions, with the imports that these need."""

import enum
import math
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import float0, prng_key

from jaxlr.check.smallest.arrays import is_array
from jaxlr.check.smallest.literals import Words, array

PyTree = Any
Named = Callable[[Any], str | None]  # the name of a leaf that has a variable of its own
_LITERALS = (bool, int, float, complex, str, bytes, type(None), type(...), range)
_PUBLIC = ("jax.numpy", "jax.nn", "jax.lax", "jax")  # where what JAX defines in private is found


def _nothing(_: Any) -> None:
    """Name no leaf."""


@dataclass
class Writer:
    """Expressions, and the lines that must stand above them.

    ``imports`` are lines of code; ``missing`` says for each name that no import reaches what it
    is. No name is given twice.
    """

    taken: set[str]
    imports: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def fresh(self, name: str) -> str:
        """Return ``name``, with underscores where it is taken, and take it."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def tree(self, value: PyTree, named: Named = _nothing) -> Words:
        """Return the expression for a PyTree, or for one leaf of it."""
        name = named(value)
        if name is not None:
            return [name]
        if is_array(value):
            return array(value)
        if type(value) in (tuple, list):
            words = _separated(self.tree(v, named) for v in value)
            if type(value) is list:
                return ["[", *words, "]"]
            return ["(", *words, ",)" if len(value) == 1 else ")"]
        if isinstance(value, dict):
            return self._dict(value, named)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            pairs = [(key, getattr(value, key)) for key in value._fields]  # pyright: ignore
            return self._call(value, pairs, named)
        if is_dataclass(value) and not isinstance(value, type):
            inside = _nothing if jax.tree_util.all_leaves([value]) else named
            pairs = [(f.name, getattr(value, f.name)) for f in fields(value) if f.init]
            return self._call(value, pairs, inside)
        return self._leaf(value)

    def _dict(self, value: dict[Any, Any], named: Named) -> Words:
        items = ([*self.tree(key), ": ", *self.tree(v, named)] for key, v in value.items())
        words = ["{", *_separated(items), "}"]
        if type(value) is dict:
            return words
        if type(value) is OrderedDict:
            return [self.reach(OrderedDict), "(", *words, ")"]
        if isinstance(value, defaultdict) and type(value) is defaultdict:
            factory = self.tree(value.default_factory)
            return [self.reach(defaultdict), "(", *factory, ", ", *words, ")"]
        return [self._miss(value)]

    def _call(self, value: Any, pairs: list[tuple[str, Any]], named: Named) -> Words:
        words = _separated([f"{key}=", *self.tree(v, named)] for key, v in pairs)
        return [self.reach(type(value)), "(", *words, ")"]

    def _leaf(self, value: Any) -> Words:
        if isinstance(value, enum.Enum):
            return [f"{self.reach(type(value))}.{value.name}"]
        if isinstance(value, float) and not math.isfinite(value):
            return [f'float("{value!r}")']
        if type(value) in _LITERALS:
            return [repr(value)]
        if isinstance(value, np.dtype):
            return [f'jnp.dtype("{value.name}")']
        if isinstance(value, np.ndarray) and value.dtype == float0:
            return [f"np.zeros({value.shape!r}, jax.dtypes.float0)"]
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, prng_key):
            data, kind = array(jax.random.key_data(value)), str(jax.random.key_impl(value))
            return ["jax.random.wrap_key_data(", *data, ", ", f"impl={kind!r})"]
        if hasattr(value, "__qualname__") or isinstance(value, type):
            return [self.reach(value)]
        return [self._miss(value)]

    def reach(self, value: Any) -> str:
        """Return an expression for a function or class, imported where an import reaches it."""
        qualname = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
        module = getattr(value, "__module__", None) or ""
        for room in (*(() if "._" in module else (module,)), *_PUBLIC):
            if room != "__main__" and _found(room, qualname) is value:
                return qualname if room == "builtins" else self.bring(room, qualname)
        return self._miss(value, qualname.rpartition(".")[2])

    def bring(self, module: str, qualname: str) -> str:
        """Import the outermost name of ``qualname``, once, and return the expression for it."""
        root, dot, rest = qualname.partition(".")
        if f"{module}:{root}" not in self.imports:
            name = self.fresh(root)
            renamed = f" as {name}" if name != root else ""
            self.imports[f"{module}:{root}"] = f"from {module} import {root}{renamed}"
        line = self.imports[f"{module}:{root}"]
        return line.rpartition(" ")[2] + dot + rest

    def _miss(self, value: Any, name: str = "") -> str:
        text = f"{getattr(value, '__module__', '')}:{name}" if name else repr(value)
        text = " ".join(text.split())[:80]
        known = next((key for key, said in self.missing.items() if said == text), None)
        if known is None:
            known = self.fresh(name if name.isidentifier() else "it")
            self.missing[known] = text
        return known


def _found(module: str, qualname: str) -> Any:
    found = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _separated(items: Iterable[Words]) -> Words:
    words: Words = []
    for item in items:
        words += [", ", *item] if words else item
    return words
