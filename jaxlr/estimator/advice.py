"""What became of a fit, and what to do about it, in scikit-learn's terms."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from jaxlr.solve import Certificate, FitStatus


def advise(certificate: Certificate, estimator: Any, lacking: Sequence[Any] = ()) -> str:
    """Describe a fit that did not converge, and what to change.

    ``lacking`` are the labels that its rows lack.
    """
    features = getattr(estimator, "feature_names_in_", None)
    if certificate.status is FitStatus.SEPARATED:
        return _separated(certificate, features, lacking)
    if certificate.status is FitStatus.FAILED:
        return (
            f"the fit failed: the objective is not finite ({certificate.objective}). No row weighs "
            "anything, or features are too large: scale them (StandardScaler)"
        )
    about = "at most" if certificate.has_l1 else "about"
    found = (
        f"largest gradient entry {certificate.raw_gradient:.1e} ({certificate.gradient:.1e} per "
        f"standard deviation of a feature), where tol={estimator.tol:g}, {about} "
        f"{certificate.gap:.1e} nats above the optimum, after {certificate.steps} iterations"
    )
    if certificate.stuck or certificate.steps < estimator.max_iter:
        return (
            f"not converged: {found}. No step lowers the objective, as far as float64 can tell: "
            "scale the features (StandardScaler), or allow a larger tol"
        )
    return (
        f"not converged: {found}. Increase max_iter (now {estimator.max_iter}), allow a larger "
        "tol, scale the features (StandardScaler), or penalise more (a smaller C)"
    )


def _separated(
    certificate: Certificate, features: Sequence[str] | None, lacking: Sequence[Any]
) -> str:
    if certificate.one_label:
        labels = " or ".join(map(repr, lacking))
        return (
            f"separated: no row that weighs anything has the label {labels}, so an intercept grows "
            "without end. Add such rows, or drop the label"
        )
    names = certificate.runaway_names(features)
    return (
        f"separated: the labels can be told apart without error by {names}, so the "
        "coefficients grow without end and their size means nothing. Penalise (a finite C), "
        "or drop or merge these columns"
    )


def warn_of(
    certificates: Sequence[Certificate], estimator: Any, lacking: Callable[[int], Sequence[Any]]
) -> None:
    """Warn of the fits that did not converge: of one in full, of several by the first.

    ``lacking`` names the labels that the rows of the k-th fit lack.
    """
    bad = [k for k, certificate in enumerate(certificates) if not certificate.converged]
    if not bad:
        return
    first = bad[0]
    of = "" if len(certificates) == 1 else f"{len(bad)} of {len(certificates)} fits. The first: "
    advice = advise(certificates[first], estimator, lacking(first))
    message = f"{type(estimator).__name__}: {of}{advice}."
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
