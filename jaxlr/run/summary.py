"""What a run says about itself: how good its model is, on which rows, computed on what."""

import json
import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import jax

from jaxlr import shard
from jaxlr.core import Params
from jaxlr.run.parts import Parts
from jaxlr.run.streamed import StreamedParts


def facts(params: Params, parts: Parts | StreamedParts, devices: Sequence[Any]) -> dict[str, Any]:
    """Return what every summary says: how good the model is, of which rows, computed on what."""
    rows = parts.train if isinstance(parts, Parts) else parts.stream
    return {
        **parts.evaluate(params),
        "data": {
            "name": rows.name,
            "rows": parts.sizes(),
            "features": len(rows.features),
            "labels": list(rows.labels),
            "streamed": isinstance(parts, StreamedParts),
        },
        "versions": {"jaxlr": version("jaxlr"), "jax": jax.__version__},
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processes": shard.host_count(),
    }


def to_json(value: dict[str, Any], indent: int | None = None) -> str:
    """JSON, which has no NaN and no infinity: null stands for them."""
    return json.dumps(_finite(value), indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
