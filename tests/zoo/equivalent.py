"""Operators that change nothing at a node, with the argument why; held to it by a test."""

_SATURATED = ("off when saturated", "zero when saturated", "NaN when saturated")
_BOUNDED = {
    ("logistic", "dy"): "a label lies in [0, 1] and never beyond 16",
    ("layer norm", "dxhat"): "a normalised row of 4 has entries of at most 2",
    ("rms norm", "dxhat"): "a normalised row of 4 has entries of at most 2",
    ("network", "da1"): "a1 is a tanh, of at most 1",
}
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (*place, operator): why for place, why in _BOUNDED.items() for operator in _SATURATED
}
