"""scikit-learn's penalty parameters, as what they mean: C and the share of L1.

With weights that add up to S, scikit-learn minimises ``C sum_i s_i L_i + r ||w||_1 +
(1 - r)/2 ||w||^2``; divided by ``C S`` that is our objective, with ``l1 = r / (C S)`` and
``l2 = (1 - r) / (C S)``.
"""

import warnings
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

_DEPRECATED = (
    "'penalty' was deprecated in version 1.8 and will be removed in 1.10 of scikit-learn. "
    "Leave it at its default and say it with {others}: {ratio}=0 is penalty='l2', {ratio}=1 is "
    "penalty='l1', values in between are penalty='elasticnet', and {C}=np.inf is penalty=None."
)


class Penalty(NamedTuple):
    """Inverse strength C, infinite without a penalty, and the share of it that is L1."""

    C: float
    l1_ratio: float

    @property
    def has_l1(self) -> bool:
        """Whether any of it is L1."""
        return self.l1_ratio > 0 and np.inf > self.C

    def factors(self, total: float) -> tuple[float, float]:
        """Return l1 and l2 of the mean loss over weights that add up to ``total``.

        Examples
        --------
        >>> Penalty(C=0.5, l1_ratio=0.25).factors(total=100.0)
        (0.005, 0.015)
        """
        strength = 1 / (self.C * total)
        return self.l1_ratio * strength, (1 - self.l1_ratio) * strength


def penalty_of(estimator: Any) -> Penalty:
    """Read the penalty of a LogisticRegression, with scikit-learn's warnings."""
    kind: Any = getattr(estimator, "penalty", "deprecated")
    ratio, C = estimator.l1_ratio, estimator.C
    if kind == "deprecated":
        if ratio is None:
            warnings.warn(
                "'l1_ratio=None' was deprecated in version 1.8 of scikit-learn and will be an "
                "error in 1.10. Use 0 <= l1_ratio <= 1 instead.",
                FutureWarning,
                stacklevel=4,
            )
        return Penalty(C, 0.0 if ratio is None else ratio)
    warn_of_penalty("C and l1_ratio", "l1_ratio", "C")
    if kind == "elasticnet" and ratio is None:
        raise ValueError("l1_ratio must be specified when penalty is elasticnet.")
    if kind != "elasticnet" and ratio is not None and 0 < ratio < 1:
        _warn(f"l1_ratio parameter is only used when penalty is 'elasticnet'. Got (penalty={kind})")
    if (kind == "l2" and ratio != 0) or (kind == "l1" and ratio != 1):
        _warn(
            f"Inconsistent values: penalty={kind} with l1_ratio={ratio}. penalty is deprecated: "
            "use l1_ratio only."
        )
    if kind is None:
        if C != 1.0:
            _warn("Setting penalty=None will ignore the C and l1_ratio parameters")
        return Penalty(np.inf, 0.0)
    return Penalty(C, estimator.l1_ratio if kind == "elasticnet" else float(kind == "l1"))


def ratios_of(estimator: Any) -> tuple[list[float], bool]:
    """Read the shares of L1 that a LogisticRegressionCV compares, and whether any were given."""
    kind: Any = getattr(estimator, "penalty", "deprecated")
    given = estimator.l1_ratios
    if isinstance(given, str) and given == "warn":
        given = None
        _warn(
            "The default value for l1_ratios will change from None to (0.0,) in version 1.10 of "
            "scikit-learn. To avoid this warning, set a value, e.g. l1_ratios=(0,).",
            FutureWarning,
        )
    elif given is None and kind == "deprecated":
        _warn(
            "'l1_ratios=None' was deprecated in version 1.8 of scikit-learn and will be an error "
            "in 1.10. Use an array-like with values in [0, 1] instead.",
            FutureWarning,
        )
    if kind != "deprecated":
        warn_of_penalty("Cs and l1_ratios", "l1_ratios", "Cs")
        if kind != "elasticnet" and given is not None:
            _warn(f"l1_ratios parameter is only used when penalty is 'elasticnet'. Got ({kind=})")
    if given is None and kind != "elasticnet":
        return [1.0 if kind == "l1" else 0.0], False
    if given is None or len(given) == 0 or not all(_is_share(ratio) for ratio in given):
        raise ValueError(
            f"l1_ratios must be an array-like of numbers between 0 and 1; got (l1_ratios={given!r})"
        )
    share = {"l1": 1.0, "l2": 0.0}.get(kind)
    return [float(ratio) if share is None else share for ratio in given], True


def _is_share(ratio: Any) -> bool:
    return isinstance(ratio, Real) and 0 <= float(ratio) <= 1


def warn_of_penalty(others: str, ratio: str, C: str) -> None:
    """Warn that ``penalty`` is deprecated, and by which parameters to say it."""
    message = _DEPRECATED.format(others=others, ratio=ratio, C=C)
    warnings.warn(message, FutureWarning, stacklevel=5)


def warn_of_jobs(n_jobs: int | None) -> None:
    """Warn that ``n_jobs`` has no effect."""
    if n_jobs is not None:
        warnings.warn(
            "'n_jobs' has no effect since 1.8 and will be removed in 1.10 of scikit-learn. You "
            f"provided 'n_jobs={n_jobs}': leave it unspecified.",
            FutureWarning,
            stacklevel=4,
        )


def _warn(message: str, category: type[Warning] = UserWarning) -> None:
    warnings.warn(message, category, stacklevel=5)
