"""A trained model: parameters for raw features, with the names they belong to."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import batch
from jaxlr.core import Params
from jaxlr.data import Encoding, Number
from jaxlr.extras import extra
from jaxlr.run.folder import MODEL, RunFolderError, is_unfinished

_TENSORS = ("w", "b", "mean", "scale")
_NAMES = ("features", "labels", "target", "exclude")
_FORMATS = (1, 2)  # the second has an encoding
_ROWS_AT_A_TIME = 65_536


class Model(NamedTuple):
    """Binary logistic regression on raw features, in float64.

    ``w`` (d,) and ``b`` () take features as they came; ``mean`` (d,) and ``scale`` (d,) are
    those of the training rows, by which the features were standardised while training.
    ``target`` and ``exclude`` are the columns of the training file that are no features.
    ``encoding`` tells how the columns of a source become the features; it is None where the data
    was no file, and in models of earlier versions, whose columns are the features.
    """

    w: np.ndarray
    b: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    features: tuple[str, ...]
    labels: tuple[str, str]
    target: str | None = None
    exclude: tuple[str, ...] = ()
    encoding: Encoding | None = None

    @classmethod
    def from_standardized(
        cls,
        params: Params,
        mean: np.ndarray,
        scale: np.ndarray,
        features: tuple[str, ...],
        labels: tuple[str, str],
        target: str | None = None,
        exclude: tuple[str, ...] = (),
        encoding: Encoding | None = None,
    ) -> "Model":
        """Fold mean and scale into the parameters: ``w . (x - mean) / scale + b``.

        ``w' = w / scale;  b' = b - w' . mean``

        Parameters
        ----------
        params : Params
            For standardised features: ``w`` (d,) and ``b`` ().
        mean, scale : ndarray, shape (d,)
        features, labels, target, exclude, encoding
            As the class has them.
        """
        mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
        w = np.asarray(params.w, np.float64) / scale
        b = np.asarray(params.b, np.float64) - w @ mean
        return cls(w, b, mean, scale, features, labels, target, exclude, encoding)

    def standardized(self) -> tuple[np.ndarray, float]:
        """Parameters for ``(x - mean) / scale``, as training had them: w (d,) and b."""
        return self.w * self.scale, float(self.b + self.w @ self.mean)

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Probability of label 1 for each row, in float64.

        Parameters
        ----------
        X : ndarray, shape (n, d)
            Raw features, finite.

        Returns
        -------
        a : ndarray, shape (n,)

        Raises
        ------
        ValueError
            If X has other columns than the model, or a value that is not finite.
        """
        parts = [np.empty(0)]
        with jax.enable_x64(True):
            params = Params(jax.numpy.asarray(self.w), jax.numpy.asarray(self.b))
            for start in range(0, len(X), _ROWS_AT_A_TIME):
                rows = np.asarray(X[start : start + _ROWS_AT_A_TIME], np.float64)
                parts.append(np.asarray(batch.probabilities(params, rows)))
        return np.concatenate(parts)

    def to_bytes(self) -> bytes:
        """Write as safetensors: tensors w, b, mean, scale; the names as JSON in its metadata."""
        with extra("cli"):
            from safetensors.numpy import save
        tensors = {name: np.asarray(getattr(self, name)) for name in _TENSORS}
        # In one entry: safetensors writes several in no fixed order, and a model has fixed bytes.
        names: dict[str, Any] = {"format": _FORMATS[0]}
        names |= {name: getattr(self, name) for name in _NAMES}
        if self.encoding is not None:
            names |= {"format": _FORMATS[1], "encoding": self.encoding.to_json()}
        return save(tensors, metadata={"jaxlr": json.dumps(names)})

    def reading(self) -> Encoding:
        """Tell how a source is read, also without an encoding: each feature is a column then."""
        if self.encoding is not None:
            return self.encoding
        numbers = tuple(Number(name) for name in self.features)
        return Encoding(numbers, target=self.target, exclude=self.exclude)

    @classmethod
    def load(cls, run: str | Path) -> "Model":
        """Read the model of a run folder.

        Raises
        ------
        RunFolderError
            If there is no such model, or not yet, or its file is damaged.
        """
        with extra("cli"):
            from safetensors import SafetensorError, safe_open
        path = Path(run) / MODEL
        if not path.is_file() and is_unfinished(Path(run)):
            raise RunFolderError(f"{run}: the training has not ended: jaxlr resume {run}")
        if not path.is_file():
            raise RunFolderError(f"{run}: no run folder with a trained model ({MODEL}) is there")
        try:
            with safe_open(path, framework="numpy") as file:
                names = json.loads((file.metadata() or {})["jaxlr"])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            return cls(**tensors, **_checked_names(names))._checked()
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise RunFolderError(f"{path}: not a model of jaxlr, or damaged: {error}") from error

    def _checked(self) -> "Model":
        d = len(self.features)
        for name, shape in zip(_TENSORS, [(d,), (), (d,), (d,)], strict=True):
            tensor = getattr(self, name)
            if tensor.shape != shape or tensor.dtype != np.float64:
                raise ValueError(f"{name} is {tensor.dtype} {tensor.shape}, not float64 {shape}")
            if not np.isfinite(tensor).all():
                raise ValueError(f"{name} is not finite")
        if not (self.scale > 0).all():
            raise ValueError("scale is not above 0")
        check_encoding(self)
        return self


def check_encoding(model: Model) -> None:
    """Raise ValueError where a model has the encoding of another one."""
    found = model.encoding
    if found is None:
        return
    if found.features != model.features:
        raise ValueError("its encoding makes other features than it has")
    if found.labels is None or found.labels.names != model.labels:
        raise ValueError("its encoding has other labels than it has")


def _checked_names(names: Any) -> dict[str, Any]:
    """Names out of the metadata of a file, which anyone may have written."""
    if names["format"] not in _FORMATS:
        known = " and ".join(map(str, _FORMATS))
        raise ValueError(f"format {names['format']!r}, and this jaxlr reads {known}")
    lists = {name: names[name] for name in ("features", "labels", "exclude")}
    texts = [names["target"] or "", *(text for value in lists.values() for text in value)]
    if not all(isinstance(v, list) for v in lists.values()) or len(names["labels"]) != 2:
        raise ValueError("features, labels (2 of them) and exclude are not lists")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a name is no text")
    encoding = Encoding.from_json(names["encoding"]) if names["format"] == _FORMATS[1] else None
    return {
        "target": names["target"],
        "encoding": encoding,
        **{name: tuple(v) for name, v in lists.items()},
    }
