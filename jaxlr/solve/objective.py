"""What the solver minimises, and all it sees of the rows: values, gradients, curvature.

The rows stay on their devices; the few numbers that come back are float64, on the host.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxlr import batch
from jaxlr.batch import Models, Moment, Rows, View
from jaxlr.solve import small
from jaxlr.solve.newton import DEAR, WIDEST, with_penalty
from jaxlr.solve.scaling import Scaling
from jaxlr.solve.totals import total
from jaxlr.solve.values import Values


class Sample(NamedTuple):
    """Some of the rows: their numbers, or None for all, and their share of all rows."""

    numbers: jax.Array | None
    share: float


ALL = Sample(None, 1.0)
# What the block of a class is taken from: rows for each of its columns, and at least so many.
_ROWS_OF_A_COLUMN, _LEAST = 10, 4096


def draw(n: int, m: int, mesh: Mesh | None = None) -> Sample:
    """Draw m of n rows, with replacement and whatever order they are in; all, where m is most of n.

    On several devices each draws its part from the rows that it has. The same n and m give the
    same rows.
    """
    parts = 1 if mesh is None else mesh.size
    n, m = n // parts, m // parts
    if 2 * m >= n:
        return ALL
    rng = np.random.default_rng(m)
    numbers = [np.sort(rng.integers(n, size=m, dtype=np.int32)) for _ in range(parts)]
    return Sample(jnp.asarray(np.concatenate(numbers)), m / n)


def power_of_two(n: int) -> int:
    """Return the least power of two from n on: what sizes are filled up to, to compile less."""
    return 1 << (n - 1).bit_length()


def room_for(k: int) -> int:
    """Places for k models, who become fewer: 1, 4, 16, 64, and powers of two where they are many.

    Examples
    --------
    >>> print([room_for(k) for k in (1, 2, 5, 40, 65)])
    [1, 4, 16, 64, 128]
    """
    return next((size for size in (1, 4, 16, 64) if k <= size), power_of_two(k))


def host_models(w: np.ndarray, b: np.ndarray, view: View) -> Models:
    """Make NumPy arrays `Models`: compiled functions take them with less ado than eager JAX."""
    return Models(w, b, view)  # pyright: ignore[reportArgumentType]


class Objective:
    """Penalised mean losses of K models on shared rows, in standardised parameters u (K, p).

    ``reads`` counts how often X was read from end to end; a sample counts by its share.
    """

    apart = False  # each model has rows of its own
    sampled = True  # samples of the rows may be looked at first
    compiled = True  # small problems may be taken all the way by one compiled program
    renewals: tuple[int, ...] = ()  # steps after which L-BFGS takes a diagonal anew

    def __init__(
        self,
        rows: Rows,
        view: View,
        scaling: Scaling,
        l2: np.ndarray,
        mesh: Mesh | None,
        *,
        typical: bool = True,
        reads: float = 0.0,
        narrow: type | None = None,
        singular: bool = False,
    ) -> None:
        self.rows, self.view, self.scaling, self.l2, self.mesh = rows, view, scaling, l2, mesh
        self.typical = typical  # whether a sample of the rows is like all of them
        # The type of what need not be wide: that of X, if nothing else is asked for.
        self.narrow = narrow or (np.float64 if rows.X.dtype == np.float64 else np.float32)
        self.singular = singular  # whether Hessians may have directions without curvature
        self.penalty = scaling.penalty(l2)
        self.reads = reads
        self._samples: dict[int, Sample] = {}
        self._moment: np.ndarray | None = None

    def sample(self, m: int) -> Sample:
        """Draw m rows at random, always the same; all of them where m is most of them."""
        if m not in self._samples:
            self._samples[m] = draw(self.n, m, self.mesh)
        return self._samples[m]

    @property
    def n(self) -> int:
        """Rows that each model has."""
        return self.rows.X.shape[-2]

    @property
    def d(self) -> int:
        """Features."""
        return self.rows.X.shape[-1]

    @property
    def size(self) -> int:
        """Numbers in the rows that each model has."""
        return self.n * self.d

    def values(self, u: np.ndarray, lanes: np.ndarray, sample: Sample, *, wide: bool) -> Values:
        """Objective and gradient of the models ``lanes`` (k,) at u (k, p).

        Computed in float64 where ``wide``, else in the type of X.
        """
        total = self._gradient_sums(u, lanes, sample, np.float64 if wide else self.narrow)
        self._count(sample.share)
        return self._penalized(total, u, lanes)

    def values_and_curvature(self, u: np.ndarray, lanes: np.ndarray) -> tuple[Values, np.ndarray]:
        """`values` and Hessians (k, p, p) in one read of all rows, in float64."""
        models = self._models(u, lanes, np.float64)
        center, scale = self.scaling.center[0], self.scaling.scale[0]
        total, bend = batch.gradient_and_curvature(models, self.rows, center, scale, mesh=self.mesh)
        self._count(1)
        total, bend = jax.tree.map(lambda v: np.asarray(v)[: len(lanes)], (total, bend))
        return self._penalized(total, u, lanes), self._with_penalty(bend, lanes)

    def newton(self, u: np.ndarray, tol: float, max_steps: int) -> Any:
        """Take all models by `small.newton`, in float64: u (K, p), and so each array of the way.

        Shared rows are read by one model after the other.
        """
        K, d = len(u), self.d
        # Filled up to a power of two, to compile less, with copies that leave after one read.
        fill = np.arange(K) if self.apart else np.resize(np.arange(K), power_of_two(K))
        center, scale = (np.broadcast_to(v, (K, d))[fill] for v in self.scaling[:2])
        tols = np.where(np.arange(len(fill)) < K, tol, np.inf)
        view = jax.tree.map(lambda v: v[fill], self.view)
        arrays: Any = (tols, u[fill], center, scale, self.penalty[fill], self.l2[fill], view)
        sums = partial(
            small.newton,
            small.Problems(*arrays),
            self.rows,
            max_steps,
            apart=self.apart,
            n_classes=self.scaling.n_classes,
        )
        way = total(sums, self.rows.X, self.size * self.scaling.size * K, most=K)
        way = jax.tree.map(lambda v: v[:K], way)
        self._count(way.turns.max() if self.apart else way.turns.sum())
        return way

    def _penalized(self, total: Any, u: np.ndarray, lanes: np.ndarray) -> Values:
        scaling, penalty, l2 = self.scaling.of_models(lanes), self.penalty[lanes], self.l2[lanes]
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            return Values.of(total, u, scaling, penalty, l2)

    def _mean(self, bend: Any) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.scaling.matrix(bend.H) / bend.s[:, None, None]

    def _with_penalty(self, bend: Any, lanes: np.ndarray) -> np.ndarray:
        n_classes = None if self.singular else self.scaling.n_classes
        return with_penalty(self._mean(bend), self.penalty[lanes], n_classes)

    def curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, *, wide: bool, of: Moment = "loss"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hessians (k, p, p) at u (k, p) by the rows of ``sample``, and the weight (k,) of those.

        With ``of="slope"``, the second moment of the rows' gradients instead, without penalty.
        """
        bend = self._curvature(u, lanes, sample, np.float64 if wide else self.narrow, of)
        self._count(sample.share)
        return self._with_penalty(bend, lanes) if of == "loss" else self._mean(bend), bend.s

    def diagonal(self, u: np.ndarray, lanes: np.ndarray) -> np.ndarray:
        """Diagonals (k, P) about like those of the Hessians: standardised features, equal a."""
        C = self.scaling.n_classes or 2
        return (C - 1) / C**2 + self.penalty[lanes]

    def class_block(self, lanes: np.ndarray) -> np.ndarray | None:
        """Blocks (k, p, p) about like those that the Hessian has for each class; None if too dear.

        They are exact where all classes are equally likely and X is that of a sample: the second
        moment of the standardised features times ``a (1 - a)``. All classes share one.
        """
        C = self.scaling.n_classes
        if C is None or not self.sampled:
            return None
        p = self.scaling.size // C
        sample = self.sample(max(_LEAST, _ROWS_OF_A_COLUMN * p) if self.typical else self.n)
        if p > WIDEST or self.n * sample.share * p * p > DEAR:
            return None
        if self._moment is None:
            self._moment = self._second_moment(sample)
        bend = (C - 1) / C**2 * self._moment
        return with_penalty(bend, self.penalty[lanes, :p], None)

    def _second_moment(self, sample: Sample) -> np.ndarray:
        """Second moment (1, p, p) of the standardised features and 1.

        It is that of one class against the others at 0, where all rows have the curvature 1/4.
        """
        s = None if self.rows.s is None or self.rows.s.ndim == 2 else self.rows.s
        rows, view = self.rows._replace(s=s, fold=None), View(label=np.zeros(1, np.int32))
        scaling = self.scaling._replace(n_classes=None)
        one = type(self)(rows, view, scaling, np.zeros(1), self.mesh, narrow=self.narrow)
        start, lane = np.zeros((1, scaling.size)), np.zeros(1, int)
        quarter, _ = one.curvature(start, lane, sample, wide=False)
        self._count(sample.share)
        return 4 * quarter

    def sides(self, v: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weight of the rows that direction v (k, p) takes to their label's side, and away (k,)."""
        self._count(1)
        return self._side_sums(v, lanes)

    def _count(self, reads: float) -> None:
        """Note how often X was read."""
        self.reads += reads

    def _gradient_sums(self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type) -> Any:
        models = self._models(u, lanes, dtype)

        def sums(rows: Rows, **where: Any) -> Any:
            return batch.gradient_sums(models, rows, sample.numbers, **where)

        return self._total(sums, lanes, sample, self.scaling.size)

    def _curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type, of: Moment
    ) -> Any:
        models = self._models(u, lanes, dtype)
        center, scale = (v[0].astype(dtype) for v in self.scaling[:2])

        def sums(rows: Rows, **where: Any) -> Any:
            return batch.curvature_sums(models, rows, sample.numbers, center, scale, of=of, **where)

        return self._total(sums, lanes, sample, self.scaling.size**2)

    def _side_sums(self, v: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        models = self._models(v, lanes, np.float64)

        def sums(rows: Rows, **where: Any) -> Any:
            return batch.side_sums(models, rows, **where)

        return self._total(sums, lanes, ALL, self.scaling.size)

    def _total(self, sums: Callable[..., Any], lanes: np.ndarray, sample: Sample, work: int) -> Any:
        """Sum rows for the models ``lanes``, in float64; ``work`` is that of a row of one."""

        def of_piece(rows: Rows) -> Any:
            m = len(rows.X) if sample.numbers is None else len(sample.numbers)
            of_rows = partial(sums, rows, mesh=self.mesh)
            return total(of_rows, rows.X, work * len(lanes) * m)

        with closing(self._pieces(sample)) as pieces:  # at once, also where a sum fails
            found = reduce(partial(jax.tree.map, np.add), map(of_piece, pieces))
        return jax.tree.map(lambda v: v[: len(lanes)], found)

    def _pieces(self, sample: Sample) -> Generator[Rows]:
        """Give the rows that ``sample.numbers`` are of; where these are all, in pieces maybe."""
        yield self.rows

    def _models(self, u: np.ndarray, lanes: np.ndarray, dtype: type) -> Models:
        """Models ``lanes`` at u, in raw parameters; repeated to fill the room, to compile less."""
        w, b = self.scaling.to_raw(u)
        fill = np.resize(np.arange(len(lanes)), room_for(len(lanes)))
        view = jax.tree.map(lambda v: v[lanes[fill]], self.view)
        return host_models(w[fill].astype(dtype), b[fill].astype(dtype), view)
