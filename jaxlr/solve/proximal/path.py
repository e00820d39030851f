"""`path`: a model for each of many penalties, from the one that leaves nothing to a small one."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlr.core import Params
from jaxlr.solve.clock import Clock
from jaxlr.solve.proximal.certify import certify, params_of
from jaxlr.solve.proximal.descent import Descent
from jaxlr.solve.proximal.fit import ProximalSettings, begin
from jaxlr.solve.proximal.penalty import ElasticNet
from jaxlr.solve.result import Certificate, host_params
from jaxlr.solve.rows import (
    check_classes,
    check_finite,
    check_not_traced,
    check_settings,
    take_rows,
)
from jaxlr.solve.sparse import MatrixTooLargeError

_ROUNDING = 1e-14  # of a gradient per standard deviation


@dataclass(frozen=True)
class Path:
    """Outcome of `jaxlr.path` for n penalties.

    Attributes
    ----------
    penalties : ndarray, shape (n,)
        Penalties: l1 is ``l1_ratio`` of each, and l2 the rest.
    l1_ratio : float
    params : Params
        w (n, d) and b (n,), NumPy arrays in float64; of C classes w (n, C, d) and b (n, C). What is
        0 is exactly 0.
    certificates : sequence of Certificate
        One for each penalty; its steps and reads are those since the penalty before.
    nonzeros : ndarray, shape (n,)
        How many coefficients are not 0.
    """

    penalties: np.ndarray
    l1_ratio: float
    params: Params
    certificates: Sequence[Certificate]
    nonzeros: np.ndarray

    def __bool__(self) -> bool:
        """Whether every model converged."""
        return all(c.converged for c in self.certificates)

    def __len__(self) -> int:
        """Return the number of penalties."""
        return len(self.penalties)


def path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int | None = None,
    l1_ratio: float = 1.0,
    n: int = 100,
    smallest: float = 1e-3,
    penalties: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
) -> Path:
    """Fit the lasso or the elastic net for a whole path of penalties.

    ``J = sum_i s_i L(w . x_i + b + o_i, y_i) / sum_i s_i + l2/2 ||w||^2 + l1 ||w||_1``
    with ``l1 = l1_ratio penalty`` and ``l2 = (1 - l1_ratio) penalty``.

    Parameters
    ----------
    X, y, n_classes, sample_weight, offset, fit_intercept
        As for `fit`.
    l1_ratio : float
        Share of l1 in each penalty, above 0 and at most 1, which is the lasso.
    n : int
        Number of penalties, evenly spaced in their logarithm, from the smallest that leaves no
        coefficient (computed exactly) down to ``smallest`` times it.
    smallest : float
        Between 0 and 1.
    penalties : array_like, shape (n,), optional
        Penalties to take instead, each above 0, in any order.
    tol : float
        Largest violation of the conditions of optimality, in nats per standard deviation of a
        feature.
    max_steps : int
        Steps for each penalty after which to go on to the next.

    Returns
    -------
    Path
        Penalties, stacked parameters and certificates; falsy where any did not converge.

    Raises
    ------
    ValueError
        If shapes do not fit or a value is out of range; if all rows have one label.

    Notes
    -----
    Each model starts from the one before. Turns read only the columns that have a coefficient, or
    are likely to get one; the conditions are then checked on all columns, and the certificate of
    each penalty is that of all.

    Where a sparse X has too many columns that matter for their Hessian to take 1 GiB (11,585 of two
    classes), the path ends with a warning: the models of smaller penalties stay as the last one was
    left, and their certificates say that they did not converge.

    References
    ----------
    J. Friedman, T. Hastie, R. Tibshirani, *Regularization Paths for Generalized Linear Models via
    Coordinate Descent*, 2010.

    Examples
    --------
    >>> import numpy as np, jaxlr
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 5))
    >>> y = X[:, 0] - X[:, 1] + rng.logistic(size=200) > 0
    >>> path = jaxlr.path(X, y, n=4, smallest=0.03)
    >>> print(path.penalties.round(3), path.nonzeros, bool(path))
    [0.189 0.059 0.018 0.006] [0 2 5 5] True
    """
    check_not_traced(X=X, y=y, sample_weight=sample_weight, offset=offset)
    check_settings(tol, max_steps)
    _check(l1_ratio, n, smallest)
    check_classes(n_classes)
    settings = ProximalSettings(tol, max_steps, fit_intercept, n_classes)
    with Clock() as clock, jax.enable_x64(True):
        rows = take_rows(X, y, sample_weight, offset, n_classes, sparse=True)
        if rows.X.shape[1] == 0:
            raise ValueError(f"X has shape {rows.X.shape}: without a column there is no path")
        descent = begin(rows, None, settings)
        check_finite(descent.look().loss, rows)
        if penalties is None:
            taken = _largest(descent, l1_ratio) * np.geomspace(1, smallest, n)
        else:
            taken = _checked(penalties)
        found: dict[int, tuple[Params, Certificate]] = {}
        ended = False
        for k in np.argsort(-taken, kind="stable").tolist():
            whole = float(taken[k])
            l1, l2 = l1_ratio * whole, (1 - l1_ratio) * whole
            penalty = ElasticNet.of(l1, l2, descent.loss.scaling)
            if not ended:
                ended = not _solved(descent, penalty, whole, settings, first=not found)
            found[k] = params_of(descent), certify(descent, penalty, tol, clock)
    params, certificates = zip(*(found[k] for k in range(len(taken))), strict=True)
    w, b = (np.stack(v) for v in zip(*params, strict=True))
    nonzeros = np.count_nonzero(w.reshape(len(w), -1), axis=1)
    return Path(taken, l1_ratio, host_params(w, b), certificates, nonzeros)


def _solved(
    descent: Descent, penalty: ElasticNet, whole: float, settings: ProximalSettings, *, first: bool
) -> bool:
    """Solve for a penalty; False where it has more columns than a matrix may, as those below."""
    try:
        descent.solve(penalty, settings.tol, settings.max_steps)
    except MatrixTooLargeError as error:
        if first:
            raise
        warnings.warn(
            f"the path ends above the penalty {whole:g}: the models of smaller ones stay as they "
            f"are there, for {error}",
            RuntimeWarning,
            stacklevel=3,
        )
        return False
    return True


def _largest(descent: Descent, l1_ratio: float) -> float:
    """Smallest penalty that leaves no coefficient, from the optimum of the intercept alone."""
    here, loss = descent.look(), descent.loss
    if here.one_label:
        raise ValueError(
            "all rows have the same label, or a class has no row: there is no path. Add such rows"
        )
    if not abs(loss.of_features(here.g)).max(initial=0) > _ROUNDING:
        raise ValueError("no feature says anything of y: each is constant, or X has no columns")
    return loss.largest_l1(here.g) / l1_ratio


def _check(l1_ratio: float, n: int, smallest: float) -> None:
    if not (_is_number(l1_ratio) and 0 < l1_ratio <= 1):
        raise ValueError(
            f"l1_ratio is {l1_ratio!r}: it must be a number above 0 and at most 1. Without l1 use "
            "fit_many"
        )
    if not (_is_number(n, whole=True) and n >= 1):
        raise ValueError(f"n is {n!r}: it must be a whole number of penalties, at least 1")
    if not (_is_number(smallest) and 0 < smallest < 1):
        raise ValueError(f"smallest is {smallest!r}: it must be a number between 0 and 1")


def _is_number(v: Any, *, whole: bool = False) -> bool:
    return np.ndim(v) == 0 and np.asarray(v).dtype.kind in ("iu" if whole else "iuf")


def _checked(penalties: ArrayLike) -> np.ndarray:
    try:
        taken = np.asarray(penalties, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"penalties is {penalties!r}: they must be numbers") from error
    if taken.ndim != 1 or taken.size == 0:
        raise ValueError(f"penalties has shape {taken.shape}: pass one or more, (n,)")
    if not (np.isfinite(taken) & (taken > 0)).all():
        raise ValueError(f"penalties is {taken}: each must be finite and above 0")
    return taken
