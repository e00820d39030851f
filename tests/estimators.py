"""What the tests of the estimators share."""

import numpy as np


def problem(seed, n=60, d=3, K=2):
    """Rows whose labels overlap, so that there is an optimum without a penalty too."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * rng.uniform(0.3, 3, d) + rng.standard_normal(d)
    z = X @ rng.standard_normal((d, K)) / np.sqrt(d)
    y = np.argmax(z + rng.gumbel(size=(n, K)) * 2, axis=1)
    y[:K] = np.arange(K)
    return X, y


def same(ours, theirs, rtol=1e-6):
    size = abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=rtol, atol=rtol * size)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=rtol, atol=rtol * size)
