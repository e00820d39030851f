"""scikit-learn's callbacks: a fit is one task to them, from its begin to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_task(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Iterator[None]:
    """Call the callbacks of an estimator, if it has any, before and after what is inside."""
    if not any(hasattr(estimator, name) for name in ("_skl_callbacks", "_parent_callback_ctx")):
        yield
        return
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    told = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
    context = estimator._init_callback_context()
    context.call_on_fit_task_begin(**told)
    yield
    context.call_on_fit_task_end(**told, reconstruction_attributes={})
