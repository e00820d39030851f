"""Faults that people make in these very formulas."""

from jax import Array

from zoo.mistakes import numbers, ours, products, rows
from zoo.species import Context, Fault


def _exchanged(_: Array, k: Context) -> Array:
    assert k.sibling is not None
    return k.sibling()


# Two arguments of one shape, their gradients returned in the wrong order.
EXCHANGED = tuple(
    Fault(species, first, f"exchanged with {second}", _exchanged, also=(second,))
    for species, first, second in (
        ("logistic", "dz", "dy"),
        ("layer norm", "db", "dg"),
        ("recurrence", "db", "dh0"),
    )
)
BY_HAND: tuple[Fault, ...] = (
    *numbers.FAULTS, *rows.FAULTS, *products.FAULTS, *ours.FAULTS, *EXCHANGED,
)  # fmt: skip
