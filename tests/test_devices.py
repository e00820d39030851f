"""Other devices: lowering for GPUs and TPUs, and rows split over several devices."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pyarrow as pa
import pytest
from pyarrow import parquet

import jaxlr
from jaxlr import batch
from jaxlr.batch import Models, Rows, View
from jaxlr.core import Params
from jaxlr.run import Model
from jaxlr.solve import small
from jaxlr.train.loop import _update
from jaxlr.train.rows import gradient as _gradient

D = 5
PARAMS = Params(jnp.zeros(D), jnp.zeros(()))
X, Y, S = jnp.ones((5000, D)), jnp.ones(5000), jnp.ones(5000)
ADAM = jaxlr.from_optax(optax.adam(0.1))


def step(rows):
    def run(params, X, y):
        J, grads, _, _ = _gradient(params, params, X, y, None, 0.1, rows, mesh=None)
        return _update(params, grads, ADAM.init(params), J, step=ADAM.step)

    return run


def one_example(f):
    return lambda params, X, y: f(params, X[0], y[0])


def of_cache(f):
    return one_example(lambda *example: f(jaxlr.forward(*example)[1]))


def models(f):
    """A function of K models and their rows, as one of parameters and rows."""
    return lambda params, X, y: f(jax.tree.map(lambda v: jnp.stack([v, v]), Models(*params)), X, y)


def shared(models, X, y):
    return models, Rows(X, y, y, y)


def apart(models, X, y):
    return models, Rows(*(v.reshape(2, -1, *v.shape[1:]) for v in (X, y, y)))


ZERO, ONE = jnp.zeros(D), jnp.ones(D)
PROBLEMS = small.Problems(
    tol=jnp.full(2, 1e-6),
    u=jnp.zeros((2, D + 1)),
    center=jnp.zeros((2, D)),
    scale=jnp.ones((2, D)),
    penalty=jnp.zeros((2, D + 1)),
    l2=jnp.zeros(2),
    view=View(),
)
THREE = jaxlr.zeros(D, n_classes=3)
THREES = Models(jnp.zeros((2, 3, D)), jnp.zeros((2, 3)))
PROBLEMS_OF_THREE = PROBLEMS._replace(
    u=jnp.zeros((2, 3 * (D + 1))), penalty=jnp.zeros((2, 3 * (D + 1)))
)
API = {
    "forward": one_example(jaxlr.forward),
    "backward": of_cache(jaxlr.backward),
    "curvature": of_cache(jaxlr.curvature),
    "trace": one_example(jaxlr.trace),
    "update": lambda params, X, y: jaxlr.update(params, params, 0.1),
    "probability": one_example(lambda params, x, y: jaxlr.probability(params, x)),
    "loss": jaxlr.loss,
    "loss_and_grads": jaxlr.loss_and_grads,
    "loss_and_grads, weights": lambda params, X, y: jaxlr.loss_and_grads(params, X, y, y, 0.1),
    "probabilities": lambda params, X, y: jaxlr.probabilities(params, X),
    "hessian": lambda params, X, y: jaxlr.hessian(params, X, y, 0.1),
    "hessian_product": lambda params, X, y: jaxlr.hessian_product(params, params, X, y, 0.1),
    "fit: newton": lambda params, X, y: small.newton(PROBLEMS, Rows(X, y), 100),
    "fit: gradient_sums": models(lambda *a: batch.gradient_sums(*shared(*a))),
    "fit: gradient_sums of a sample": models(
        lambda *a: batch.gradient_sums(*shared(*a), jnp.arange(3000))
    ),
    "fit: curvature_sums": models(
        lambda *a: batch.curvature_sums(*shared(*a), jnp.arange(3000), ZERO, ONE)
    ),
    "fit: gradient_and_curvature": models(
        lambda *a: batch.gradient_and_curvature(*shared(*a), ZERO, ONE)
    ),
    "fit: side_sums": models(lambda *a: batch.side_sums(*shared(*a))),
    "fit: gradient_sums_apart": models(lambda *a: batch.gradient_sums_apart(*apart(*a))),
    "fit: curvature_sums_apart": models(
        lambda *a: batch.curvature_sums_apart(*apart(*a), jnp.zeros((2, D)), jnp.ones((2, D)))
    ),
    "cross_validate: scores": models(lambda *a: batch.scores(*shared(*a), jnp.arange(10))),
    "classes: forward": one_example(lambda _, x, y: jaxlr.forward(THREE, x, y)),
    "classes: loss_and_grads": lambda params, X, y: jaxlr.loss_and_grads(THREE, X, y),
    "classes: hessian": lambda params, X, y: jaxlr.hessian(THREE, X, y, 0.1),
    "classes: hessian_product": lambda params, X, y: jaxlr.hessian_product(THREE, THREE, X, y),
    "classes: newton": lambda params, X, y: small.newton(
        PROBLEMS_OF_THREE, Rows(X, y), 100, n_classes=3
    ),
    "classes: gradient_sums": lambda params, X, y: batch.gradient_sums(THREES, Rows(X, y)),
    "classes: side_sums": lambda params, X, y: batch.side_sums(THREES, Rows(X, y)),
    "train": step(None),
    "train, mini-batches": step((jnp.zeros((2, 64), int), 1)),
}


@pytest.mark.parametrize("name", API)
def test_the_api_lowers_for_accelerators(name):
    accelerators = ("cuda", "rocm", "tpu")
    exported = jax.export.export(jax.jit(API[name]), platforms=accelerators)(PARAMS, X, Y)
    assert exported.platforms == accelerators
    # Every product is asked for in full precision: left to itself, a GPU would take TF32.
    products = [
        line for line in exported.mlir_module().splitlines() if "stablehlo.dot_general" in line
    ]
    assert all("HIGHEST" in line for line in products)
    assert products or name in ("update", "backward", "curvature")


FIT_SPLIT = """
import jax
jax.config.update("jax_num_cpu_devices", 3)
import numpy as np, jaxlr
rng = np.random.default_rng(0)
X = rng.standard_normal((100_000, 12)).astype(np.float32)
y = (rng.random(100_000) < 1 / (1 + np.exp(-X[:, 0]))).astype(np.float32)
A, u = np.c_[X, np.ones(len(X))].astype(float), np.zeros(13)
for _ in range(9):  # Newton's method, in NumPy
    a = 1 / (1 + np.exp(-A @ u))
    covariance = np.linalg.inv((A.T * (a * (1 - a))) @ A)
    u -= covariance @ (A.T @ (a - y))
Xs, ys, s = jaxlr.split_rows(X, y)
split, again = (jaxlr.fit(Xs, ys, sample_weight=s, tol=1e-8) for _ in range(2))
assert split, split
np.testing.assert_allclose(np.append(split.params.w, split.params.b), u, atol=1e-7)
np.testing.assert_allclose(split.standard_errors().w, np.sqrt(np.diag(covariance))[:12], rtol=1e-6)
assert split.params.w.tobytes() == again.params.w.tobytes()
fits = jaxlr.fit_many(Xs, ys, sample_weight=s, l2=[0.0, 0.1], tol=1e-8)
np.testing.assert_allclose(fits.params.w[0], u[:12], atol=1e-7)
print("equal")
"""


SPLIT = """
import jax
jax.config.update("jax_num_cpu_devices", 3)
jax.config.update("jax_enable_x64", True)
import numpy as np, jaxlr
rng = np.random.default_rng(0)
X, y = rng.standard_normal((10_000, 7)), (rng.random(10_000) < 0.3).astype(float)
params = jaxlr.Params(jax.numpy.asarray(rng.standard_normal(7)), jax.numpy.asarray(0.1))
Xs, ys, s = jaxlr.split_rows(X, y)
assert len(Xs.sharding.device_set) == 3 and Xs.shape == (10_002, 7) and float(s.sum()) == 10_000
J, g = jaxlr.loss_and_grads(params, X, y, l2=0.1)
Js, gs = jaxlr.loss_and_grads(params, Xs, ys, s, l2=0.1)
np.testing.assert_allclose(Js, J, rtol=1e-13)
np.testing.assert_allclose(gs.w, g.w, rtol=1e-10, atol=1e-13)
np.testing.assert_allclose(jaxlr.loss(params, Xs, ys, s), jaxlr.loss(params, X, y), rtol=1e-13)
for size in (None, 64):
    one, many = (
        jaxlr.train(jaxlr.zeros(7), *rows, jaxlr.plain(0.5), steps=30, sample_weight=w,
                    batch_size=size).params.w
        for rows, w in (((X, y), None), ((Xs, ys), s))
    )
    np.testing.assert_allclose(many, one, rtol=1e-10)
Xv, yv, sv = jaxlr.split_rows(X[:100], y[:100])
one, many = (
    jaxlr.train(jaxlr.zeros(7), A, b, jaxlr.plain(0.5), steps=10, sample_weight=w, validation=rows)
    for A, b, w, rows in ((X, y, None, (X[:100], y[:100])), (Xs, ys, s, (Xv, yv, sv)))
)
np.testing.assert_allclose(many.history.validation_loss, one.history.validation_loss, rtol=1e-13)
print("equal")
"""


@pytest.mark.parametrize("code", [SPLIT, FIT_SPLIT], ids=["train", "fit"])
def test_rows_split_over_three_devices_give_the_same(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal", done.stderr


MANY_STEPS = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np, jaxlr
rng = np.random.default_rng(0)
X, y = rng.standard_normal((40_000, 30), np.float32), (rng.random(40_000) < 0.5).astype(float)
Xs, ys, s = jaxlr.split_rows(X, y)
jaxlr.train(jaxlr.zeros(30), Xs, ys, jaxlr.plain(0.1), steps=500, sample_weight=s)
print("done")
"""


@pytest.mark.thorough
def test_many_steps_on_split_rows_do_not_wait_for_each_other_for_good():
    done = subprocess.run(
        [sys.executable, "-c", MANY_STEPS], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "done", done.stderr[-2000:]


RUN = """
import sys
from jaxlr.cli import main
for out in sys.argv[2:]:
    assert main(["train", sys.argv[1], "--target", "y", "--steps", "20", "--out", out,
                 "--validation-fraction", "0.1"]) == 0
"""


@pytest.mark.thorough
def test_a_run_of_many_rows_takes_all_devices_and_is_the_same_again(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((190_000, 16), np.float32)  # 8 MiB of it to train on
    y = (X[:, 0] > 0).astype(int)
    names = [*(f"f{j}" for j in range(16)), "y"]
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table([*X.T, y], names=names), path)
    models = []
    for outs, devices in (("ab", "2"), ("c", "1")):
        done = subprocess.run(
            [sys.executable, "-c", RUN, path, *(tmp_path / out for out in outs)],
            env=os.environ | {"JAX_NUM_CPU_DEVICES": devices},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for out in outs:
            summary = json.loads((tmp_path / out / "summary.json").read_text())
            assert summary["devices"] == int(devices)
            models.append(Model.load(tmp_path / out))
    for a, b, c in zip(*models, strict=True):
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-6)


def test_split_rows_on_one_device_changes_nothing():
    X, y = np.ones((5, 2), np.float32), np.ones(5, np.float32)
    Xs, ys, s = jaxlr.split_rows(X, y, devices=jax.devices()[:1])
    assert s is None
    assert np.array_equal(Xs, X)
    assert np.array_equal(ys, y)
    with pytest.raises(ValueError, match="one row per example"):
        jaxlr.split_rows(X, y[:3])
    with pytest.raises(ValueError, match=r"sample_weight \(3,\) must have one row per example"):
        jaxlr.split_rows(X, y, np.ones(3))
