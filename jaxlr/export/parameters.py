"""The parameters of a model in the type of its export, and names that every format can carry."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from jaxlr.data.errors import listed
from jaxlr.run import Model


class ExportError(ValueError):
    """A model cannot be exported, or a file is no export; the message says why."""


class Centred(NamedTuple):
    """Parameters of ``z = w . (x - mean) + b``: w and mean (d,), b (), in one type.

    Raw features far from zero (years, time stamps) cancel in ``w . x + b``: in float32 that
    can cost all digits, and ``x - mean`` costs none.
    """

    w: np.ndarray
    b: np.ndarray
    mean: np.ndarray


def centred(model: Model, dtype: DTypeLike) -> Centred:
    """Parameters of the model in ``dtype``, rounded once each.

    Raises
    ------
    ExportError
        If one is beyond the range of ``dtype``, or a weight too small for it; or if ``dtype`` is
        another type than float32 and float64.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ExportError(f"dtype is {dtype}: exports are in float32 or float64")
    mean = _cast("mean", model.mean, model.features, dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # told by _cast
        # At the rounded mean, so that its rounding moves no z.
        b = model.b + model.w @ mean.astype(np.float64)
    w = _cast("w", model.w, model.features, dtype)
    return Centred(w, _cast("b + w . mean", np.asarray(b), (), dtype), mean)


def check_names(model: Model) -> None:
    """Refuse names that are no Unicode text: JSON can hold them, and UTF-8 cannot.

    Raises
    ------
    ExportError
        If there is one.
    """
    read = model.reading()
    names = (*model.features, *model.labels, *model.exclude, *read.exclude)
    for name in (*names, model.target or "", read.weight or ""):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ExportError(f"the name {name!a} is no Unicode text: rename it") from None


def needed_encoding(model: Model) -> str | None:
    """Say what must be done to a table before an export of numbers takes it, if anything must.

    ONNX, StableHLO and scikit-learn take X as it was encoded: columns of categories as zeros and
    ones, gaps filled, and marked where that is a feature.
    """
    read = model.reading()
    filled = [c.name for c in read.numbers if c.fill is not None]
    done = [f"categories of {listed([c.name for c in read.categories])}"] * bool(read.categories)
    done += [f"missing values of {listed(filled)}"] * bool(filled)
    return f"{' and '.join(done)} must be encoded as the model has it" if done else None


def _cast(name: str, v: np.ndarray, features: tuple[str, ...], dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):  # told below
        cast = v.astype(dtype)
    bad = ~np.isfinite(cast)
    if name == "w":
        bad |= (v != 0) & (np.abs(cast) < np.finfo(dtype).tiny)
    if not bad.any():
        return cast
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    of = f" of feature {features[index[0]]!r}" if index else ""
    hint = "" if dtype == np.float64 else ". Export it in float64 (--dtype float64)"
    raise ExportError(f"{name}{of} is {v[index]:g}, beyond the range of {dtype}{hint}")
