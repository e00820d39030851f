"""To the optimum, with a certificate."""

from jaxlr.solve.fit import compiles_for_shape, fit
from jaxlr.solve.host import HostFit, fit_on_host, suits_host
from jaxlr.solve.many import Fits, fit_many
from jaxlr.solve.proximal import Path, path
from jaxlr.solve.resampling import Bootstrap, bootstrap
from jaxlr.solve.result import Certificate, Fit, FitHistory, FitStatus, host_params
from jaxlr.solve.rows import check_settings
from jaxlr.solve.stream import RowBlock, RowStream, fit_stream
from jaxlr.solve.validation import CrossValidation, Score, cross_validate, draw_folds

__all__ = [
    "Bootstrap",
    "Certificate",
    "CrossValidation",
    "Fit",
    "FitHistory",
    "FitStatus",
    "Fits",
    "HostFit",
    "Path",
    "RowBlock",
    "RowStream",
    "Score",
    "bootstrap",
    "check_settings",
    "compiles_for_shape",
    "cross_validate",
    "draw_folds",
    "fit",
    "fit_many",
    "fit_on_host",
    "fit_stream",
    "host_params",
    "path",
    "suits_host",
]
