"""The formats there are, by the names that the command line knows."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from jaxlr.export.json import to_json
from jaxlr.export.onnx import to_onnx
from jaxlr.export.sklearn import to_skops
from jaxlr.export.stablehlo import to_stablehlo
from jaxlr.run import Model


class Format(NamedTuple):
    """How files of a format are named and made; only some formats can be asked for a type."""

    suffix: str
    encode: Callable[..., bytes]
    has_dtype: bool = False


def _json(model: Model) -> bytes:
    return to_json(model).encode()


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "onnx": Format(".onnx", to_onnx, has_dtype=True),
        "stablehlo": Format(".stablehlo", to_stablehlo, has_dtype=True),
        "safetensors": Format(".safetensors", Model.to_bytes),
        "sklearn": Format(".skops", to_skops),
        "json": Format(".json", _json),
    }
)
