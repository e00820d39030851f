"""Faults that people make in these very formulas."""

from zoo.species import Fault

BY_HAND: tuple[Fault, ...] = ()
