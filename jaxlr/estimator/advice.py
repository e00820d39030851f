"""What became of a fit, and what to do about it, in scikit-learn's terms."""

import warnings
from collections.abc import Sequence
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from jaxlr.solve import Certificate, FitStatus


def advise(certificate: Certificate, estimator: Any) -> str:
    """Describe a fit that did not converge, and which parameter to change."""
    features = getattr(estimator, "feature_names_in_", None)
    if certificate.status is FitStatus.SEPARATED:
        return _separated(certificate, features)
    if certificate.status is FitStatus.FAILED:
        return (
            f"the fit failed: the objective is not finite ({certificate.objective}). No row weighs "
            "anything, or features are too large: scale them (StandardScaler)"
        )
    found = (
        f"largest gradient entry {certificate.raw_gradient:.1e} ({certificate.gradient:.1e} per "
        f"standard deviation of a feature), where tol={estimator.tol:g}, about "
        f"{certificate.gap:.1e} nats above the optimum, after {certificate.steps} iterations"
    )
    if certificate.stuck:
        return (
            f"not converged: {found}. No step lowers the objective, as far as float64 can tell: "
            "scale the features (StandardScaler), or allow a larger tol"
        )
    return (
        f"not converged: {found}. Increase max_iter (now {estimator.max_iter}), allow a larger "
        "tol, scale the features (StandardScaler), or penalise more (a smaller C)"
    )


def _separated(certificate: Certificate, features: Sequence[str] | None) -> str:
    if certificate.one_label:
        return (
            "separated: no row that weighs anything has one of the labels, so an intercept grows "
            "without end. Add rows of that label, or drop it"
        )
    names = [certificate.name_of(j, features) for j in certificate.runaway[:8]]
    more = f" and {len(certificate.runaway) - 8} more" if len(certificate.runaway) > 8 else ""
    return (
        f"separated: the labels can be told apart without error by {', '.join(names)}{more}, so "
        "the coefficients grow without end and their size means nothing. Penalise (a finite C), "
        "or drop or merge these columns"
    )


def warn_of(certificates: Sequence[Certificate], estimator: Any) -> None:
    """Warn of the fits that did not converge: of one in full, of several by the first."""
    bad = [c for c in certificates if not c.converged]
    if not bad:
        return
    of = "" if len(certificates) == 1 else f"{len(bad)} of {len(certificates)} fits. The first: "
    message = f"{type(estimator).__name__}: {of}{advise(bad[0], estimator)}."
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
