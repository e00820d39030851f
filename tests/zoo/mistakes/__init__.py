"""Faults that people make in these very formulas, by the file of the species they are made in."""
