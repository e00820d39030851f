"""Second derivatives by hand, against `jax.hessian` of a loss that shares no code with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxlr import batch
from jaxlr.batch import Models, Rows, View
from jaxlr.check import logistic
from jaxlr.core import Params


def problem(n, d, dtype, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    y = rng.random(n).astype(dtype)  # soft labels
    s = rng.random(n).astype(dtype)
    params = Params(jnp.asarray(rng.standard_normal(d), dtype), jnp.asarray(0.2, dtype))
    return params, X, y, s


@jax.jit
def hessian(params, X, y, s, l2):
    flat, unravel = ravel_pytree(params)
    return jax.hessian(lambda t: logistic.loss(unravel(t), X, y, s, l2))(flat)


def by_autodiff(params, X, y, s, l2):
    with jax.enable_x64(True):
        wide = [None if v is None else jnp.asarray(np.asarray(v, np.float64)) for v in (X, y, s)]
        p = tuple(jnp.asarray(np.asarray(v, np.float64)) for v in params)
        return np.asarray(hessian(p, *wide, l2))


@pytest.mark.parametrize(
    ("n", "d", "weighted"),
    [(1, 1, False), pytest.param(50, 3, True, marks=pytest.mark.thorough), (5000, 7, True)],
)
def test_hessian_and_its_product_are_those_of_autodiff(dtype, n, d, weighted):
    params, X, y, s = problem(n, d, dtype)
    s = s if weighted else None
    expected = by_autodiff(params, X, y, s, 0.3)
    tolerance = 100 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(batch.hessian(params, X, s, 0.3), expected, atol=tolerance)
    v, _, _, _ = problem(n, d, dtype, seed=1)
    product = batch.hessian_product(params, v, X, s, 0.3)
    np.testing.assert_allclose(
        np.append(product.w, product.b),
        expected @ np.append(np.asarray(v.w, float), float(v.b)),
        atol=10 * tolerance,
    )


def test_bad_rows_and_directions_are_refused():
    params, X, _, _ = problem(5, 3, "float32")
    with pytest.raises(ValueError, match=r"v has w of shape \(2,\), but params of shape \(3,\)"):
        batch.hessian_product(params, Params(jnp.ones(2), jnp.ones(())), X)
    X[2, 1] = np.nan
    with pytest.raises(ValueError, match="X is nan in row 2, column 1"):
        batch.hessian(params, X)


@pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=pytest.mark.thorough), "float64"], indirect=True
)
def test_k_models_in_one_read_are_k_models(dtype):
    rng = np.random.default_rng(2)
    n, d, K = 3000, 4, 5
    X = jnp.asarray(rng.standard_normal((n, d)), dtype)
    classes, fold = rng.integers(0, 3, n), rng.integers(0, 2, n)
    s = jnp.asarray(rng.random((n, 2)), dtype)
    offset = rng.standard_normal(n).astype(dtype)
    w, b = rng.standard_normal((K, d)), rng.standard_normal(K)
    label, left_out = np.array([0, 1, 2, 1, 1]), np.array([0, 1, 9, 9, 0])
    column = np.array([0, 0, 1, 1, 0])
    view = View(None, *map(jnp.asarray, (column, label, left_out)))
    models = Models(jnp.asarray(w, dtype), jnp.asarray(b, dtype), view)
    rows = Rows(X, jnp.asarray(classes), s, jnp.asarray(offset), jnp.asarray(fold))
    total = batch.gradient_sums(models, rows)
    as_they_are = jnp.zeros(d, dtype), jnp.ones(d, dtype)
    bend = batch.curvature_sums(models, rows, None, *as_they_are)
    wide, eps = np.asarray(X, float), float(np.finfo(dtype).eps)
    tolerance = {"rtol": 300 * eps, "atol": n * eps}
    for k in range(K):
        y = (classes == label[k]).astype(float)
        weight = np.asarray(s, float)[:, column[k]] * (fold != left_out[k])
        z = wide @ w[k] + b[k] + offset
        a = 1 / (1 + np.exp(-z))
        np.testing.assert_allclose(total.s[k], weight.sum(), **tolerance)
        np.testing.assert_allclose(total.ones[k], (weight * y).sum(), **tolerance)
        np.testing.assert_allclose(total.undecided[k], weight[(z > 0) != y].sum(), **tolerance)
        np.testing.assert_allclose(total.dw[k], (weight * (a - y)) @ wide, **tolerance)
        np.testing.assert_allclose(total.db[k], (weight * (a - y)).sum(), **tolerance)
        design = np.c_[wide, np.ones(n)]
        H = (design * (weight * a * (1 - a))[:, None]).T @ design / weight.sum()
        np.testing.assert_allclose(bend.H[k] / bend.s[k], H, atol=100 * eps)


def test_an_index_reads_those_rows_alone():
    params, X, y, s = problem(4000, 3, "float32")
    index = np.sort(np.random.default_rng(3).choice(4000, 3000, replace=False))
    models = Models(params.w[None], params.b[None])
    rows = Rows(*map(jnp.asarray, (X, y, s)))
    some = batch.gradient_sums(models, rows, jnp.asarray(index))
    those = batch.gradient_sums(models, Rows(*(v[index] for v in rows[:3])))
    for a, b in zip(some, those, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3)
