"""Operators that change nothing at a node, with the argument why; held to it by a test."""

EQUIVALENT: dict[tuple[str, str, str], str] = {}
