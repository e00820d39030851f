"""StableHLO: the compiled function itself, for every machine that JAX compiles for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax import export as jax_export

from jaxlr import core
from jaxlr.core import Params
from jaxlr.export.parameters import centred
from jaxlr.extras import extra
from jaxlr.run import Model

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def to_stablehlo(model: Model, dtype: Literal["float32", "float64"] = "float32") -> bytes:
    """Write the probabilities of a model as a portable artifact of `jax.export`.

    ``a_i = sigma(w . (x_i - mean) + b)``, which is ``w . x + b`` with fewer digits lost.

    Parameters
    ----------
    model : Model
        For raw features.
    dtype : {"float32", "float64"}
        Type of X and of the probabilities.

    Returns
    -------
    bytes
        Of a function from X (n, d), with any n of at least 1, to the probability (n,) of label 1,
        for CPU, CUDA, ROCm and TPU at once. `jax.export.deserialize` reads it.

    Raises
    ------
    ExportError
        If a parameter is beyond the range of ``dtype``.

    Notes
    -----
    The artifact holds no names: the columns of X are the features in the order of the model. To
    run it takes JAX and flatbuffers, and no jaxlr; JAX promises to read it for half a year at
    least. To call one in float64, enable JAX's 64-bit mode. ``deserialize(...).mlir_module()`` is
    its text.

    Examples
    --------
    >>> names = {"features": ("x",), "labels": ("no", "yes")}
    >>> model = Model(np.array([2.0]), np.array(-2.0), np.zeros(1), np.ones(1), **names)
    >>> exported = jax.export.deserialize(to_stablehlo(model))
    >>> print(exported.call(np.array([[1.0], [100.0]], np.float32)))
    [0.5 1. ]
    """
    with extra("stablehlo"):
        import flatbuffers  # noqa: F401  # jax.export needs it, and JAX does not bring it
    w, b, mean = centred(model, dtype)

    def probabilities(X: Array) -> Array:
        params = Params(jnp.asarray(w), jnp.asarray(b))
        return jax.vmap(lambda x: core.probability(params, x - mean))(X)

    with jax.enable_x64(dtype == "float64"), _no_paths():
        (n,) = jax_export.symbolic_shape("n")
        X = jax.ShapeDtypeStruct((n, len(w)), np.dtype(dtype))
        exported = jax_export.export(jax.jit(probabilities), platforms=PLATFORMS)(X)
        return bytes(exported.serialize())


@contextmanager
def _no_paths() -> Iterator[None]:
    """Keep source files and lines, and with them names of folders, out of what is compiled."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)
