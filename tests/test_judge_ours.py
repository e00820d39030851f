"""The derivatives of jaxlr itself before the judge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules import ONE_TYPE, VECTOR, rule

import jaxlr
from jaxlr import core
from jaxlr.check import Verdict, check_derivatives, check_gradient
from jaxlr.core import Params


def logistic_loss(params, X, y, s=None, l2=0.0):
    """Mean loss of m rows, told again in JAX's words."""
    z = X @ params.w + params.b
    zero = jnp.zeros_like(z)
    L = (1 - y) * jnp.logaddexp(zero, z) + y * jnp.logaddexp(zero, -z)
    s = jnp.ones_like(z) if s is None else s
    return jnp.sum(s * L) / jnp.sum(s) + l2 / 2 * jnp.sum(params.w**2)


def batch():
    rng = np.random.default_rng(0)
    X = jnp.asarray(rng.standard_normal((9, 3)), jnp.float32)
    params = Params(jnp.float32([0.5, -1.0, 0.25]), jnp.float32(0.2))
    return params, X, jnp.asarray(np.arange(9) % 2, jnp.float32)


@pytest.mark.parametrize(
    ("label", "level"),
    [(0.25, "full"), (1.0, "quick"), pytest.param(0.0, "quick", marks=pytest.mark.thorough)],
)
@pytest.mark.relaxed
def test_the_derivatives_of_core_pass(label, level):
    params, X, _ = batch()

    def loss(params, x, y):
        return core.forward(params, x, y)[0]

    def backward(params, x, y, c):
        grads = core.backward(core.forward(params, x, y)[1])
        return jax.tree.map(lambda g: c * g, grads), None, None

    options = {"reference": lambda p, x, y: logistic_loss(p, x[None], y[None]), "argnums": 0}
    args = params, X[0], jnp.float32(label)
    report = check_derivatives(rule(loss, backward), *args, order=1, level=level, **options)
    assert report, str(report)


@pytest.mark.thorough
@pytest.mark.relaxed
def test_the_curvature_of_core_is_the_derivative_of_its_slope():
    def cache(z, y):
        return core.forward(Params(z[None], jnp.zeros_like(z)), jnp.ones(1, z.dtype), y)[1]

    def dz(z, y):
        return jax.vmap(lambda z, y: core.slope(cache(z, y)).astype(z.dtype))(z, y)

    def d2z(z, y, c):
        return c * jax.vmap(lambda z, y: core.curvature(cache(z, y)).astype(z.dtype))(z, y), None

    def plain(z, y):
        return (1 - y) * jax.nn.sigmoid(z) - y * jax.nn.sigmoid(-z)

    y, two = np.float32([0, 1, 0.25, 1]), dict(ONE_TYPE, dtypes=("float64", "float32"))
    report = check_derivatives(rule(dz, d2z), VECTOR, y, reference=plain, argnums=0, **two)
    assert report, str(report)


@pytest.mark.thorough
@pytest.mark.relaxed
def test_the_gradient_of_a_batch_passes_with_weights_and_penalty():
    def grads(params, X, y, s, l2):
        return jaxlr.loss_and_grads(params, X, y, s, l2=l2)[1]

    s = jnp.asarray(np.resize([1.0, 0.0, 2.5], 9), jnp.float32)
    report = check_gradient(  # the second derivative by hand is judged above, row by row
        logistic_loss, grads, *batch(), s, 0.125, domain={2: (0, 1)}, dtypes=("float32",), order=1
    )
    assert report, str(report)
    wrong = lambda *args: grads(*args[:-1], 0.0)  # noqa: E731
    report = check_gradient(logistic_loss, wrong, *batch(), s, 0.125, level="quick")
    assert report.verdict is Verdict.WRONG


@pytest.mark.relaxed
def test_the_derivatives_of_the_softmax_pass():
    def loss(z, y):
        return core.loss_at(z, y)[0]

    def slope(z, y):
        return core.slope(core.loss_at(z, y)[1]).astype(z.dtype)

    def plain(z, y):
        return -jnp.sum(y * jax.nn.log_softmax(z))

    def d2z(z, y, c):
        return core.curvature_product(core.loss_at(z, y)[1], c).astype(z.dtype), None

    z = np.float32([0.5, -1.5, 2.0, 0.25])
    first = rule(loss, lambda z, y, c: (c * slope(z, y), None))
    second = rule(slope, d2z)
    for y in (np.eye(4, dtype=np.float32)[2], np.float32([0.25, 0.5, 0.25, 0])):
        report = check_derivatives(first, z, y, reference=plain, argnums=0, level="quick", order=1)
        assert report, str(report)
        of_slope = lambda z, y: jax.nn.softmax(z) - y  # noqa: E731
        report = check_derivatives(
            second, z, y, reference=of_slope, argnums=0, level="quick", order=1
        )
        assert report, str(report)
    wrong = rule(loss, lambda z, y, c: (c * jnp.where(z == z.max(), slope(z, y) + 1, 0), None))
    assert not check_derivatives(wrong, z, y, reference=plain, argnums=0, level="quick", order=1)
