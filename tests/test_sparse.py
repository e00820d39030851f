"""Sparse X: products beside SciPy's, and fits beside those of the same matrix as a dense one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse, special

import jaxlr
from jaxlr import FitStatus, batch
from jaxlr.batch import Models, Rows
from jaxlr.batch.sparse import product, products, sizes, take_sparse
from jaxlr.core import Params

N, D = 400, 30
times = jax.jit(product, static_argnames="squared")


def heavy_tailed(n=N, d=D, dtype=np.float64):
    """A column in all rows, a row of all columns, and both of them empty."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((n, d), density=0.1, format="lil", rng=rng)
    X[:, 0] = X[3] = 1.0
    X[:, -1] = X[5] = 0.0
    X = X.tocsr()
    X.data = rng.standard_normal(X.nnz)
    return X.astype(dtype)


def problem(dtype=np.float64):
    rng = np.random.default_rng(1)
    X = heavy_tailed(dtype=dtype)
    z = X.astype(float) @ rng.standard_normal(D) - 0.4
    return X, (rng.random(N) < 1 / (1 + np.exp(-z))).astype(float)


@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.thorough)], indirect=True
)
def test_both_products_are_scipy_s(dtype):
    X, rng = heavy_tailed(3000, 40, dtype), np.random.default_rng(2)
    laid_out = take_sparse(X)
    assert laid_out.shape == X.shape
    assert laid_out.dtype == dtype
    block = laid_out.block(0)
    w, dz = (rng.standard_normal(m).astype(dtype) for m in (40, 3000))
    rtol = 1e-13 if dtype == "float64" else 1e-5
    for lines, v, expected in (
        (block.rows, w, X @ w),
        (block.columns, dz, X.T @ dz),
    ):
        found = times(lines, jnp.asarray(v))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=100 * rtol)
    several = rng.standard_normal((3, 3000)).astype(dtype)
    found = jax.jit(products)(block.columns, jnp.asarray(several))
    np.testing.assert_allclose(found, several @ X, rtol=rtol, atol=100 * rtol)
    square = times(block.columns, jnp.asarray(dz), squared=True)
    np.testing.assert_allclose(square, X.multiply(X).T @ dz, rtol=rtol, atol=100 * rtol)


def test_a_long_sum_in_float32_loses_no_more_than_a_short_one():
    n = 1 << 18
    X = sparse.csr_array(np.ones((n, 1), np.float32))
    ones = jnp.full(n, 0.1, jnp.float32)
    found = times(take_sparse(X).block(0).columns, ones)
    assert float(found[0]) == pytest.approx(n * float(np.float32(0.1)), rel=1e-6)


@pytest.mark.parametrize("shape", [(5, 3), (2, 0)])
def test_a_matrix_of_nothing_multiplies_to_nothing(shape):
    laid_out = take_sparse(sparse.csr_array(shape))
    assert laid_out.shape == shape
    block = laid_out.block(0)
    if shape[1]:
        assert not times(block.rows, jnp.ones(shape[1])).any()
    assert not times(block.columns, jnp.ones(shape[0])).any()
    fit = jaxlr.fit(sparse.csr_array(shape), np.arange(shape[0]) % 2, tol=1e-10)
    assert not fit.params.w.any()
    mean = np.mean(np.arange(shape[0]) % 2)
    assert fit.params.b == pytest.approx(np.log(mean / (1 - mean)), abs=1e-9)


def test_matrices_of_about_one_size_lie_alike_and_others_as_they_need():
    rng = np.random.default_rng(9)
    X = sparse.random_array((3000, 50), density=0.1, format="csr", rng=rng)
    some, half = X.copy(), X.copy()
    some.data[rng.random(X.nnz) < 0.01] = 0
    half.data[rng.random(X.nnz) < 0.5] = 0
    for v in (some, half):
        v.eliminate_zeros()
    all_of, most, fewer = map(take_sparse, (X, some, half))
    assert jax.tree.map(np.shape, most) == jax.tree.map(np.shape, all_of)
    assert fewer.nbytes < 0.8 * all_of.nbytes


@pytest.mark.parametrize("penalty", [{"l2": [0.1, 1.0]}, {"l1": [0.1, 1.0]}])
def test_without_columns_there_is_the_intercept(penalty):
    X, y = sparse.csr_array((4, 0)), np.array([0, 1, 1, 1])
    fits = jaxlr.fit_many(X, y, **penalty, tol=1e-9)
    assert fits.params.w.shape == (2, 0)
    np.testing.assert_allclose(fits.params.b, np.log(3), rtol=1e-8)
    assert not jaxlr.fit_many(X, y, **penalty, fit_intercept=False).params.b.any()
    error = jaxlr.fit(X, y, tol=1e-9).standard_errors().b
    assert error == pytest.approx((4 * 3 / 16) ** -0.5, rel=1e-6)


def test_heavy_tails_cost_no_memory():
    n, d = 20_000, 2000
    rng = np.random.default_rng(0)
    column = np.minimum(rng.zipf(1.3, 10 * n) - 1, d - 1)
    row = np.r_[np.repeat(np.arange(n), 9), np.zeros(n, int)]
    X = sparse.coo_array((np.ones(10 * n), (row, column)), (n, d)).tocsr()
    X.sum_duplicates()
    assert np.diff(X.tocsc().indptr).max() > n / 3
    size = X.nnz * (8 + 4)
    assert take_sparse(X).nbytes < 4 * size + 64 * (n + d)


def reference(X, y, l2, s, offset, intercept):
    """Newton's method in NumPy, on the dense matrix."""
    A = np.c_[X.toarray().astype(float), np.ones(len(y))][:, : X.shape[1] + intercept]
    A[:, ~A.any(axis=0)] = 1e-30  # an empty column: its parameter stays 0
    penalty = np.r_[np.full(X.shape[1], l2), np.zeros(int(intercept))]
    u = np.zeros(A.shape[1])
    for _ in range(30):
        a = 1 / (1 + np.exp(-A @ u - offset))
        g = A.T @ (s * (a - y)) / s.sum() + penalty * u
        H = (A.T * (s * a * (1 - a) / s.sum())) @ A + np.diag(np.maximum(penalty, 1e-20))
        u -= np.linalg.solve(H, g)
    return u[: X.shape[1]], u[-1] if intercept else 0.0


@pytest.mark.parametrize(
    ("form", "l2", "weighted", "intercept"),
    [
        ("csr", 0.01, False, True),
        ("csc", 0.01, True, True),
        ("csr", 1e-4, True, False),
        ("coo", 1.0, False, True),
    ],
)
def test_a_fit_is_where_newton_s_method_arrives(form, l2, weighted, intercept):
    X, y = problem()
    rng = np.random.default_rng(3)
    s, offset = rng.random((2, N)) if weighted else np.array([np.ones(N), np.zeros(N)])
    fit = jaxlr.fit(
        X.asformat(form), y, l2=l2, sample_weight=s, offset=offset,
        fit_intercept=intercept, tol=1e-12,
    )  # fmt: skip
    assert fit, fit.certificate.describe()
    w, b = reference(X, y, l2, s, offset, intercept)
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-9, atol=1e-11)
    assert fit.params.b == pytest.approx(b, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=pytest.mark.thorough), "float64"], indirect=True
)
def test_the_certificate_of_a_sparse_fit_says_what_is_so(dtype):
    X, y = problem(dtype)
    fit = jaxlr.fit(X, y, l2=0.01, tol=1e-7)
    c, w, b = fit.certificate, fit.params.w, float(fit.params.b)
    assert fit, c.describe()
    assert c.method == "lbfgs"
    z = X.astype(float) @ w + b
    J = np.mean(np.logaddexp(0, z) - y * z) + 0.005 * w @ w
    dz = (1 / (1 + np.exp(-z)) - y) / N
    g = np.r_[dz @ X.astype(float) + 0.01 * w, dz.sum()]
    assert c.objective == pytest.approx(J, rel=1e-12)
    assert c.raw_gradient == pytest.approx(abs(g).max(), rel=1e-4, abs=1e-13)


def test_a_matrix_that_does_not_fit_is_refused_and_says_what_to_do():
    X = sparse.csr_array(np.eye(4, 12_000))
    with pytest.raises(ValueError, match=r"12,001 parameters would take 1.2 GB.*method='lbfgs'"):
        jaxlr.fit(X, [0, 1, 0, 1], l2=1.0).covariance()


@pytest.mark.thorough
def test_sparse_and_dense_fits_agree_also_without_penalty():
    X, y = problem()
    X, tol = X[:, :-1], 1e-12  # without its empty column
    fits = jaxlr.fit(X, y, tol=tol), jaxlr.fit(X.toarray(), y, tol=tol)
    np.testing.assert_allclose(fits[0].params.w, fits[1].params.w, rtol=1e-7)
    for kind in ("hessian", "sandwich"):
        np.testing.assert_allclose(
            fits[0].covariance(kind), fits[1].covariance(kind), rtol=1e-7, atol=1e-9
        )
    by_newton = jaxlr.fit(X, y, tol=tol, method="newton")
    np.testing.assert_allclose(by_newton.params.w, fits[1].params.w, rtol=1e-7)


def test_columns_far_from_0_are_centred_without_being_touched():
    X, y = problem()
    full = X.indices == 0
    X.data[full] = 1000 + np.random.default_rng(0).standard_normal(full.sum())
    fits = [jaxlr.fit(v, y, l2=0.01, tol=1e-11) for v in (X, X.toarray())]
    assert fits[0], fits[0].certificate.describe()
    assert fits[0].certificate.steps < 60
    np.testing.assert_allclose(fits[0].params.w, fits[1].params.w, rtol=1e-6, atol=1e-9)


def test_many_models_are_the_single_ones():
    X, y = problem()
    fold, l2 = np.arange(N) % 3, [0.01, 0.1, 1.0]
    fits = jaxlr.fit_many(X, y, l2=l2, folds=(fold, [0, 1, 2]), tol=1e-11)
    assert fits
    for k in range(3):
        w, b = reference(X, y, l2[k], (fold != k).astype(float), 0.0, True)
        np.testing.assert_allclose(fits.params.w[k], w, rtol=1e-8, atol=1e-10)
        assert fits.params.b[k] == pytest.approx(b, rel=1e-8)


def test_one_class_against_the_rest():
    X, y = problem()
    names = np.array(["no", "yes"])[y.astype(int)]
    fits = jaxlr.fit_many(X, names, l2=0.01, classes=["no", "yes"], tol=1e-11)
    np.testing.assert_allclose(fits.params.w[0], -fits.params.w[1], rtol=1e-8, atol=1e-10)
    w, _ = reference(X, y, 0.01, np.ones(N), 0.0, True)
    np.testing.assert_allclose(fits.params.w[1], w, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("K", [None, 3])
@pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=pytest.mark.thorough), "float64"], indirect=True
)
def test_loss_gradient_and_probabilities_are_those_of_numpy(K, dtype):
    X, y = problem(dtype)
    rng = np.random.default_rng(4)
    s, w = rng.random(N), rng.standard_normal((K or 1, D))
    y = rng.integers(0, K, N) if K else y
    params = Params(jnp.asarray(w if K else w[0], dtype), jnp.full((K,) if K else (), 0.3, dtype))
    J, grads = jaxlr.loss_and_grads(params, X, y, s, 0.1)
    z = X.astype(float) @ w.T + 0.3
    z = z if K else np.c_[np.zeros(N), z]
    a = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    loss = -np.log(a[np.arange(N), y.astype(int)])
    dz = (s / s.sum())[:, None] * (a - np.eye(K or 2)[y.astype(int)])
    dz = dz if K else dz[:, 1:]
    rtol = 1e-11 if dtype == "float64" else 2e-5
    assert J.dtype == dtype
    assert float(J) == pytest.approx(s @ loss / s.sum() + 0.05 * (w**2).sum(), rel=rtol)
    expected = dz.T @ X.astype(float) + 0.1 * w
    np.testing.assert_allclose(grads.w, expected if K else expected[0], rtol=rtol, atol=rtol)
    np.testing.assert_allclose(grads.b, dz.sum(0) if K else dz.sum(), rtol=rtol, atol=rtol)
    found = jaxlr.probabilities(params, X)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, a if K else a[:, 1], rtol=rtol, atol=rtol)
    if K is None:
        assert float(jaxlr.loss(params, X, y, s, 0.1)) == pytest.approx(float(J), rel=rtol)


def test_a_layout_is_made_once_and_used_again():
    X, y = problem()
    laid_out = take_sparse(X)
    params = jaxlr.zeros(D)
    J, _ = jax.jit(jaxlr.loss_and_grads)(params, laid_out, jnp.asarray(y))
    assert float(J) == pytest.approx(np.log(2), rel=1e-6)
    assert len(jaxlr.probabilities(params, laid_out)) == N


def shuffled(X):
    """The same matrix, each row in another order, a column twice, and a 0 that is stored."""
    X = X.tocoo()
    order = np.random.default_rng(0).permutation(X.nnz + 2)
    row, column = np.r_[X.row, 7, 8], np.r_[X.col, 0, X.shape[1] - 1]
    row, column, data = row[order], column[order], np.r_[X.data, 0.5, 0.0][order]
    pointer = np.r_[0, np.cumsum(np.bincount(row, minlength=X.shape[0]))]
    by_row = np.argsort(row, kind="stable")
    return sparse.csr_array((data[by_row], column[by_row], pointer), X.shape)


def test_order_duplicates_zeros_and_the_type_of_indices_do_not_matter():
    X, y = problem()
    untidy = shuffled(X)
    untidy.indices, untidy.indptr = (v.astype(np.int64) for v in (untidy.indices, untidy.indptr))
    before = untidy.indices.copy(), untidy.data.copy()
    assert not untidy.has_canonical_format
    fit, dense = (jaxlr.fit(v, y, l2=0.01, tol=1e-11) for v in (untidy, untidy.toarray()))
    np.testing.assert_allclose(fit.params.w, dense.params.w, rtol=1e-7, atol=1e-10)
    for v, now in zip(before, (untidy.indices, untidy.data), strict=True):
        assert np.array_equal(v, now)


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.float32])
def test_numbers_of_any_kind(kind):
    X, y = problem()
    X = (X * 3).astype(kind)
    fit = jaxlr.fit(X, y, l2=0.01, tol=1e-8)
    dense = jaxlr.fit(X.toarray().astype(float), y, l2=0.01, tol=1e-11)
    np.testing.assert_allclose(fit.params.w, dense.params.w, rtol=1e-5, atol=1e-7)
    assert fit._objective.rows.X.dtype == np.float32


def test_integers_that_float32_cannot_tell_apart_are_kept():
    X = sparse.csr_array(np.array([[16777217, 0], [16777216, 1], [16777215, 0]]))
    with jax.enable_x64(True):
        assert take_sparse(X).dtype == np.float64


def test_the_same_input_gives_the_same_bits():
    X, y = problem(np.float32)
    one, two = jaxlr.fit(X, y, l2=0.01), jaxlr.fit(X, y, l2=0.01)
    assert one.params.w.tobytes() == two.params.w.tobytes()


def test_shapes_are_taken_again_only_where_chunks_are_as_wide(monkeypatch):
    sizes._taken.clear()
    one = sizes.choose_sizes(np.full((1, 100), 9), 1000)
    wider = tuple((2 * width, count) for width, count in one)
    sizes._taken.clear()
    sizes._taken.append(((1, 100, 1000), wider))
    monkeypatch.setattr(sizes, "_EMPTY", 10)
    assert sizes.choose_sizes(np.full((1, 100), 9), 1000) == one
    fewer = np.full((1, 100), 9)
    fewer[0, :3] = 8
    assert sizes.choose_sizes(fewer, 1000) == one


def test_where_there_is_no_optimum_it_says_so():
    X, y = problem()
    told = np.where(X[:, [2]].toarray()[:, 0] != 0, X[:, [2]].toarray()[:, 0] > 0, y)
    for labels in (y * 0, told.astype(float)):
        c = jaxlr.fit(X, labels).certificate
        assert c.status is FitStatus.SEPARATED, c.describe()
        assert c.one_label == (labels.sum() == 0)
    assert jaxlr.fit(X, told.astype(float), l2=1e-3)


BAD = {
    r"X is nan in row 3, column 2 \(counted from 0\)": lambda X: set_entry(X, 3, 2, np.nan),
    "X is inf in row 0, column 0": lambda X: set_entry(X, 0, 0, np.inf),
    "X has dtype complex128": lambda X: X.astype(complex),
    r"there is no example in it": lambda X: X[:0],
    r"y has shape \(400,\), but X has 10 rows": lambda X: X[:10],
}


def set_entry(X, row, column, value):
    X = X.tolil()
    X[row, column] = value
    return X.tocsr()


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    X, y = problem()
    with pytest.raises(ValueError, match=message):
        jaxlr.fit(BAD[message](X), y)


def test_what_is_too_large_for_float32_is_told():
    X = sparse.csr_array(np.array([[0.0, 1e39]]))
    with pytest.raises(ValueError, match=r"in row 0, column 1.*too large for float32"):
        jaxlr.probabilities(jaxlr.zeros(2), X)


REFUSED = {
    "hessian": lambda X, y: jaxlr.hessian(jaxlr.zeros(D), X),
    "cross_validate": lambda X, y: jaxlr.cross_validate(X, y, l2=[0.1]),
    "bootstrap": lambda X, y: jaxlr.bootstrap(X, y, replicates=2),
    "train": lambda X, y: jaxlr.train(jaxlr.zeros(D), X, y, jaxlr.plain(0.1), steps=1),
    "fit_many of data sets": lambda X, y: jaxlr.fit_many([X, X], [y, y]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_takes_no_sparse_x_says_so(name):
    with pytest.raises(ValueError, match="sparse"):
        REFUSED[name](*problem())


def test_parameters_must_fit_the_columns():
    X, y = problem()
    with pytest.raises(ValueError, match="X has 30 features"):
        jaxlr.loss_and_grads(jaxlr.zeros(7), X, y)


def test_a_fit_compiles_once_for_matrices_of_about_one_size():
    X, y = problem()
    jaxlr.fit(X, y, l2=0.01)
    gradient_sums, moment_sums = batch.sparse_gradient_sums, batch.sparse_moment_sums
    before = gradient_sums._cache_size(), moment_sums._cache_size()
    order = np.random.default_rng(0).permutation(N)
    for l2 in (0.1, 1.0):
        jaxlr.fit(X[order], y[order], l2=l2)
    assert (gradient_sums._cache_size(), moment_sums._cache_size()) == before


@pytest.mark.parametrize("sums", ["gradient", "curvature", "side", "moment"])
def test_sparse_sums_lower_for_accelerators(sums):
    X, y = problem(np.float32)
    laid_out, labels = take_sparse(X), jnp.asarray(y)

    def run(w):
        rows = Rows(laid_out, labels, labels, labels)
        if sums == "moment":
            return batch.sparse_moment_sums(rows, labels)
        of = getattr(batch, f"sparse_{sums}_sums")
        return of(Models(jnp.stack([w, w]), jnp.zeros(2)), rows)

    accelerators = ("cuda", "rocm", "tpu")
    exported = jax.export.export(jax.jit(run), platforms=accelerators)(jnp.zeros(D))
    assert exported.platforms == accelerators


@pytest.mark.thorough
def test_a_softmax_is_that_of_the_dense_matrix():
    X, _ = problem()
    y = np.random.default_rng(5).integers(0, 3, N)
    fits = [jaxlr.fit(v, y, n_classes=3, l2=0.01, tol=1e-11) for v in (X, X.toarray())]
    assert fits[0], fits[0].certificate.describe()
    np.testing.assert_allclose(fits[0].params.w, fits[1].params.w, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fits[0].params.b, fits[1].params.b, rtol=1e-6, atol=1e-9)


def in_blocks(monkeypatch, rows):
    """Lay three classes out in blocks of some rows."""
    monkeypatch.setattr("jaxlr.batch.sparse.take._BYTES", 8 * 6 * 3 * rows)


def softmax(A, y, s, u):
    """Mean loss of 3 classes, its gradient (3, p) and Hessian (3 p, 3 p) at u (3, p), in NumPy."""
    z = A @ u.T
    a = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    s = s / s.sum()
    bend = s[:, None, None] * (np.eye(3) * a[:, None] - a[:, :, None] * a[:, None])
    H = np.einsum("ijk,ip,iq->jpkq", bend, A, A).reshape(u.size, u.size)
    return -s @ np.log(a[np.arange(len(y)), y]), (s[:, None] * (a - np.eye(3)[y])).T @ A, H


@pytest.mark.thorough
def test_rows_in_blocks_add_up_to_all_rows(monkeypatch):
    """Four blocks, of which the last begins in the one before."""
    in_blocks(monkeypatch, 110)
    (X, _), rng = problem(), np.random.default_rng(5)
    X = X[:398, :5]
    y, s = rng.integers(0, 3, 398), rng.random(398)
    fit = jaxlr.fit(X, y, n_classes=3, l2=0.01, tol=1e-11, sample_weight=s)
    laid_out = fit._objective.rows.X
    assert (laid_out.blocks, laid_out.block_rows) == (4, 100)
    w, b = fit.params
    A, l2 = np.c_[X.toarray(), np.ones(398)], np.diag(np.tile([0.01] * 5 + [0], 3))
    loss, g, H = softmax(A, y, s, np.c_[w, b])
    assert fit.certificate.objective == pytest.approx(loss + 0.005 * np.sum(w**2), rel=1e-13)
    np.testing.assert_allclose(g, -0.01 * np.c_[w, 0 * b], atol=1e-10)
    expected = np.linalg.pinv(s.sum() * (H + l2), rcond=1e-12, hermitian=True)
    contrast = np.kron(np.array([[1.0, -1, 0], [0, 1, -1]]), np.eye(6))  # what has curvature
    found = contrast @ fit.covariance() @ contrast.T
    np.testing.assert_allclose(found, contrast @ expected @ contrast.T, rtol=1e-6, atol=1e-9)
    found = jaxlr.probabilities(Params(*map(jnp.asarray, fit.params)), X)
    np.testing.assert_allclose(found, special.softmax(A @ np.c_[w, b].T, axis=1), rtol=1e-5)
    taken = batch.take_sparse_columns(laid_out, np.array([4, 0, 2, 5]))
    np.testing.assert_array_equal(taken.toarray()[:, :3], X[:, [4, 0, 2]].toarray())
    assert taken.shape == (398, 4)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # which has a way of its own
    on_device = batch.take_sparse_columns(laid_out, np.array([4, 0, 2, 5]))
    np.testing.assert_array_equal(on_device.toarray(), taken.toarray())


def test_classes_with_l1_are_solved_in_blocks(monkeypatch):
    in_blocks(monkeypatch, 50)
    monkeypatch.setattr("jaxlr.solve.proximal.loss._DENSE", 0)
    rng = np.random.default_rng(5)
    X, y = sparse.random_array((90, 20), density=0.1, format="csr", rng=rng), rng.integers(0, 3, 90)
    fit = jaxlr.fit(X, y, n_classes=3, l1=0.01, tol=1e-10)
    assert fit, fit.certificate.describe()
    assert fit._objective.rows.X.blocks == 2
    w, b = fit.params
    loss, g, _ = softmax(np.c_[X.toarray(), np.ones(90)], y, np.ones(90), np.c_[w, b])
    dw, db = g[:, :-1], g[:, -1]
    assert 0 < np.count_nonzero(w) < w.size / 2
    np.testing.assert_allclose(dw[w != 0], -0.01 * np.sign(w[w != 0]), atol=1e-9)
    assert abs(dw).max() <= 0.01 + 1e-9
    np.testing.assert_allclose(db, 0, atol=1e-9)
    assert fit.certificate.objective == pytest.approx(loss + 0.01 * abs(w).sum(), rel=1e-13)
    assert 0 <= fit.certificate.gap <= 1e-6


def test_many_classes_take_a_bounded_memory():
    n, d, C = 100_000, 50, 500
    number = jax.ShapeDtypeStruct
    X = sparse.csr_array((np.ones(n), np.arange(n) % d, np.arange(n + 1)), (n, d))
    laid_out = take_sparse(X, n_classes=C)
    models = Models(number((1, C, d), np.float32), number((1, C), np.float32))
    rows = Rows(laid_out, number((n,), np.int32))
    sums = batch.sparse_gradient_sums.lower(models, rows).compile()
    assert sums.memory_analysis().temp_size_in_bytes < 2**28 < 2 * 4 * n * C


@pytest.mark.parametrize("intercept", [True, False])
def test_the_diagonal_of_the_curvature_is_that_of_the_matrix(intercept):
    X, y = problem()
    rng = np.random.default_rng(6)
    y = y * (rng.random(N) < 0.1)  # few rows have label 1
    fit = jaxlr.fit(X, y, l2=1e-4, sample_weight=rng.random(N), fit_intercept=intercept, tol=1e-9)
    assert fit.certificate.steps > 8
    with jax.enable_x64(True):
        lane = np.zeros(1, int)
        found = fit._objective.diagonal(fit._u[None], lane)[0]
        H, _ = fit._curvature("loss")
    np.testing.assert_allclose(found, np.diag(H), rtol=1e-9, atol=1e-15)


def test_an_l1_penalty_finds_what_it_finds_in_the_dense_matrix(dtype):
    X, y = problem(dtype)
    rng = np.random.default_rng(7)
    rows = {"sample_weight": rng.random(N), "offset": rng.standard_normal(N)}
    tol = 1e-10 if dtype == "float64" else 1e-7
    fit, dense = (jaxlr.fit(v, y, l1=0.02, l2=0.01, tol=tol, **rows) for v in (X, X.toarray()))
    assert fit, fit.certificate.describe()
    assert 0 < np.count_nonzero(fit.params.w) < D - 3
    np.testing.assert_array_equal(fit.params.w != 0, dense.params.w != 0)
    np.testing.assert_allclose(fit.params.w, dense.params.w, rtol=100 * tol, atol=10 * tol)
    assert fit.certificate.objective == pytest.approx(dense.certificate.objective, rel=1e-12)
    assert 0 <= fit.certificate.gap <= 1e-6


@pytest.mark.thorough
def test_many_models_with_l1_and_a_path_are_the_single_fits():
    rng = np.random.default_rng(8)
    X = sparse.random_array((300, 200), density=0.05, format="csr", rng=rng)
    y = (X[:, :5].sum(axis=1) + 0.1 * rng.standard_normal(300) > 0.1).astype(float)
    path = jaxlr.path(X, y, n=6, smallest=0.1, tol=1e-10)
    assert path
    assert path.nonzeros[0] == 0
    assert 5 <= path.nonzeros[-1] < 150
    fits = jaxlr.fit_many(X, y, l1=path.penalties[[2, 5]], tol=1e-10)
    for k, at in enumerate((2, 5)):
        dense = jaxlr.fit(X.toarray(), y, l1=path.penalties[at], tol=1e-10)
        for w in (path.params.w[at], fits.params.w[k]):
            np.testing.assert_allclose(w, dense.params.w, rtol=1e-6, atol=1e-9)


def test_a_path_ends_where_a_matrix_would_be_too_large(monkeypatch):
    from jaxlr.solve import sparse as solve_sparse
    from jaxlr.solve.proximal import loss

    rng = np.random.default_rng(11)
    X = sparse.random_array((300, 200), density=0.05, format="csr", rng=rng)
    y = (X[:, :5].sum(axis=1) + 0.1 * rng.standard_normal(300) > 0.1).astype(float)
    monkeypatch.setattr(loss, "_DENSE", 0)  # no columns are made dense,
    monkeypatch.setattr(solve_sparse, "_LARGEST", 8 * 100**2)  # and 99 may take part
    penalties = [0.02, 1e-5, 0.03, 1e-4]
    with pytest.warns(RuntimeWarning, match=r"path ends above the penalty 0.0001.* param"):
        path = jaxlr.path(X, y, penalties=penalties, tol=1e-9)
    assert not path
    converged = [c.status is FitStatus.CONVERGED for c in path.certificates]
    assert converged == [True, False, True, False]
    for k in (0, 2):
        dense = jaxlr.fit(X.toarray(), y, l1=penalties[k], tol=1e-9)
        np.testing.assert_allclose(path.params.w[k], dense.params.w, rtol=1e-6, atol=1e-9)
    with pytest.raises(ValueError, match="parameters would take"):
        jaxlr.path(X, y, penalties=[1e-5])
