"""`bootstrap`: how far the coefficients would move with other rows, by drawing them again."""

from dataclasses import dataclass

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlr.core import Params
from jaxlr.solve.fit import fit
from jaxlr.solve.many import Fits, fit_many
from jaxlr.solve.result import Fit, host_params
from jaxlr.solve.rows import take_rows

_COUNTS_AT_A_TIME = 1 << 25  # bytes of weights


@dataclass(frozen=True)
class Bootstrap:
    """Outcome of `jaxlr.bootstrap`.

    Attributes
    ----------
    fit : Fit
        The model of the rows as they are.
    replicates : Fits
        The models of rows drawn again, R of them.
    lower, upper : Params
        Ends of the percentile intervals, w (d,) and b (), from the replicates that converged.
    standard_error : Params
        Their standard deviation.
    """

    fit: Fit
    replicates: Fits
    lower: Params
    upper: Params
    standard_error: Params


def bootstrap(
    X: ArrayLike,
    y: ArrayLike,
    *,
    replicates: int = 1000,
    level: float = 0.95,
    l2: float = 0.0,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
    seed: int = 0,
) -> Bootstrap:
    """Bootstrap the coefficients of a logistic regression.

    Parameters
    ----------
    X, y, l2, sample_weight, offset, fit_intercept, tol, max_steps
        As for `fit`; each replicate draws n rows with replacement, each with its weight.
    replicates : int
        How many, at least 2.
    level : float
        Coverage of the intervals, between 0 and 1.
    seed : int
        For the draws.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        As `fit`; and if fewer than two replicates converged, for then there is no interval.

    References
    ----------
    B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993, 13.3.

    Examples
    --------
    >>> import numpy as np, jaxlr
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 1))
    >>> y = X[:, 0] + rng.logistic(size=200) > 0
    >>> boot = jaxlr.bootstrap(X, y, replicates=200)
    >>> print(boot.lower.w.round(1), boot.upper.w.round(1))
    [0.7] [1.6]
    """
    if replicates < 2:
        raise ValueError(f"replicates is {replicates}: it must be at least 2")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: it must be between 0 and 1")
    settings = {
        "l2": l2,
        "offset": offset,
        "fit_intercept": fit_intercept,
        "tol": tol,
        "max_steps": max_steps,
    }
    with jax.enable_x64(True):  # on the device once, for all that follows
        X = take_rows(X, y, sample_weight, offset).X
    whole = fit(X, y, sample_weight=sample_weight, **settings)
    if not whole:
        raise ValueError(f"nothing to resample: the fit is {whole.certificate.describe()}")
    n = len(X)
    rng = np.random.default_rng(seed)
    found: list[Fits] = []
    while (done := sum(map(len, found))) < replicates:
        size = min(replicates - done, max(1, _COUNTS_AT_A_TIME // n))
        weights = np.stack([_draw(rng, n, sample_weight) for _ in range(size)], axis=1)
        found.append(fit_many(X, y, sample_weight=weights, init=whole.params, **settings))
    w, b = (np.concatenate([getattr(fits.params, v) for fits in found]) for v in ("w", "b"))
    certificates = [c for fits in found for c in fits.certificates]
    ok = np.array([c.converged for c in certificates])
    if ok.sum() < 2:
        raise ValueError(f"no interval: {ok.sum()} of {replicates} replicates converged")
    tail = (1 - level) / 2
    lower, upper = (
        host_params(*(np.quantile(v[ok], q, axis=0) for v in (w, b))) for q in (tail, 1 - tail)
    )
    spread = host_params(w[ok].std(axis=0, ddof=1), b[ok].std(axis=0, ddof=1))
    every = Fits(host_params(w, b), certificates)
    return Bootstrap(whole, every, lower, upper, spread)


def _draw(rng: np.random.Generator, n: int, sample_weight: ArrayLike | None) -> np.ndarray:
    """Draw n of n rows again: how often each comes, times its weight."""
    counts = np.bincount(rng.integers(n, size=n), minlength=n)
    if sample_weight is None:
        return counts.astype(np.uint16)
    return counts * np.asarray(sample_weight)
