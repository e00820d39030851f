"""The update loop on rows that are read anew: `train_stream`."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import jax
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from jaxlr import batch, shard
from jaxlr.batch import RowBlock, Sums
from jaxlr.core import Params
from jaxlr.train.loop import descend
from jaxlr.train.optimizer import Optimizer, as_optimizer
from jaxlr.train.record import HeldOut, LossAt, Progress, Result, check_count
from jaxlr.train.rows import with_norm
from jaxlr.train.state import TrainState, begin_at, params_of


class StepRows(Protocol):
    """Rows of each step, ``size`` of them, as blocks: of all rows, or of a mini-batch.

    Each row has a label and a weight, and all blocks are of one size.
    """

    @property
    def size(self) -> int: ...  # noqa: D102

    def step(self, t: int) -> Iterable[RowBlock]:
        """Read the rows of step t; what they are depends on t alone."""
        ...


def train_stream(
    params: Params | TrainState,
    rows: StepRows,
    optimizer: Optimizer | optax.GradientTransformation | optax.MultiSteps,
    *,
    steps: int,
    l2: float = 0.0,
    validation: LossAt | None = None,
    validate_every: int = 1,
    patience: int | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
) -> Result:
    """Minimise the mean loss of rows that need not fit into memory: `train`, step by step.

    Parameters
    ----------
    params, optimizer, steps, l2, validate_every, patience, callback
        As for `train`.
    rows : StepRows
        ``rows.step(t)`` gives the blocks of step t, whose sums make up its gradient. They are
        taken as they are: labels in [0, 1], weights 0 or more, features finite.
    validation : callable, optional
        Loss of held-out rows, as a function of parameters.

    Returns
    -------
    Result

    Raises
    ------
    ValueError, TypeError, DivergedError
        As `train`; what reading the rows raises comes out as it is.

    Notes
    -----
    Each step waits for its sums, which are added in float64 on the host.

    Examples
    --------
    >>> from types import SimpleNamespace as Simple
    >>> import numpy as np, jaxlr
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32), np.array([0, 1, 0, 1])
    >>> parts = [slice(0, 2), slice(2, 4)]
    >>> blocks = [Simple(X=X[i], y=y[i], weight=np.ones(2, np.float32)) for i in parts]
    >>> rows = Simple(size=4, step=lambda t: blocks)
    >>> result = train_stream(jaxlr.zeros(1), rows, jaxlr.plain(alpha=0.5), steps=500)
    >>> print(f"w = {result.params.w[0]:.2f}, b = {result.params.b:.2f}")
    w = 0.91, b = -1.36
    """
    optimizer = as_optimizer(optimizer)
    batch.check_penalty(l2)
    check_count("steps", steps, least=0)
    state = begin_at(params, batch.check_params(params_of(params)), optimizer)
    held_out = HeldOut(state, validation, validate_every, patience)
    return descend(state, _Streamed(rows), optimizer, l2, steps, held_out, callback)


class _Streamed:
    """`TrainingRows` of a stream."""

    def __init__(self, rows: StepRows) -> None:
        self.rows, self.size = rows, rows.size

    def gradient(
        self, t: int, params: Params, good: Params, l2: ArrayLike
    ) -> tuple[Array, Params, Array, Params]:
        """Loss, gradient and its norm in step t; ``good`` follows ``params`` while finite."""
        total: Any = None
        for block in self.rows.step(t):
            arrays = (shard.put(np.asarray(v)) for v in (block.X, block.y, block.weight))
            found = jax.tree.map(_on_host, batch.sums_of_rows(params, *arrays))
            total = found if total is None else jax.tree.map(np.add, total, found)
        mean = jax.tree.map(lambda v: (v / total.s).astype(params.w.dtype), total)
        return _gradient(params, good, jax.device_put(mean), l2)


def _on_host(v: Array) -> np.ndarray:
    return np.asarray(v, np.float64)


@jax.jit
def _gradient(
    params: Params, good: Params, mean: Sums, l2: ArrayLike
) -> tuple[Array, Params, Array, Params]:
    return with_norm(params, good, *batch.penalised(params.w, mean, l2))
