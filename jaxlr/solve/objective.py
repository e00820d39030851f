"""What the solver minimises, and all it sees of the rows: values, gradients, curvature.

The rows stay on their devices; the few numbers that come back are float64, on the host.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxlr import batch
from jaxlr.batch import Models, Moment, Rows, View
from jaxlr.solve.scaling import Scaling


class Sample(NamedTuple):
    """Some of the rows: their numbers, or None for all, and their share of all rows."""

    numbers: jax.Array | None
    share: float


ALL = Sample(None, 1.0)


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


class Values(NamedTuple):
    """What one read says of k models: objective (k,), gradient (k, p), and of the labels.

    ``separates`` (k,): every row is on its label's side, and no penalty holds the parameters
    back; ``one_label`` (k,): there is but one label, and an intercept to run away with. Either
    proves that there is no finite optimum.
    """

    J: np.ndarray
    g: np.ndarray
    separates: np.ndarray
    one_label: np.ndarray


def host_models(w: np.ndarray, b: np.ndarray, view: View) -> Models:
    """Make NumPy arrays `Models`: compiled functions take them with less ado than eager JAX."""
    return Models(w, b, view)  # pyright: ignore[reportArgumentType]


class Objective:
    """Penalised mean losses of K models on shared rows, in standardised parameters u (K, p).

    ``reads`` counts how often X was read from end to end; a sample counts by its share.
    """

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
    ) -> None:
        self.rows, self.view, self.scaling, self.l2, self.mesh = rows, view, scaling, l2, mesh
        self.typical = typical  # whether a sample of the rows is like all of them
        self.narrow = np.float64 if rows.X.dtype == np.float64 else np.float32
        self.penalty = scaling.penalty(l2)
        self.reads = reads
        self._samples: dict[int, Sample] = {}

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
    def size(self) -> int:
        """Numbers in X."""
        return self.rows.X.size

    def values(self, u: np.ndarray, lanes: np.ndarray, sample: Sample, *, wide: bool) -> Values:
        """Objective and gradient of the models ``lanes`` (k,) at u (k, p).

        Computed in float64 where ``wide``, else in the type of X.
        """
        total = self._gradient_sums(u, lanes, sample, np.float64 if wide else self.narrow)
        self.reads += sample.share
        return self._penalized(total, u, lanes)

    def values_and_curvature(self, u: np.ndarray, lanes: np.ndarray) -> tuple[Values, np.ndarray]:
        """`values` and Hessians (k, p, p) in one read of all rows, in float64."""
        models = self._models(u, lanes, np.float64)
        center, scale = self.scaling.center[0], self.scaling.scale[0]
        total, bend = batch.gradient_and_curvature(models, self.rows, center, scale, mesh=self.mesh)
        self.reads += 1
        total = jax.tree.map(lambda v: np.asarray(v)[: len(lanes)], total)
        return self._penalized(total, u, lanes), self._with_penalty(bend.H, lanes)

    def _penalized(self, total: batch.GradientSums, u: np.ndarray, lanes: np.ndarray) -> Values:
        s, L, ones, zeros, undecided, dw, db = (np.asarray(v, np.float64) for v in total)
        scaling, penalty = self.scaling.of_models(lanes), self.penalty[lanes]
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            J = L / s + 0.5 * np.sum(penalty * u**2, axis=1)
            g = scaling.gradient(dw / s[:, None], db / s) + penalty * u
        one_label = scaling.intercept & ((ones == 0) | (zeros == 0))
        return Values(J, g, (undecided == 0) & (self.l2[lanes] == 0), one_label)

    def _with_penalty(self, H: Any, lanes: np.ndarray) -> np.ndarray:
        p = self.scaling.size
        H = np.asarray(H, np.float64)[: len(lanes), :p, :p]
        return H + self.penalty[lanes, None, :] * np.eye(p)

    def curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, *, wide: bool, of: Moment = "loss"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hessians (k, p, p) at u (k, p) by the rows of ``sample``, and the weight (k,) of those.

        With ``of="slope"``, the second moment of the rows' gradients instead, without penalty.
        """
        s, H = self._curvature(u, lanes, sample, np.float64 if wide else self.narrow, of)
        self.reads += sample.share
        if of == "loss":
            return self._with_penalty(H, lanes), np.asarray(s, np.float64)
        p = u.shape[1]
        return np.asarray(H, np.float64)[:, :p, :p], np.asarray(s, np.float64)

    def diagonal(self, lanes: np.ndarray) -> np.ndarray:
        """Diagonals (k, p) about like those of the Hessians: standardised features, a = 1/2."""
        return 0.25 + self.penalty[lanes]

    def sides(self, v: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weight of the rows that direction v (k, p) takes to their label's side, and away (k,)."""
        self.reads += 1
        along, away = self._side_sums(v, lanes)
        return np.asarray(along, np.float64), np.asarray(away, np.float64)

    def _gradient_sums(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type
    ) -> batch.GradientSums:
        models = self._models(u, lanes, dtype)
        total = batch.gradient_sums(models, self.rows, sample.numbers, mesh=self.mesh)
        return jax.tree.map(lambda v: np.asarray(v)[: len(lanes)], total)

    def _curvature(
        self, u: np.ndarray, lanes: np.ndarray, sample: Sample, dtype: type, of: Moment
    ) -> batch.Curvature:
        models = self._models(u, lanes, dtype)
        center, scale = (v[0].astype(dtype) for v in self.scaling[:2])
        total = batch.mean_curvature(
            models, self.rows, sample.numbers, center, scale, of=of, mesh=self.mesh
        )
        return jax.tree.map(lambda v: np.asarray(v)[: len(lanes)], total)

    def _side_sums(self, v: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        models = self._models(v, lanes, np.float64)
        along, away = batch.side_sums(models, self.rows, mesh=self.mesh)
        return np.asarray(along)[: len(lanes)], np.asarray(away)[: len(lanes)]

    def _models(self, u: np.ndarray, lanes: np.ndarray, dtype: type) -> Models:
        """Models ``lanes`` at u, in raw parameters; repeated to a power of two, to compile less."""
        w, b = self.scaling.to_raw(u)
        fill = np.resize(np.arange(len(lanes)), 1 << (len(lanes) - 1).bit_length())
        view = jax.tree.map(lambda v: v[lanes[fill]], self.view)
        return host_models(w[fill].astype(dtype), b[fill].astype(dtype), view)
