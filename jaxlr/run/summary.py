"""What a run says about itself: how good its model is, on which rows, computed on what."""

import json
import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from jaxlr import batch, shard
from jaxlr.core import Params
from jaxlr.data import Dataset
from jaxlr.extras import extra
from jaxlr.run.parts import Parts


def evaluate(params: Params, rows: Dataset) -> dict[str, float | None]:
    """Loss (nats), accuracy, area under the ROC curve and Brier score of a model on rows.

    With soft labels, accuracy and the area are None; so is the area with one label only.
    """
    with extra("data"):
        from sklearn.metrics import roc_auc_score
    a = shard.join(np.asarray(batch.probabilities(params, rows.X), np.float64))
    y = shard.join(rows.y.astype(np.float64))
    loss = float(batch.loss(params, rows.X, rows.y))
    if len(y) > len(rows.y):  # the others are on other processes
        loss = float(shard.add_up(loss * len(rows.y))) / len(y)
    hard = bool(np.isin(y, (0, 1)).all())
    both = hard and 0 < y.mean() < 1
    return {
        "loss": loss,
        "accuracy": float(np.mean((a >= 0.5) == y)) if hard else None,
        "roc_auc": float(roc_auc_score(y, a)) if both else None,
        "brier": float(np.mean((a - y) ** 2)),
    }


def facts(params: Params, parts: Parts, devices: Sequence[Any]) -> dict[str, Any]:
    """Return what every summary says: how good the model is, of which rows, computed on what."""
    rows = parts.train
    held_out = {"validation": parts.validation, "test": parts.test}
    return {
        "train": evaluate(params, rows),
        **{name: None if v is None else evaluate(params, v) for name, v in held_out.items()},
        "data": {
            "name": rows.name,
            "rows": parts.sizes(),
            "features": len(rows.features),
            "labels": list(rows.labels),
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
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
