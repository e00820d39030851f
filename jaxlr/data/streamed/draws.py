"""Random numbers of rows: a function of the row's number, the same on every machine and version."""

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)


def draws(numbers: np.ndarray, *salt: int) -> np.ndarray:
    """Numbers (m,) as random ones in uint64, others for another ``salt``: SplitMix64's mixing.

    References
    ----------
    G. Steele, D. Lea, C. Flood, *Fast Splittable Pseudorandom Number Generators*, 2014.

    Examples
    --------
    >>> draws(np.arange(6), 7) % 10
    array([3, 2, 2, 7, 6, 4], dtype=uint64)
    """
    key = np.zeros(1, np.uint64)
    for number in salt:
        key = _mixed(key ^ np.uint64(number))
    return _mixed(_mixed(numbers.astype(np.uint64)) ^ key)


def _mixed(x: np.ndarray) -> np.ndarray:
    x = x + _STEP  # modulo 2^64, as all here
    for shift, factor in _FACTORS:
        x = (x ^ (x >> shift)) * factor
    return x ^ (x >> np.uint64(31))
