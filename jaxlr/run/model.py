"""A trained model: parameters for raw features, with the names they belong to."""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxlr import batch
from jaxlr.core import Params
from jaxlr.extras import extra

FILE = "params.safetensors"
_TENSORS = ("w", "b", "mean", "scale")
_FORMAT = 1
_ROWS_AT_A_TIME = 65_536


class Model(NamedTuple):
    """Binary logistic regression on raw features, in float64.

    ``w`` (d,) and ``b`` () take features as they came; ``mean`` (d,) and ``scale`` (d,) are
    those of the training rows, by which the features were standardised while training.
    """

    w: np.ndarray
    b: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    features: tuple[str, ...]
    labels: tuple[str, str]

    @classmethod
    def from_standardized(
        cls,
        params: Params,
        mean: np.ndarray,
        scale: np.ndarray,
        features: tuple[str, ...],
        labels: tuple[str, str],
    ) -> "Model":
        """Fold mean and scale into the parameters: ``w . (x - mean) / scale + b``.

        ``w' = w / scale;  b' = b - w' . mean``
        """
        mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
        w = np.asarray(params.w, np.float64) / scale
        return cls(w, np.asarray(params.b, np.float64) - w @ mean, mean, scale, features, labels)

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Probability of label 1 for each row of raw features X (n, d): (n,), in float64."""
        parts = [np.empty(0)]
        with jax.enable_x64(True):
            for start in range(0, len(X), _ROWS_AT_A_TIME):
                rows = np.asarray(X[start : start + _ROWS_AT_A_TIME], np.float64)
                a = batch.probabilities(
                    Params(jax.numpy.asarray(self.w), jax.numpy.asarray(self.b)), rows
                )
                parts.append(np.asarray(a))
        return np.concatenate(parts)

    def to_bytes(self) -> bytes:
        """Write as safetensors: tensors w, b, mean, scale; the names as JSON in its metadata."""
        with extra("cli"):
            from safetensors.numpy import save
        tensors = {name: np.asarray(getattr(self, name)) for name in _TENSORS}
        # In one entry: safetensors writes several in no fixed order, and a model has fixed bytes.
        names = {"format": _FORMAT, "features": self.features, "labels": self.labels}
        return save(tensors, metadata={"jaxlr": json.dumps(names)})

    @classmethod
    def load(cls, run: str | Path) -> "Model":
        """Read the model of a run folder.

        Raises
        ------
        ValueError
            If there is no such model, or its file is damaged.
        """
        with extra("cli"):
            from safetensors import SafetensorError, safe_open
        path = Path(run) / FILE
        if not path.is_file():
            raise ValueError(f"{run}: no run folder with a trained model ({FILE}) is there")
        try:
            with safe_open(path, framework="numpy") as file:
                names = json.loads((file.metadata() or {})["jaxlr"])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            if names["format"] != _FORMAT:
                raise ValueError(f"{path}: format {names['format']}, this jaxlr reads {_FORMAT}")
            zero, one = names["labels"]
            return cls(**tensors, features=tuple(names["features"]), labels=(zero, one))
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{path}: not a model of jaxlr, or damaged: {error}") from error
