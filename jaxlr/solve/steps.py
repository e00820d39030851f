"""When a step is good, and how much of it to try next, in NumPy on the host or in JAX, compiled."""

from typing import Any, NamedTuple


class Rounding(NamedTuple):
    """What a computation cannot resolve: of J, of a change of the gradient, of a step."""

    objective: float
    gradient: float
    shortest: float


WIDE = Rounding(1e-14, 1e-14, 1e-6)
NARROW = Rounding(1e-6, 1e-6, 0.02)  # then float64 sees further


def is_good(J: Any, new_J: Any, down: Any, up: Any, rounding: Rounding) -> Any:
    """Whether steps are good that took J to ``new_J`` and the slope along them from down to up.

    A good one lowers J, as far as rounding can tell, and does not climb again at its end: that
    the slope can tell, also where J no longer changes.
    """
    lower = J + rounding.objective * abs(J) >= new_J
    return J.__array_namespace__().isfinite(new_J) & lower & (up <= -0.5 * down)


def shortened(t: Any, down: Any, up: Any) -> Any:
    """How much of a step to try next: to where its slope would be 0, were it a parabola."""
    xp = down.__array_namespace__()
    share = down / (down - up)
    return t * xp.where(xp.isnan(share), 0.1, xp.clip(share, 0.1, 0.7))
