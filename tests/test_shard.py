"""Threads and memory: one CPU, all of its cores, and no copy that is not needed."""

import subprocess
import sys
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
    assert fit.history.reads.tolist() == list(range(2, steps + 3))


def test_the_number_of_models_does_not_compile_again():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 4)), rng.integers(0, 2, 300)
    first, second = (jaxlr.fit_many(X, y, l2=np.logspace(-3, 0, K)) for K in (5, 7))
    assert first.certificates[0].compile_seconds > 0
    assert second.certificates[0].compile_seconds == 0


@pytest.mark.parametrize(
    ("y", "settings", "one_label"),
    [
        (np.ones(4), {"l2": 0.1, "init": jaxlr.Params(np.zeros(1), np.float64(20.0))}, True),
        (np.ones(4), {"init": jaxlr.Params(np.zeros(1), np.float64(20.0))}, True),
        (np.ones(4), {"l2": 0.1, "tol": 0.5}, True),
        (np.array([0, 0, 1, 1]), {"init": jaxlr.Params(np.array([2000.0]), -3000.0)}, False),
        (np.array([0, 0, 1, 1]), {"tol": 0.1}, False),
    ],
)
def test_a_small_gradient_is_no_optimum_where_there_is_none(y, settings, one_label):
    fit = jaxlr.fit(np.arange(4.0)[:, None], y, **settings)
    assert fit.certificate.status is jaxlr.FitStatus.SEPARATED
    assert fit.certificate.one_label == one_label


def test_parts_are_not_added_where_each_is_the_whole(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20_000, 20)), rng.integers(0, 2, 20_000)
    assert total(lambda part: np.ones(1), jnp.asarray(X), X.size * 20) == 1
    assert jaxlr.fit(X[:3000], y[:3000]).certificate.objective < np.log(2)


def test_a_fit_ends_while_python_shuts_down():
    code = """
import atexit, numpy as np, jaxlr
rng = np.random.default_rng(0)
X, y = rng.standard_normal((60_000, 20)), rng.integers(0, 2, 60_000)
jaxlr.fit(X, y)
atexit.register(lambda: print(bool(jaxlr.fit(X, y))))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert found.stdout == "True\n", found.stderr


def test_rows_of_a_cpu_are_read_without_a_program():
    X, numbers = jnp.arange(77.0).reshape(11, 7), jnp.array([3, 5])
    with Clock() as clock:
        found = shard.on_host(X, numbers)
    assert clock.compile == 0
    np.testing.assert_array_equal(found, np.arange(77.0).reshape(11, 7)[[3, 5]])
