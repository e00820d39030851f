"""What a fit says: parameters, how good they are, and why it stopped there."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import jax
import numpy as np

from jaxlr.core import Params
from jaxlr.solve.objective import ALL, Objective

PROXIMAL = "proximal newton"  # the method of fits with an l1 penalty


class FitStatus(enum.Enum):
    """Why a fit stopped."""

    CONVERGED = "converged"
    STOPPED = "stopped before it converged"
    SEPARATED = "separated: there is no finite optimum"
    FAILED = "failed"


class Certificate(NamedTuple):
    """How good the parameters of a fit are, recomputed in float64 at these parameters.

    Attributes
    ----------
    status : FitStatus
    objective : float
        ``J``, in nats, penalty included.
    gradient : float
        Largest entry of the gradient, in nats per standard deviation of a feature: what ``tol``
        is held against, and what no change of a feature's unit changes. With an l1 penalty, where
        no gradient is 0 at the optimum, the largest violation of its conditions: by how much a
        gradient entry is not ``-l1 sign(w_j)``, or beyond l1 where w_j is 0.
    raw_gradient : float
        The same by ``w`` and ``b`` themselves.
    gap : float
        Newton decrement, ``g' H^-1 g / 2``: about so many nats is J above its optimum; of "lbfgs",
        with the inverse that it has learned, which is a rougher estimate. With an l1 penalty the
        duality gap: J is so much above its optimum, or less.
    steps : int
        Steps taken, those on samples of the rows included.
    reads : float
        How often X was read from end to end; a sample of the rows counts by its share. Of
        `fit_stream`, how often the file was read.
    method : str
        "newton", "lbfgs", or with an l1 penalty "proximal newton".
    compile_seconds, run_seconds : float
        Seconds spent on compiling, and on everything else.
    runaway : tuple of int
        Where separated: the columns whose coefficients grow without end, -1 for the intercept.
    one_label : bool
        Where separated: whether there is one label only, or a class of which there is no row.
    stuck : bool
        Whether no step lowered the objective any more, as far as rounding can tell.
    """

    status: FitStatus
    objective: float
    gradient: float
    raw_gradient: float
    gap: float
    steps: int
    reads: float
    method: str
    compile_seconds: float
    run_seconds: float
    runaway: tuple[int, ...] = ()
    one_label: bool = False
    stuck: bool = False

    def describe(self, features: Sequence[str] | None = None) -> str:
        """Say in words what became of the fit, and what can be done about it."""
        what = "violation of the conditions" if self.has_l1 else "gradient entry"
        about = "at most" if self.has_l1 else "about"
        found = (
            f"largest {what} {self.gradient:.1e}, {about} {self.gap:.1e} nats above "
            f"the optimum, after {self.steps} steps and {self.reads:.1f} reads of the rows"
        )
        if self.status is FitStatus.CONVERGED:
            return f"converged: {found}"
        if self.status is FitStatus.STOPPED and self.stuck:
            return (
                f"not converged: {found}. No step lowers the objective, as far as float64 can "
                "tell: start elsewhere (init), rescale offset and weights, or allow a larger tol"
            )
        if self.status is FitStatus.STOPPED:
            penalty = "larger penalty" if self.has_l1 else "penalty (l2)"
            return f"not converged: {found}. Allow more steps, a larger tol, or a {penalty}"
        if self.status is FitStatus.FAILED:
            return (
                f"failed: the objective is not finite ({self.objective}). No row weighs anything, "
                "or features are too large for their type: rescale them, or use float64"
            )
        if self.one_label:
            return (
                "separated: all rows have the same label, or a class has no row, so the intercept "
                "grows without end. Add rows of the other labels"
            )
        return (
            "separated: the labels can be told apart without error by "
            f"{self.runaway_names(features)}, so their coefficients grow without end and mean "
            "nothing. Add a penalty (l2 > 0), or drop or merge these columns"
        )

    @property
    def converged(self) -> bool:
        """Whether the gradient is as small as was asked for."""
        return self.status is FitStatus.CONVERGED

    @property
    def has_l1(self) -> bool:
        """Whether there is an l1 penalty."""
        return self.method == PROXIMAL

    def name_of(self, j: int, features: Sequence[str] | None = None) -> str:
        """Name column j of ``runaway``."""
        if j < 0:
            return "the intercept"
        return f"column {j}" if features is None else repr(features[j])

    def runaway_names(self, features: Sequence[str] | None = None) -> str:
        """List the columns of ``runaway`` by their names, the first 8 of them."""
        names = [self.name_of(j, features) for j in self.runaway[:8]]
        more = f" and {len(self.runaway) - 8} more" if len(self.runaway) > 8 else ""
        return f"{', '.join(names)}{more}"


class FitHistory(NamedTuple):
    """Each accepted step: what was known after it, and of which share of the rows.

    Arrays of shape (steps + stages,): ``steps`` and ``reads`` so far, ``objective`` in nats,
    ``gradient`` as in `Certificate`, and ``share`` of the rows that these two are from.
    """

    steps: np.ndarray
    reads: np.ndarray
    objective: np.ndarray
    gradient: np.ndarray
    share: np.ndarray


def host_params(w: np.ndarray, b: np.ndarray | np.floating) -> Params:
    """Make NumPy arrays `Params`, which are otherwise arrays of JAX."""
    return Params(w, b)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Fit:
    """Outcome of `jaxlr.fit`.

    ``params`` are NumPy arrays in float64, whatever the type of X: d numbers cost nothing, and
    rounding them to float32 would move the gradient by about 1e-7. ``certificate`` says how good
    they are. A fit that did not converge is falsy.
    """

    params: Params
    certificate: Certificate
    history: FitHistory
    _objective: Objective = field(repr=False, compare=False)
    _u: np.ndarray = field(repr=False, compare=False)

    def __bool__(self) -> bool:
        """Whether the fit converged."""
        return self.certificate.converged

    def covariance(self, kind: Literal["hessian", "sandwich"] = "hessian") -> np.ndarray:
        """Covariance of the parameters, w first and b last, in one read of X and in float64.

        Parameters
        ----------
        kind : {"hessian", "sandwich"}
            ``H^-1 / sum_i s_i``, right where the model is; or ``H^-1 M H^-1 / sum_i s_i`` with
            ``M = sum_i s_i dz_i^2 x_i x_i' / sum_i s_i``, right where only the mean is (HC0).

        Returns
        -------
        ndarray, shape (d + 1, d + 1), or (K (d + 1), K (d + 1))
            (d, d) where the fit had no intercept. Of K classes: class by class, the intercept last
            in each; that of parameters that add to 0 over the classes, as those of the fit do.

        Raises
        ------
        ValueError
            If the covariance means nothing: the fit did not converge or has an l1 penalty, or
            columns are collinear. If X is sparse and the matrix would take more than 1 GiB.

        Notes
        -----
        Weights count as repetitions of rows. With a penalty H contains it, and the result is the
        covariance of the posterior under the Gaussian prior that the penalty is.

        Of a sparse X each column of the matrix takes a read; with classes, its blocks of rows are
        made dense one after the other.

        References
        ----------
        H. White, *Maximum Likelihood Estimation of Misspecified Models*, 1982.

        Examples
        --------
        >>> import numpy as np, jaxlr
        >>> fit = jaxlr.fit(np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 1, 0, 1])
        >>> print(np.sqrt(np.diag(fit.covariance())).round(4))
        [1.0852 1.9749]
        """
        if self.certificate.has_l1:
            raise ValueError(
                "no covariance: with an l1 penalty coefficients are not normal, even with many "
                "rows, and those that are 0 have no curvature. Fit without l1"
            )
        if not self:
            raise ValueError(f"no covariance: the fit is {self.certificate.describe()}")
        H, s = self._curvature("loss")
        scaling = self._objective.scaling
        inverse = _inverse(H, scaling.size // (scaling.n_classes or 1))
        if kind == "sandwich":
            inverse = inverse @ self._curvature("slope")[0] @ inverse
        elif kind != "hessian":
            raise ValueError(f"kind is {kind!r}: it must be 'hessian' or 'sandwich'")
        inverse = scaling.centered(scaling.centered(inverse).T)
        to_raw = scaling.derivative()
        return to_raw @ inverse @ to_raw.T / s

    def standard_errors(self, kind: Literal["hessian", "sandwich"] = "hessian") -> Params:
        """Return the standard errors of w and b; otherwise as `covariance`."""
        errors = np.sqrt(np.maximum(np.diag(self.covariance(kind)), 0))
        w, b = map(np.asarray, self.params)
        errors = errors.reshape(*b.shape, -1)
        d = w.shape[-1]
        return host_params(errors[..., :d], errors[..., d] if errors.shape[-1] > d else 0 * b)

    def _curvature(self, of: Literal["loss", "slope"]) -> tuple[np.ndarray, float]:
        with jax.enable_x64(True):
            lane = np.zeros(1, int)
            H, s = self._objective.curvature(self._u[None], lane, ALL, wide=True, of=of)
        return H[0], float(s[0])


def _inverse(H: np.ndarray, p: int) -> np.ndarray:
    """Inverse of H, whose rows are those of p columns of the data, class by class."""
    root = np.sqrt(np.diag(H))
    if not (root > 0).all():
        columns = _names(~(root > 0), p)
        raise ValueError(f"no covariance: constant columns ({columns}). Drop them, or use l2 > 0")
    values, vectors = np.linalg.eigh(H / np.outer(root, root))
    if values[0] < len(H) * 1e-14 * values[-1]:
        columns = _names(abs(vectors[:, 0]) > 0.1, p)
        raise ValueError(
            f"no covariance: collinear columns ({columns}). Drop one of them, or use l2 > 0"
        )
    return (vectors / values) @ vectors.T / np.outer(root, root)


def _names(which: np.ndarray, p: int) -> str:
    return ", ".join(map(str, np.unique(np.flatnonzero(which) % p)))
