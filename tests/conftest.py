"""What all tests share: JAX as strict as it can be, both precisions, and compiled code."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before NumPy is read: several workers share the cores, and threads of BLAS wait by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

jax.devices()  # JAX starts with one device, before a test of the command line starts it with more


def pytest_configure(config: pytest.Config) -> None:
    """Share compiled code among the processes of this run: its workers, and those of tests.

    It lies where `jaxlr` keeps its own, in a temporary folder that goes when the run ends.
    """
    if not hasattr(config, "workerinput"):  # workers inherit the folder
        folder = tempfile.TemporaryDirectory(prefix="jaxlr-tests-")
        config.add_cleanup(folder.cleanup)
        os.environ["XDG_CACHE_HOME"] = folder.name
    cache = Path(os.environ["XDG_CACHE_HOME"], "jaxlr")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)  # of processes that tests start
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_collection_finish() -> None:
    """Collect garbage less often: JAX adds to each time, and what is loaded now stays for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def strict_jax(request: pytest.FixtureRequest) -> Iterator[None]:
    """Mixing types or ranks by accident is an error in our code (users may do as they like)."""
    if request.node.get_closest_marker("relaxed"):
        yield
        return
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test in float32, and in float64 with JAX's 64-bit mode on around it."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param
