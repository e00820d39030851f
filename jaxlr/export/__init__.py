"""A trained model as a file for other programs: ONNX, StableHLO, scikit-learn, JSON."""

from jaxlr.export.formats import FORMATS, Format
from jaxlr.export.json import from_json, to_json
from jaxlr.export.onnx import to_onnx
from jaxlr.export.parameters import ExportError, needed_encoding
from jaxlr.export.sklearn import to_sklearn, to_skops
from jaxlr.export.stablehlo import to_stablehlo

__all__ = [
    "FORMATS",
    "ExportError",
    "Format",
    "from_json",
    "needed_encoding",
    "to_json",
    "to_onnx",
    "to_sklearn",
    "to_skops",
    "to_stablehlo",
]
