"""JSON: names and plain numbers, with the formula beside them, for any other language."""

import json
import math
from collections import Counter
from typing import Any

import numpy as np

from jaxlr.data import DataError, Encoding
from jaxlr.export.parameters import ExportError, check_names
from jaxlr.run import Model
from jaxlr.run.model import check_encoding

_FORMAT, _VERSION = "jaxlr logistic regression", 1
_README = (
    "z = b + sum over j of w[j] * x[j], where x[j] is the raw value of features[j]. The "
    "probability of labels[1] is 1 / (1 + exp(-z)), that of labels[0] is 1 / (1 + exp(z)). Numbers "
    "are float64 and exact to the last bit. mean and scale are those of the training rows; they "
    "are already part of w and b. target and exclude are columns that are no features. encoding, "
    "where it is not null, tells how columns of a table become features: numbers, with fill where "
    "there is none; of each category a feature for each level (or by crc32(text) modulo levels), "
    "1 for the level that a row has; and for each that is flagged, 1 for rows without a value."
)
_NUMBERS = ("w", "b", "mean", "scale")
_LISTS = ("features", "labels", "exclude")
_KEYS = ("format", "version", "readme", "features", "labels", *_NUMBERS, "target", "exclude")
_LATER = "encoding"  # a key that files of earlier versions lack


def to_json(model: Model) -> str:
    """Write a model as one JSON object that explains itself.

    Parameters
    ----------
    model : Model
        For raw features.

    Returns
    -------
    str
        One key a line: ``readme`` has the formula, ``features``, ``labels``, ``w``, ``b`` and the
        rest are those of the model. Numbers are the shortest that read as the same float64.

    Raises
    ------
    ExportError
        If a name is no Unicode text.

    Examples
    --------
    >>> names = {"features": ("x",), "labels": ("no", "yes")}
    >>> model = Model(np.array([0.1]), np.array(-2.0), np.zeros(1), np.ones(1), **names)
    >>> print(to_json(model).splitlines()[6])
      "w": [0.1],
    """
    check_names(model)
    numbers = {name: np.asarray(getattr(model, name), np.float64).tolist() for name in _NUMBERS}
    head = {"format": _FORMAT, "version": _VERSION, "readme": _README}
    encoding = None if model.encoding is None else json.loads(model.encoding.to_json())
    fields = {**model._asdict(), **numbers, **head, _LATER: encoding}
    keys = (*_KEYS, _LATER)
    lines = (f"  {json.dumps(k)}: {json.dumps(fields[k], ensure_ascii=False)}" for k in keys)
    return "{\n" + ",\n".join(lines) + "\n}\n"


def from_json(text: str | bytes) -> Model:
    """Read what `to_json` wrote, or what a stranger says it did.

    Parameters
    ----------
    text : str or bytes
        The content of a file, in UTF-8.

    Returns
    -------
    Model
        With the same numbers to the last bit.

    Raises
    ------
    ExportError
        If it is no such JSON, or a name or number in it cannot be one; the message names it.

    Examples
    --------
    >>> names = {"features": ("x",), "labels": ("no", "yes")}
    >>> model = Model(np.array([0.1]), np.array(-2.0), np.zeros(1), np.ones(1), **names)
    >>> from_json(to_json(model)).w
    array([0.1])
    """
    try:
        fields = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
    except ExportError:
        raise
    except (ValueError, RecursionError) as error:
        raise ExportError(f"this is no JSON: {error}") from error
    _check_keys(fields)
    for name in _LISTS:
        _check_texts(name, fields[name])
    if fields["target"] is not None:
        _check_texts("target", [fields["target"]])
    if len(fields["labels"]) != 2:
        raise ExportError(f"labels has {len(fields['labels'])} entries: there must be 2")
    model = Model(
        w=_vector("w", fields),
        b=np.array(_number("b", fields["b"])),
        mean=_vector("mean", fields),
        scale=_vector("scale", fields),
        **{name: tuple(fields[name]) for name in _LISTS},
        target=fields["target"],
        encoding=_encoding(fields.get(_LATER)),
    )
    check_names(model)
    try:
        check_encoding(model)
    except ValueError as error:
        raise ExportError(f"encoding: {error}") from error
    for feature, scale in zip(model.features, model.scale, strict=True):
        if scale <= 0:
            raise ExportError(f"scale of feature {feature!r} is {scale:g}: it must be above 0")
    return model


def _encoding(given: Any) -> Encoding | None:
    try:
        return None if given is None else Encoding.from_json(json.dumps(given))
    except DataError as error:
        raise ExportError(f"encoding: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_once("the file", [name for name, _ in pairs])
    return dict(pairs)


def _refuse(constant: str) -> Any:
    raise ExportError(f"{constant} is in it: a number must be finite")


def _check_keys(fields: Any) -> None:
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise ExportError(f'this is no model of jaxlr: it has no "format": "{_FORMAT}"')
    if fields.get("version") != _VERSION:
        raise ExportError(f"version is {fields.get('version')!r}: this jaxlr reads {_VERSION}")
    for name in _KEYS:
        if name not in fields:
            raise ExportError(f"{name} is missing")
    for name in sorted(fields.keys() - {*_KEYS, _LATER}):
        raise ExportError(f"the key {name!r} is unknown in version {_VERSION}")


def _check_texts(name: str, texts: Any) -> None:
    if not isinstance(texts, list):
        raise ExportError(f"{name} is {_short(texts)}: it must be a list of texts")
    for i, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise ExportError(f"entry {i} of {name} is {_short(text)}: it must be text")
    _check_once(name, texts)


def _check_once(name: str, texts: list[str]) -> None:
    for text, times in Counter(texts).items():
        if times > 1:
            raise ExportError(f"{text!r} is in {name} {times} times: it may be there once")


def _vector(name: str, fields: dict[str, Any]) -> np.ndarray:
    given, features = fields[name], fields["features"]
    if not isinstance(given, list) or len(given) != len(features):
        raise ExportError(f"{name} must be a list of {len(features)} numbers, one for each feature")
    pairs = zip(given, features, strict=True)
    return np.array([_number(f"{name} of feature {f!r}", v) for v, f in pairs], np.float64)


def _number(what: str, given: Any) -> float:
    try:
        number = float(given) if isinstance(given, int | float) else math.nan
    except OverflowError:
        number = math.inf
    if isinstance(given, bool) or not math.isfinite(number):
        raise ExportError(f"{what} is {_short(given)}: it must be a finite number")
    return number


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 40 else f"{text[:37]}..."
