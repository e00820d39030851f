"""Derivatives by hand, judged: `check_derivatives`."""
