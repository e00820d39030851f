"""A function of JAX, traced once and run on exact numbers as often as needed."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr.check.exact.arithmetic import MOST_BITS, load
from jaxlr.check.exact.functions import Functions
from jaxlr.check.exact.interpret import Interpreter, ingest

PyTree = Any
GUARD = 20  # bits beyond the digits asked for


def bits_of(digits: int) -> int:
    """Binary digits that hold so many decimal ones."""
    return math.ceil(digits * math.log2(10)) + GUARD


class Unresolved(ArithmeticError):  # noqa: N818 -- says what the value is
    """A value that rounding still decides with thousands of digits."""


class Traced:
    """Jaxpr of ``f(*args)`` and the exact values of ``args``.

    Differences of order 2 take the square of a small term beside 1, and so its gap twice.

    Attributes
    ----------
    leaves : list
        Leaves of ``args``: arrays of raw numbers for floating-point ones, else as they are.
    paths : list of str
        Names of the leaves.
    extra : int
        Bits that gaps have taken so far.
    lost : bool
        Whether a gap was too wide for that, and rounding stands for a term.
    """

    def __init__(self, f: Any, args: Sequence[Any], order: int = 0) -> None:
        load()
        self._terms = max(1, order)
        found, self.tree = jax.tree_util.tree_flatten_with_path(tuple(args))
        self.paths = [jax.tree_util.keystr(path) for path, _ in found]
        leaves = [leaf for _, leaf in found]
        self._traced = [i for i, v in enumerate(leaves) if _is_traced(v)]
        self._wide = jax.config.jax_enable_x64 or any(  # pyright: ignore
            _is_wide(leaves[i]) for i in self._traced
        )
        self.leaves = [ingest(np.asarray(v)) if _is_number(v) else v for v in leaves]
        self.extra = 0
        self.lost = False

        def flat(*dynamic: Any) -> Any:
            given = dict(zip(self._traced, dynamic, strict=True))
            full = [given.get(i, v) for i, v in enumerate(leaves)]
            return f(*self.tree.unflatten(full))

        with jax.enable_x64(self._wide):
            self._jaxpr, self.out = jax.make_jaxpr(flat, return_shape=True)(
                *(leaves[i] for i in self._traced)
            )
            self._consts = [ingest(v) for v in self._jaxpr.consts]

    def run(
        self,
        leaves: Sequence[Any],
        bits: int,
        seed: int,
        record: dict[str, list[Any]] | None = None,
        margin: int = 0,
    ) -> list[Any]:
        """Evaluate at ``leaves``, flat, with as many bits more as the widest gap takes.

        A term must keep ``margin`` of its bits beside the one it is added to. The additional bits
        are kept for the runs that follow.
        """
        while True:
            on = Functions(bits + self._terms * self.extra, seed)
            machine = Interpreter(on, {})
            with jax.enable_x64(self._wide):
                outputs = machine.run_open(
                    self._jaxpr.jaxpr, self._consts, [leaves[i] for i in self._traced]
                )
            if machine.tie and on.bits > max(MOST_BITS, 4 * bits):
                raise Unresolved(f"{machine.tie} compares numbers that are equal but for rounding")
            if on.gap <= on.bits - margin and not machine.tie:
                break
            # A point close by may have a wider gap.
            self.extra = max(on.gap + on.gap // 8, on.bits + self.extra if machine.tie else 0)
        self.lost |= on.lost
        if record is not None:
            record.update(machine.record)
        return outputs


def _is_traced(v: Any) -> bool:
    """Arrays and Python's floats; what else there is, is a constant of the function."""
    return isinstance(v, float | jax.Array | np.ndarray | np.generic)


def _is_number(v: Any) -> bool:
    return _is_traced(v) and not _is_key(v)


def _is_wide(v: Any) -> bool:
    return type(v) is not float and not _is_key(v) and np.asarray(v).dtype.itemsize == 8


def _is_key(v: Any) -> bool:
    return isinstance(v, jax.Array) and jnp.issubdtype(v.dtype, jax.dtypes.extended)
