"""Probabilities from decision values, and their logarithms, accurate far out on both sides."""

import numpy as np
from scipy import special


def probabilities(z: np.ndarray) -> np.ndarray:
    """Probability (n, K) of each class, from decision values z (n,) of two classes, or (n, K).

    For two classes both columns are computed from z: none is 1 minus a rounded other.

    Examples
    --------
    >>> print(probabilities(np.array([800.0, 40.0])))
    [[0.00000000e+00 1.00000000e+00]
     [4.24835426e-18 1.00000000e+00]]
    """
    if z.ndim == 1:
        return np.stack([special.expit(-z), special.expit(z)], axis=1)
    return special.softmax(z, axis=1)


def log_probabilities(z: np.ndarray) -> np.ndarray:
    """Logarithms of `probabilities`: finite where these are 0, and not 0 where these round to 1.

    ``log a_k = (z_k - z_max) - log1p(sum of exp(z_j - z_max) over the j that are not max)``

    Examples
    --------
    >>> print(log_probabilities(np.array([800.0])))
    [[-800.   -0.]]
    >>> print(log_probabilities(np.array([[40.0, 0.0, 0.0]])))
    [[-8.49670851e-18 -4.00000000e+01 -4.00000000e+01]]
    """
    if z.ndim == 1:
        return np.stack([special.log_expit(-z), special.log_expit(z)], axis=1)
    largest = z.argmax(axis=1)[:, None]
    z = z - np.take_along_axis(z, largest, axis=1)
    e = np.exp(z)
    np.put_along_axis(e, largest, 0, axis=1)
    return z - np.log1p(e.sum(axis=1, keepdims=True))
