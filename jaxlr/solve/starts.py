"""Where models start: at 0, or all at one place, or each at a place of its own."""

import numpy as np

from jaxlr.batch import Rows
from jaxlr.core import Params
from jaxlr.solve.result import host_params
from jaxlr.solve.scaling import Scaling


def start(init: Params | None, K: int, scaling: Scaling, rows: Rows) -> np.ndarray:
    """Where K models start, in standardised parameters (K, p): at z = 0 on average."""
    if init is None:
        u = np.zeros((K, scaling.size))
        if rows.offset is not None and scaling.intercept:
            u[:, -1] = -np.mean(np.asarray(rows.offset, np.float64))
        return u
    if not isinstance(init, Params):
        raise ValueError(f"init is {type(init).__name__}: it must be jaxlr.Params(w, b)")
    w, b = np.asarray(init.w, np.float64), np.asarray(init.b, np.float64)
    classes = () if scaling.n_classes is None else (scaling.n_classes,)
    of_w, of_b = (*classes, scaling.d), classes
    if w.shape not in (of_w, (K, *of_w)) or b.shape not in (of_b, (K, *of_b)):
        raise ValueError(f"init has w {w.shape} and b {b.shape}: they must be {of_w} and {of_b}")
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise ValueError("init is not finite")
    u = scaling.from_raw(np.broadcast_to(w, (K, *of_w)), np.broadcast_to(b, (K, *of_b)))
    return scaling.centered(u)


def own_starts(init: Params | None, n_classes: int | None) -> int | None:
    """How many models have a start of their own; None where all have the same."""
    if not isinstance(init, Params) or np.ndim(init.w) <= (1 if n_classes is None else 2):
        return None
    return len(init.w)


def start_of(init: Params | None, models: np.ndarray | int, n_classes: int | None) -> Params | None:
    """Where some of the models, or one, start."""
    if init is None or own_starts(init, n_classes) is None:
        return init
    w, b = np.asarray(init.w), np.asarray(init.b)
    return host_params(w[models], np.broadcast_to(b, w.shape[:-1])[models])
