"""Lasso and elastic net: proximal Newton on the columns that matter, with a duality gap."""

from jaxlr.solve.proximal.fit import ProximalSettings, check_method, minimise, minimise_each
from jaxlr.solve.proximal.path import Path, path
from jaxlr.solve.proximal.penalty import take_elastic_net

__all__ = [
    "Path",
    "ProximalSettings",
    "check_method",
    "minimise",
    "minimise_each",
    "path",
    "take_elastic_net",
]
