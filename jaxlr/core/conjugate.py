"""The convex conjugate of the loss of one example: what duality gaps are made of."""

from jax import Array
from jax.scipy.special import xlogy


def conjugate(dz: Array, y: Array) -> Array:
    """Convex conjugate of the loss at a slope: ``sup_z (dz z - L(z, y))``, in nats.

    ``a = y + dz``, and the conjugate is ``sum_k a_k log a_k``: minus the entropy of a.

    Parameters
    ----------
    dz : Array, shape () or (K,)
        Slope of the loss, so that a is a probability; for K classes the slopes add up to 0.
    y : Array, shape () or (K,)
        Label in [0, 1], or the shares of K classes, in the type of ``dz``.

    Returns
    -------
    Array, shape ()
        At most 0.

    Notes
    -----
    At the slope of the loss at z it is ``dz z - L`` (Fenchel's equality); elsewhere it is more.

    References
    ----------
    S. Boyd, L. Vandenberghe, *Convex Optimization*, 3.3.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> print(f"{conjugate(jnp.array(-0.5), jnp.array(1.0)):.4f}")  # a = 1/2: minus log 2
    -0.6931
    """
    a = y + dz
    if dz.ndim:
        return xlogy(a, a).sum()
    other = (1 - y) - dz  # never 1 minus a rounded a
    return xlogy(a, a) + xlogy(other, other)
