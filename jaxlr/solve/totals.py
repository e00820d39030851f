"""Sums over rows, brought to the host."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxlr import shard
from jaxlr.batch import Part

_WORK_OF_A_THREAD = 1 << 19  # multiplications, for which it pays to start one


def parts_of(work: int, most: int | None = None) -> int:
    """In how many parts, ``most`` of them at most, so much work pays on the cores of a CPU."""
    return max(1, min(shard.cores(), work // _WORK_OF_A_THREAD, most or work))


def total(sums: Callable[..., Any], X: jax.Array, work: int, *, most: int | None = None) -> Any:
    """Sum ``sums(part=...)`` in float64 on the host, over as many parts as keep a CPU busy.

    ``work`` is the number of multiplications; where it is small, and where X is elsewhere than on
    one CPU, there is one part. There are ``most`` parts at most.
    """
    alone = len(X.devices()) == 1 and jax.default_backend() == "cpu"
    parts = parts_of(work, most) if alone else 1

    def call(part: Part | None) -> Any:
        return jax.tree.map(lambda v: np.asarray(v, np.float64), sums(part=part))

    if parts == 1:
        return call(None)
    calls = [partial(call, Part(np.int32(number), np.int32(parts))) for number in range(parts)]
    return jax.tree.map(lambda *v: sum(v[1:], v[0]), *shard.in_threads(calls))
