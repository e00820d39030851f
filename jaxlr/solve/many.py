"""`fit_many`: K models to their optima, for the price of a few."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlr.core import Params
from jaxlr.solve.certify import certify
from jaxlr.solve.clock import Clock
from jaxlr.solve.plan import Method, choose_method, solve
from jaxlr.solve.problems import Asked, Penalties, are_data_sets, of_own_rows, of_shared_rows
from jaxlr.solve.proximal import ProximalSettings, check_method, minimise_each
from jaxlr.solve.result import Certificate, FitStatus, host_params
from jaxlr.solve.rows import (
    check_classes,
    check_finite,
    check_not_traced,
    check_settings,
)
from jaxlr.solve.starts import start, start_of


@dataclass(frozen=True)
class Fits:
    """Outcome of `jaxlr.fit_many`: K models.

    ``params`` are stacked, w (K, d) and b (K,), NumPy arrays in float64; of C classes each, w
    (K, C, d) and b (K, C). ``certificates`` one for each model. Falsy where any did not converge.
    """

    params: Params
    certificates: Sequence[Certificate]

    def __bool__(self) -> bool:
        """Whether every model converged."""
        return all(c.converged for c in self.certificates)

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self.certificates)

    def counts(self) -> dict[FitStatus, int]:
        """Return how many models ended with each status."""
        found = [c.status for c in self.certificates]
        return {status: found.count(status) for status in FitStatus if status in found}


def fit_many(
    X: Any,
    y: Any,
    *,
    n_classes: int | None = None,
    l2: ArrayLike = 0.0,
    l1: ArrayLike = 0.0,
    l1_ratio: ArrayLike | None = None,
    sample_weight: Any = None,
    offset: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    folds: tuple[ArrayLike, ArrayLike] | None = None,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
    init: Params | None = None,
    method: Method = "auto",
) -> Fits:
    """Fit K models together: models of the same rows, or each of rows of its own.

    Parameters
    ----------
    X : array_like, shape (n, d), or sequence of K array_like, shapes (n_k, d)
        Rows that all models share, which may be sparse as for `fit`, or the rows of each.
    y : array_like, shape (n,) or (n, K), or sequence of K array_like, shapes (n_k,)
        Labels in [0, 1]; with ``n_classes``, numbers from 0 to ``n_classes`` - 1.
    n_classes : int, optional
        As for `fit`: each model is a softmax of so many classes. Shared rows only.
    l2, l1, l1_ratio : float or array_like, shape (K,)
        Penalties, as for `fit`.
    sample_weight : array_like, shape (n,) or (n, K), or sequence like ``y``, optional
        Weights: of folds, of bootstrap replicates.
    offset : array_like, shape (n,), optional
        As for `fit`; shared rows only.
    classes : array_like, shape (K,), optional
        The label of a row in model k is whether its ``y`` equals ``classes[k]``: one against the
        rest, without K columns. Numbers or names. Shared rows only.
    folds : (fold, left_out), optional
        Numbers or names ``fold`` (n,) of the folds of rows, and ``left_out`` (K,): model k is
        fitted to the rows of all other folds. Shared rows only.
    fit_intercept, tol, max_steps, method
        As for `fit`.
    init : Params, optional
        Where to start: w (d,) or (K, d), b () or (K,).

    Returns
    -------
    Fits
        Stacked parameters, and a certificate for each model.

    Raises
    ------
    ValueError
        If shapes do not fit or a value is out of range; the message names it.

    Notes
    -----
    Models of shared rows share each read of X, where products of matrices take the place of
    products with vectors; where X has at most a million numbers, it stays in the cache and is read
    by one model after the other, and so is a sparse X on a CPU. A model that is done costs nothing
    more, and one that fails touches no other. Nothing of size (n, K) is made beside what is passed
    in. Data sets of their own are padded to the next power of two of rows, and solved together
    where that is the same.

    Examples
    --------
    >>> import numpy as np, jaxlr
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    >>> fits = jaxlr.fit_many(X, y, l2=[0.0, 0.1, 1.0])
    >>> print(fits.params.w[:, 0].round(4), bool(fits))
    [0.9082 0.6367 0.1908] True
    """
    check_not_traced(X=X, y=y, l2=l2, l1=l1, sample_weight=sample_weight, offset=offset, init=init)
    check_settings(tol, max_steps, method)
    check_classes(n_classes)
    with Clock() as clock, jax.enable_x64(True):
        apart, penalties = are_data_sets(X), Penalties(l1, l2, l1_ratio)
        if not apart:
            asked = Asked(y, n_classes, penalties, sample_weight, offset, classes, folds, init)
            problems = of_shared_rows(X, asked, intercept=fit_intercept)
        elif offset is None and classes is None and folds is None and n_classes is None:
            problems = of_own_rows(X, y, penalties, sample_weight, fit_intercept)
        else:
            raise ValueError("offset, classes, folds and n_classes are for models of shared rows")
        check_method(method, has_l1=any(l1.any() for _, _, l1 in problems))
        K = sum(len(problem.models) for problem in problems)
        of_classes = () if n_classes is None else (n_classes,)
        w, b = np.zeros((K, *of_classes, problems[0].objective.d)), np.zeros((K, *of_classes))
        certificates: dict[int, Certificate] = {}
        for objective, models, some_l1 in problems:
            starts = start_of(init, models, n_classes)
            if some_l1.any() and objective.d:
                settings = ProximalSettings(tol, max_steps, fit_intercept, n_classes)
                w[models], b[models], found = minimise_each(
                    objective, some_l1, starts, settings, clock
                )
                certificates |= dict(zip(models.tolist(), found, strict=True))
                continue
            chosen = choose_method(method, objective.scaling.size, sampled=objective.sampled)
            u = start(starts, len(models), objective.scaling, objective.rows)
            state = solve(
                objective, u, method=chosen, tol=tol, max_steps=max_steps, near=init is not None
            )
            if not apart:  # or else it was looked at
                check_finite(state.J, objective.rows)
            w[models], b[models] = objective.scaling.to_raw(objective.scaling.centered(state.u))
            found = certify(objective, state, chosen, tol, clock)
            certificates |= dict(zip(models.tolist(), found, strict=True))
        return Fits(host_params(w, b), [certificates[k] for k in range(K)])
