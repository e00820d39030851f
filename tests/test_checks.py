"""What is refused before anything is computed: types and values that would give silent nonsense."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlr
from jaxlr.core import Params

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0], [1.5, 0.0, -1.0]], np.float32)
Y = np.array([0.0, 1.0, 1.0], np.float32)


def test_integer_parameters_are_refused_for_their_gradient_would_be_zero():
    for params in (Params(jnp.array([0, 0, 0]), 0), Params(np.zeros(3), 1j)):
        with pytest.raises(TypeError, match="parameters must be floating point"):
            jaxlr.loss_and_grads(params, X, Y)
    for b in (0, 0.0, np.float64(0)):
        grads = jaxlr.loss_and_grads(Params(np.zeros(3, np.float32), b), X, Y)[1]
        assert grads.b.dtype == jnp.float32
        assert float(grads.b) == pytest.approx(-1 / 6)


COMPLEX = X.astype(np.complex64)
OBJECTS = np.array([0.0, "1", 1.0], object)
BAD = {
    "complex X": (COMPLEX, Y, None, r"X has dtype complex64: features must be numbers, and real"),
    "complex y": (X, Y + 1j, None, r"y has dtype complex64: labels must be numbers, and real"),
    "complex weights": (X, Y, Y + 1j, r"sample_weight has dtype complex64: weights must be"),
    "text labels": (X, ["a", "b", "a"], None, r"y has dtype <U1: labels must be numbers"),
    "text weights": (X, Y, ["1", "2", "3"], r"sample_weight has dtype <U1: weights must be"),
    "text among objects": (X, OBJECTS, None, r"y has dtype object: labels must be numbers"),
    "none among objects": (X, [0, 1, None], None, r"y is nan in row 2"),
    "too large": (
        X * np.float64(1e300),
        Y,
        None,
        r"X is 1e\+300 in row 0, column 0 .*too large for float32",
    ),
    "tiny weights": (X, Y, np.full(3, 1e-300), r"the largest sample_weight is 1e-300"),
    "subnormal weights": (X, Y, np.full(3, 1e-40), r"the largest sample_weight is 1e-40"),
    "huge weights": (X, Y, np.full(3, 1e38), r"the largest sample_weight is 1e\+38.*divide them"),
}


@pytest.mark.parametrize("case", BAD)
def test_values_that_compute_nonsense_are_refused_by_name(case):
    X, y, s, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        jaxlr.loss_and_grads(jaxlr.zeros(3), X, y, s)
    assert len(str(caught.value)) < 250


def test_the_range_of_weights_is_one_that_computes(dtype):
    params, X64, y = jaxlr.zeros(3, dtype), X.astype(dtype), Y.astype(dtype)
    plain = jaxlr.loss_and_grads(params, X64, y)
    for weight in (1e-19, 1e19):
        J, grads = jaxlr.loss_and_grads(params, X64, y, np.full(3, weight, dtype))
        assert float(J) == pytest.approx(float(plain[0]), rel=1e-6)
        np.testing.assert_allclose(grads.w, plain[1].w, rtol=1e-6)


def test_rows_of_mixed_objects_are_numbers_where_they_can_be():
    frame = np.array([[True, 2.5], [False, 1.0], [True, 0.0]], object)  # as pandas gives it
    J, grads = jaxlr.loss_and_grads(jaxlr.zeros(2), frame, [0, 1, 1])
    expected = jaxlr.loss_and_grads(jaxlr.zeros(2), frame.astype(np.float32), Y)
    assert float(J) == float(expected[0])
    assert np.array_equal(grads.w, expected[1].w)


def test_what_is_too_large_for_float32_is_not_for_float64():
    with jax.enable_x64(True):
        assert np.isfinite(jaxlr.loss(jaxlr.zeros(3), X.astype(float) * 1e300, Y))
