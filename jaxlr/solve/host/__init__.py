"""Solving on the host: NumPy's products with X, and nothing compiled that depends on its shape."""

from jaxlr.solve.host.newton import HostFit, fit_on_host, suits_host
from jaxlr.solve.host.objective import HostObjective, suits_host_rows

__all__ = ["HostFit", "HostObjective", "fit_on_host", "suits_host", "suits_host_rows"]
