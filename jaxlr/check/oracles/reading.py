"""What an oracle answers: a number and how far it may be off, or why there is none."""

from typing import NamedTuple

import numpy as np


class Reading(NamedTuple):
    """One derivative, read by one oracle.

    Attributes
    ----------
    oracle : str
        Name of the oracle.
    value : float
        The derivative; nan where refused.
    error : float
        Bound of its own error, absolute; inf where refused.
    refused : str
        Why there is no value: "kink", "jump", "not finite", "not resolved", "no rule for conv";
        empty where there is one.

    Examples
    --------
    >>> Reading("central differences", 2.0, 1e-9).refused
    ''
    >>> refuse("central differences", "kink")
    Reading(oracle='central differences', value=nan, error=inf, refused='kink')
    """

    oracle: str
    value: float
    error: float
    refused: str = ""


def refuse(oracle: str, why: str) -> Reading:
    """Answer with a reason instead of a value."""
    return Reading(oracle, np.nan, np.inf, why)
