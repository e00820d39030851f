"""K classes: one example against many digits, many rows against others, and to the optimum."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest
from test_core import ulps

import jaxlr
from jaxlr import batch, core
from jaxlr.check.nodes import ULP_BUDGETS
from jaxlr.core import Params

K = 4


def z_grid(dtype):
    """Rows of K linear predictors: ties, near ties, one class far ahead, all far from 0."""
    rng = np.random.default_rng(0)
    far = {"float32": 80, "float64": 650}[dtype]
    spread = rng.uniform(-1, 1, (150, K)) * np.logspace(-4, np.log10(far), 150)[:, None]
    ahead = np.zeros((8, K))
    ahead[np.arange(8), np.arange(8) % K] = [1, 10, 14.6, 16.64, 36.74, 60, 70, 80]
    return np.concatenate([np.zeros((1, K)), spread, ahead, spread + 1000]).astype(dtype)


def exact(z, y):
    """The page to the letter, and the sizes of the terms of dz."""
    with mpmath.workdps(360):
        e = [mpmath.exp(mpmath.mpf(float(v))) for v in z]
        pairs = [(mpmath.mpf(float(y_k)), e_k / sum(e)) for y_k, e_k in zip(y, e, strict=True)]
        a = [a_k for _, a_k in pairs]
        return {
            "a": a,
            "L": [-sum(y_k * mpmath.log(a_k) for y_k, a_k in pairs)],
            "da": [-y_k / a_k for y_k, a_k in pairs],
            "dz": [a_k - y_k for y_k, a_k in pairs],
            "d2z": [a[j] * ((j == k) - a[k]) for j in range(K) for k in range(K)],
            "terms of dz": [(1 - y_k) * a_k + y_k * (1 - a_k) for y_k, a_k in pairs],
        }


@pytest.mark.parametrize("y", [2, (0.125, 0.5, 0.375, 0)], ids=["class", "shares"])
def test_every_node_is_within_the_budget_of_the_judge(dtype, y):
    z = z_grid(dtype)
    shares = np.eye(K)[y] if np.ndim(y) == 0 else np.asarray(y)

    def nodes_of(z):
        params = Params(jnp.zeros((K, 1), dtype), z)
        nodes = core.trace(params, jnp.zeros(1, dtype), jnp.asarray(y))
        d2z = core.curvature(core.loss_at(z, jnp.asarray(y))[1])
        return {name: getattr(nodes, name).ravel() for name in ("a", "L", "da", "dz")} | {
            "d2z": d2z.ravel()
        }

    nodes = jax.jit(jax.vmap(nodes_of))(jnp.asarray(z))
    truths = [exact(row, shares) for row in z]
    # A sum of K exponentials, each of a z - z_t that is rounded; d2z_jk has two of them.
    apart = np.ptp(z.astype(np.float64), axis=1)
    for name, budget in ULP_BUDGETS[dtype].items():
        found = np.asarray(nodes[name]).astype(np.float64).ravel()
        truth = np.array([v for t in truths for v in t[name]])
        terms = np.array([abs(v) for t in truths for v in t.get(f"terms of {name}", t[name])])
        limit = np.repeat((budget + K + apart) * (1 + (name == "d2z")), len(truths[0][name]))
        finite = np.isfinite(found)
        assert finite.all() or (name == "da" and not np.isnan(found).any())
        off = ulps(found[finite], truth[finite], dtype, terms[finite])
        assert (off <= limit[finite]).all(), (name, (off / limit[finite]).max())


def test_two_classes_of_softmax_are_the_logistic_function():
    rng = np.random.default_rng(1)
    w, b, x = rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=3)
    two = Params(jnp.asarray(w, jnp.float32), jnp.asarray(b, jnp.float32))
    one = Params(two.w[1] - two.w[0], two.b[1] - two.b[0])
    x = jnp.asarray(x, jnp.float32)
    (L, cache), (expected, of_one) = core.forward(two, x, 1), core.forward(one, x, 1)
    assert float(L) == pytest.approx(float(expected), rel=1e-6)
    grads, db = core.backward(cache), float(core.slope(of_one))
    np.testing.assert_allclose(grads.b, [-db, db], rtol=1e-5)
    np.testing.assert_allclose(grads.w, np.outer([-db, db], x), rtol=1e-5)
    d2z = float(core.curvature(of_one))
    np.testing.assert_allclose(core.curvature(cache), [[d2z, -d2z], [-d2z, d2z]], rtol=1e-5)


def test_the_product_with_the_curvature_needs_no_matrix(dtype):
    rng = np.random.default_rng(2)
    z, v = (jnp.asarray(rng.normal(size=5), dtype) for _ in range(2))
    _, cache = core.loss_at(z, 3)
    matrix = np.asarray(core.curvature(cache), np.float64)
    np.testing.assert_allclose(
        core.curvature_product(cache, v), matrix @ np.asarray(v), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(matrix.sum(0), 0, atol=1e-7)  # adding to all z changes nothing


@pytest.mark.parametrize("y", [0, 1, 2])
def test_autodiff_through_forward_is_right_where_training_starts(y):
    def loss(z):
        return core.loss_at(z, y)[0]

    found = jax.grad(loss)(jnp.zeros(3))
    np.testing.assert_allclose(found, 1 / 3 - np.eye(3)[y], rtol=1e-6)


def test_misuse_is_named():
    params, x = core.zeros(2, n_classes=3), jnp.ones(2)
    with pytest.raises(ValueError, match=r"y has shape \(2,\).*number of its class, or \(3,\)"):
        core.forward(params, x, jnp.ones(2))
    with pytest.raises(ValueError, match=r"w has shape \(3, 2\), b \(2,\)"):
        core.forward(Params(params.w, jnp.zeros(2)), x, 0)
    with pytest.raises(ValueError, match="which has no x"):
        core.backward(core.loss_at(jnp.zeros(3), 0)[1])


def problem(n, d, dtype, seed=0):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, d)).astype(dtype), rng.integers(3, size=n)
    w, b = rng.normal(size=(3, d)), rng.normal(size=3)
    return Params(jnp.asarray(w, dtype), jnp.asarray(b, dtype)), X, y, rng.uniform(0.5, 2, n)


def reference(params, X, shares, s, l2):
    """Mean loss of all rows, in the words of JAX."""
    z = X @ params.w.T + params.b[None]
    L = -jnp.sum(shares * jax.nn.log_softmax(z), axis=1)
    return jnp.sum(s * L) / jnp.sum(s) + l2 / 2 * jnp.sum(params.w**2)


@pytest.mark.parametrize(
    "soft", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["classes", "shares"]
)
def test_many_rows_against_autodiff(soft, monkeypatch):
    monkeypatch.setattr(batch.blocks, "_BLOCK_BYTES_CPU", 1 << 10)  # several blocks, a short last
    with jax.enable_x64(True):
        params, X, y, s = problem(50, 4, "float64")
        shares = np.eye(3)[y] if not soft else np.random.default_rng(3).dirichlet(np.ones(3), 50)
        given = shares if soft else y
        J, grads = jaxlr.loss_and_grads(params, X, given, s, l2=0.1)
        of = lambda p: reference(p, X, shares, s, 0.1)  # noqa: E731
        expected, by_machine = jax.jit(jax.value_and_grad(of))(params)
        assert float(J) == pytest.approx(float(expected), rel=1e-13)
        assert float(jaxlr.loss(params, X, given, s, l2=0.1)) == pytest.approx(float(J), rel=1e-14)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13), grads, by_machine)
        a = jaxlr.probabilities(params, X)
        np.testing.assert_allclose(a, jax.nn.softmax(X @ params.w.T + params.b[None]), rtol=1e-12)


def test_the_hessian_and_its_product_against_autodiff():
    with jax.enable_x64(True):
        params, X, y, s = problem(20, 2, "float64")

        def flat(theta):
            theta = theta.reshape(3, 3)
            return reference(Params(theta[:, :2], theta[:, 2]), X, np.eye(3)[y], s, 0.1)

        theta = jnp.concatenate([params.w, params.b[:, None]], axis=1).ravel()
        expected = jax.jit(jax.hessian(flat))(theta)
        H = jaxlr.hessian(params, X, s, l2=0.1)
        np.testing.assert_allclose(H, expected, atol=1e-13)
        v = np.random.default_rng(4).normal(size=(3, 3))
        Hv = jaxlr.hessian_product(params, Params(v[:, :2], v[:, 2]), X, s, l2=0.1)
        found = np.concatenate([Hv.w, Hv.b[:, None]], axis=1)
        np.testing.assert_allclose(found.ravel(), expected @ v.ravel(), atol=1e-13)


def test_training_goes_down_to_the_optimum_of_all_rows():
    _, X, y, _ = problem(60, 2, "float32")
    result = jaxlr.train(core.zeros(2, n_classes=3), X, y, jaxlr.plain(1.0), steps=300, l2=0.1)
    _, grads = jaxlr.loss_and_grads(result.params, X, y, l2=0.1)
    assert max(float(abs(g).max()) for g in grads) < 1e-6
    turns = jaxlr.train(
        core.zeros(2, n_classes=3), X, y, optax.adam(0.03), steps=400, batch_size=20, l2=0.1
    )
    assert float(jaxlr.loss(turns.params, X, y, l2=0.1)) < float(result.history.loss[-1]) + 0.01


def test_labels_and_parameters_that_do_not_fit_are_named():
    params, X, y, _ = problem(5, 2, "float32")
    with pytest.raises(ValueError, match=r"y is 3 in row 1 .*numbers of classes, from 0 to 2"):
        jaxlr.loss_and_grads(params, X, [0, 3, 1, 0, 2])
    with pytest.raises(ValueError, match=r"y is 0.5 in row 0 .*numbers of classes"):
        jaxlr.loss_and_grads(params, X, [0.5, 1, 1, 0, 2])
    with pytest.raises(ValueError, match=r"y has shape \(5, 2\).*must be \(5, 3\)"):
        jaxlr.loss_and_grads(params, X, np.full((5, 2), 0.5))
    with pytest.raises(ValueError, match=r"sum of shares in y is 1.5 in row 0.*must add to 1"):
        jaxlr.loss_and_grads(params, X, np.full((5, 3), 0.5))
    with pytest.raises(ValueError, match=r"w is \(3, 2\) and b is \(2,\)"):
        jaxlr.loss_and_grads(Params(params.w, params.b[:2]), X, y)
    with pytest.raises(ValueError, match="more than two classes pass parameters w"):
        jaxlr.loss_and_grads(core.zeros(2), X, y)
