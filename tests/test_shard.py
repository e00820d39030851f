"""Threads and memory: one CPU, all of its cores, and no copy that is not needed."""

import threading
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlr
from jaxlr import batch, shard
from jaxlr.batch import Models, Part, Rows
from jaxlr.solve.clock import Clock
from jaxlr.solve.totals import total


def test_threads_see_what_the_caller_chose():
    def seen() -> tuple[object, str]:
        return jnp.zeros(1).dtype, threading.current_thread().name

    with jax.enable_x64(True):
        (other, name), (own, _) = shard.in_threads([seen, seen])
    assert other == own == jnp.float64
    assert name.startswith("jaxlr")
    assert shard.in_threads([seen, seen])[0][0] == jnp.float32


def test_an_error_in_a_thread_is_raised():
    def fail() -> None:
        raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        shard.in_threads([fail, lambda: None])


@pytest.mark.parametrize("n", [7, 2048, 2049, 20_000])
@pytest.mark.parametrize("parts", [1, 2, 3, 50])
def test_parts_add_up_to_the_whole(n, parts):
    rng = np.random.default_rng(n)
    X, y = rng.standard_normal((n, 3)), rng.integers(0, 2, n)
    w = rng.standard_normal(3)
    with jax.enable_x64(True):
        rows, models = Rows(jnp.asarray(X), jnp.asarray(y)), Models(w[None], np.zeros(1))
        sums = partial(batch.gradient_sums, models, rows, None)
        calls = [sums(part=Part(np.int32(i), np.int32(parts))) for i in range(parts)]
    found = [jax.tree.map(np.asarray, v) for v in calls]
    dz = 1 / (1 + np.exp(-X @ w)) - y
    np.testing.assert_allclose(sum(v.s for v in found), [n])
    np.testing.assert_allclose(sum(v.ones for v in found), [y.sum()])
    np.testing.assert_allclose(sum(v.dw for v in found)[0], dz @ X, rtol=1e-10)


def test_work_that_is_worth_it_is_split(monkeypatch):
    monkeypatch.setattr(shard, "cores", lambda: 3)
    seen = []

    def sums(part: Part | None) -> np.ndarray:
        seen.append(None if part is None else (int(part.number), int(part.of)))
        return np.ones(2, np.float32)

    X = jnp.zeros((2, 2))
    assert total(sums, X, 10).tolist() == [1, 1]
    assert total(sums, X, 10**9).tolist() == [3, 3]
    assert seen[0] is None
    assert sorted(seen[1:]) == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("offset", [0, 16])
def test_an_array_is_put_where_it_is_or_copied_once(offset):
    n = 400_000
    raw = shard.aligned_empty((n + 64,), np.float32)
    v = raw[offset // 4 : offset // 4 + n].reshape(-1, 4)
    v[:] = np.arange(n).reshape(-1, 4)
    placed = shard.put(v)
    np.testing.assert_array_equal(placed, v)
    assert (placed.unsafe_buffer_pointer() == v.ctypes.data) == (offset == 0)


def test_arrays_of_other_types_and_layouts_are_put_as_they_are():
    v = np.arange(600_000.0).reshape(3, -1)
    assert shard.put(v).dtype == jnp.float32
    np.testing.assert_array_equal(shard.put(v.astype(np.float32).T), v.T.astype(np.float32))


def test_seconds_of_compiling_in_threads_are_counted():
    @jax.jit
    def f(x: jax.Array) -> jax.Array:
        return jnp.sin(x) @ jnp.cos(x)

    x = np.ones((3, 3), np.float32)
    with Clock() as idle, Clock() as clock:
        shard.in_threads([partial(f, x), lambda: None])
    assert clock.compile > 0
    assert idle.compile == 0
    assert clock.run >= 0


def test_a_small_fit_has_its_history_and_reads():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    fit = jaxlr.fit(X, rng.integers(0, 2, 200), tol=1e-10)
    steps = fit.certificate.steps
    assert fit.history.steps.tolist() == list(range(steps + 1))
    assert (np.diff(fit.history.objective) <= 0).all()
    assert fit.history.gradient[-1] == fit.certificate.gradient <= 1e-10
    assert fit.certificate.reads == steps + 2  # one of them for the scales
