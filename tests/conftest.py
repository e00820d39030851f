"""What all tests share: JAX as strict as it can be, and both precisions."""

from collections.abc import Iterator

import jax
import pytest

jax.devices()  # JAX starts with one device, before a test of the command line starts it with more


@pytest.fixture(scope="session", autouse=True)
def cache_in_tmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the processes of tests keep between runs in a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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
