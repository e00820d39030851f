"""What all tests share: JAX as strict as it can be, and both precisions."""

from collections.abc import Iterator

import jax
import pytest


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
