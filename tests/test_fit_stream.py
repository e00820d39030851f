"""`fit_stream`: the answers of `fit` from rows that pass by, in few reads of them."""

import gc
import threading
from typing import NamedTuple

import numpy as np
import pytest

import jaxlr
from jaxlr import FitStatus, Params
from jaxlr.data import DataError, open_stream
from jaxlr.solve.stream.reservoir import Reservoir
from jaxlr.solve.stream.source import Block, read

N, D, M = 80_001, 16, 20_000  # more numbers than are always kept, and a last block of one row
S = np.random.default_rng(1).random(N, dtype=np.float32)


class Part(NamedTuple):
    X: np.ndarray
    y: np.ndarray | None
    weight: np.ndarray | None


class Counting:
    """Rows of a file, as far as a solver can see, that counts how often they are read."""

    def __init__(self, X, y, s=None, m=M):
        self.X, self.y, self.s, self.m, self.reads = X, y, s, m, 0

    def blocks(self):
        for i in range(0, len(self.X), self.m):
            yield Part(
                *(None if v is None else v[i : i + self.m] for v in (self.X, self.y, self.s))
            )
        self.reads += 1


def problem(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D), dtype=dtype) * np.linspace(0.5, 2, D, dtype=dtype) + 1
    y = rng.random(N) < 1 / (1 + np.exp(-X @ rng.standard_normal(D) / 2 + 0.3))
    return X, y.astype(dtype)


def newton(X, y, s, l2=0.0, fit_intercept=True):
    """Parameters, covariances and objective by Newton's method, in NumPy."""
    A = np.c_[X, np.ones(N)] if fit_intercept else X
    s, penalty = s / s.sum(), l2 * (np.arange(A.shape[1]) < D)
    u = np.zeros(A.shape[1])
    for _ in range(12):
        a = 1 / (1 + np.exp(-A @ u))
        H = (A.T * (s * a * (1 - a))) @ A + np.diag(penalty)
        u = u - np.linalg.solve(H, A.T @ (s * (a - y)) + penalty * u)
    z = A @ u
    J = s @ (np.logaddexp(0, z) - y * z) + penalty @ u**2 / 2
    inverse = np.linalg.inv(H)
    return u, inverse, inverse @ ((A.T * (s * (a - y) ** 2)) @ A) @ inverse, J


@pytest.mark.parametrize(
    "settings",
    [pytest.param({}, marks=pytest.mark.thorough), {"fit_intercept": False, "l2": 0.01}],
)
def test_float64_rows_give_the_optimum_also_where_no_sample_shows_a_column(settings):
    X, y = problem()
    X[:, 5] = np.arange(N) < 40
    stream = Counting(X, y)
    fit = jaxlr.fit_stream(stream, memory=1, tol=1e-11, **settings)
    assert fit, fit.certificate.describe()
    assert fit.certificate.reads == stream.reads
    assert fit.history.reads[-1] == fit.certificate.reads
    u, hessian, sandwich, J = newton(X, y, np.ones(N), **settings)
    p = len(u)
    np.testing.assert_allclose(np.append(fit.params.w, fit.params.b)[:p], u, rtol=0, atol=1e-9)
    assert fit.certificate.objective == pytest.approx(J, rel=1e-12)
    for covariance, kind, reads in ((hessian, "hessian", 1), (sandwich, "sandwich", 2)):
        before = stream.reads
        found = fit.covariance(kind) * N
        assert stream.reads == before + reads
        np.testing.assert_allclose(found, covariance, rtol=1e-7, atol=1e-9 * abs(covariance).max())


@pytest.mark.parametrize("order", ["as drawn", "sorted by label"])
def test_float32_rows_are_as_near_as_the_certificate_says_in_few_reads(order):
    X, y = problem(np.float32)
    by = np.arange(N) if order == "as drawn" else np.argsort(y, kind="stable")
    stream = Counting(X[by], y[by], S[by])
    fit = jaxlr.fit_stream(stream, memory=1)
    assert fit, fit.certificate.describe()
    assert fit.certificate.reads == stream.reads <= 6
    # The certificate once more, in NumPy and float64, and the optimum.
    wide, s, w, b = X.astype(float), S / S.sum(dtype=float), fit.params.w, float(fit.params.b)
    z = wide @ w + b
    assert fit.certificate.objective == pytest.approx(s @ (np.logaddexp(0, z) - y * z), rel=1e-12)
    dz = s * (1 / (1 + np.exp(-z)) - y)
    mean = s @ wide
    g = (dz @ wide - mean * dz.sum()) / np.sqrt(s @ (wide - mean) ** 2)
    assert fit.certificate.gradient == pytest.approx(max(abs(g).max(), abs(dz.sum())), abs=1e-12)
    *_, J = newton(wide, y, S.astype(float))
    assert abs(fit.certificate.objective - J) <= 2 * fit.certificate.gap + 1e-14


@pytest.mark.thorough
def test_few_rows_of_all_the_weight_are_not_left_to_a_sample():
    X, y = problem(np.float32)
    s = np.where(np.arange(N) % 500 == 0, S, 1e-6 * S)
    fit = jaxlr.fit_stream(Counting(X, y, s), memory=1)
    *_, J = newton(X.astype(float), y, s.astype(float))
    assert fit, fit.certificate.describe()
    assert abs(fit.certificate.objective - J) <= 2 * fit.certificate.gap


def rare(X, y):
    """A column that is not 0 in a few rows, all of one label."""
    X, y = X.copy(), y.copy()
    X[:, 3] = 0
    X[:4, 3], y[:4] = 1, 1
    return X, y


NO_OPTIMUM = {
    "separated": lambda X, y: (X + np.eye(D, dtype=X.dtype)[0] * (X[:, :1] > 1), X[:, 0] > 1, {}),
    "separated by a rare column": lambda X, y: (*rare(X, y), {}),
    "one label": lambda X, y: (X, y * 0, {}),
    "one label, penalised": lambda X, y: (X, y * 0 + 1, {"l2": 0.1}),
}


@pytest.mark.parametrize("case", NO_OPTIMUM)
def test_where_there_is_no_optimum_it_says_so(case):
    X, y, settings = NO_OPTIMUM[case](*problem(np.float32))
    stream = Counting(X, y.astype(X.dtype), S)
    certificate = jaxlr.fit_stream(stream, memory=1, **settings).certificate
    assert certificate.status is FitStatus.SEPARATED
    assert certificate.one_label == ("one label" in case)
    assert certificate.reads == stream.reads
    if "rare" in case:
        assert certificate.runaway == (3,)


@pytest.mark.thorough
def test_a_block_may_be_larger_than_the_rows():
    X, y = (v[:300] for v in problem(np.float32))
    fits = [jaxlr.fit_stream(Counting(X, y, m=m)) for m in (300, 1000)]
    assert fits[0].params.w.tobytes() == fits[1].params.w.tobytes()


def test_few_rows_end_like_those_of_fit():
    X, y = (v[:300] for v in problem(np.float32))
    stream = Counting(X, y)
    streamed, whole = jaxlr.fit_stream(stream), jaxlr.fit(X, y)
    np.testing.assert_allclose(streamed.params.w, whole.params.w, atol=1e-6)
    assert streamed.certificate.reads == stream.reads == 1
    one_label = jaxlr.fit_stream(Counting(X, y * 0)).certificate
    assert one_label.status is FitStatus.SEPARATED
    assert one_label.one_label


def test_rows_that_fit_into_memory_are_read_once_and_give_the_answer_of_fit():
    X, y = problem()
    X, y, s = X[:-1].reshape(-1, 128)[:8000], y[:8000], S[:8000].astype(float)
    stream = Counting(X, y, s)
    fit = jaxlr.fit_stream(stream, l2=0.1, tol=1e-11)
    whole = jaxlr.fit(X, y, sample_weight=s, l2=0.1, tol=1e-11)
    np.testing.assert_allclose(fit.params.w, whole.params.w, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.standard_errors().w, whole.standard_errors().w, rtol=1e-8)
    assert fit.certificate.reads == stream.reads == 1


def test_a_start_from_the_answer_spares_reads():
    X, y = problem(np.float32)
    u, *_ = newton(X.astype(float), y, S.astype(float))
    stream = Counting(X, y, S)
    assert jaxlr.fit_stream(stream, memory=1, init=Params(u[:-1], u[-1]))
    assert stream.reads <= 3


def test_a_file_that_is_opened_as_a_stream(tmp_path):
    X, y = problem(np.float32)
    np.savez(tmp_path / "rows.npz", X=X, y=y, sample_weight=S)
    of_file = jaxlr.fit_stream(open_stream(tmp_path / "rows.npz", block_rows=M), memory=1)
    of_memory = jaxlr.fit_stream(Counting(X, y, S), memory=1)
    assert of_file.params.w.tobytes() == of_memory.params.w.tobytes()
    assert of_file.certificate.reads == of_memory.certificate.reads


class Failing(Counting):
    """Fails in the middle of a later read."""

    def __init__(self, *rows, error):
        super().__init__(*rows)
        self.error = error

    def blocks(self):
        for i, block in enumerate(super().blocks()):
            if self.reads and i == 2:
                raise self.error
            yield block


def test_an_error_of_the_stream_comes_out_as_it_is_and_leaves_no_thread():
    error = DataError("rows.csv: column 'a' is NaN in row 7")
    with pytest.raises(DataError) as caught:
        jaxlr.fit_stream(Failing(*problem(np.float32), S, error=error), memory=1)
    assert caught.value is error
    assert not [t for t in threading.enumerate() if t.name.startswith("jaxlr-read")]


class Shrinking(Counting):
    """Has fewer rows once it was read."""

    def blocks(self):
        if self.reads:
            self.X, self.y, self.s = self.X[:-5], self.y[:-5], self.s[:-5]
        yield from super().blocks()


def test_rows_that_change_between_two_reads_are_noticed():
    with pytest.raises(
        ValueError, match="at first there were 80001 of them, in a later read 79996"
    ):
        jaxlr.fit_stream(Shrinking(*problem(np.float32), S), memory=1)


def with_value(row, v, value):
    v = v[:300].copy()
    v[row] = value
    return v


BAD = {
    "the rows have no labels": lambda X, y: (Counting(X, None), {}),
    "y is 2.0 in row 8 .counted from 1.: labels": lambda X, y: (
        Counting(X[:300], with_value(7, y, 2), m=5), {},
    ),
    "weight is nan in row 8": lambda X, y: (
        Counting(X[:300], y[:300], with_value(7, y, np.nan), m=5), {},
    ),
    "sample_weight is 0 everywhere": lambda X, y: (Counting(X[:300], y[:300], 0 * y[:300]), {}),
    "X is nan in column 3, row 8": lambda X, y: (
        Counting(with_value((7, 2), X, np.nan), y[:300]), {},
    ),
    "X is not finite in column 2, or so large": lambda X, y: (
        Counting(with_value((7, 2), X.astype(float), 1e200), y[:300]), {},
    ),
    "there is no row to fit": lambda X, y: (Counting(X[:0], y[:0]), {}),
    "they must be .m, d., .m,. and .m,. or None": lambda X, y: (Counting(X, y[:, None]), {}),
    "memory is 0": lambda X, y: (Counting(X, y), {"memory": 0}),
    "tol is 0": lambda X, y: (Counting(X, y), {"tol": 0}),
    "l2 is -1": lambda X, y: (Counting(X, y), {"l2": -1}),
    "init has w": lambda X, y: (Counting(X[:300], y[:300]), {"init": Params(y[:2], y[0])}),
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    stream, settings = BAD[message](*problem(np.float32))
    with pytest.raises(ValueError, match=message):
        jaxlr.fit_stream(stream, **settings)


def test_blocks_of_different_columns_are_refused():
    X, y = problem(np.float32)

    class Mixed:
        def blocks(self):
            yield Part(X[:300], y[:300], None)
            yield Part(X[:300], y[:300], y[:300])

    with pytest.raises(ValueError, match="one has 16 features and no weights, a later one 16 feat"):
        jaxlr.fit_stream(Mixed())


def test_reading_is_one_block_ahead_and_ends_where_it_is_left():
    asked, closed = [], []

    class Watched:
        def blocks(self):
            try:
                for i in range(10):
                    asked.append(i)
                    yield Part(np.full((2, 1), float(i)), np.zeros(2), None)
            finally:
                closed.append(True)

    blocks = read(Watched())
    assert [next(blocks).X[0, 0] for _ in range(3)] == [0, 1, 2]
    blocks.close()
    assert max(asked) <= 3
    assert closed == [True]


def test_every_row_is_in_the_sample_equally_often_wherever_it_is():
    rows = np.arange(1000.0)

    def sample(seed):
        reservoir = None
        for part in np.split(rows, [100, 350, 351, 800]):
            block = Block(part[:, None], part, part)
            if reservoir is None:
                reservoir = Reservoir(40, block)
                reservoir._rng = np.random.default_rng(seed)
            reservoir.add(block)
        X, y, s, *_ = map(np.asarray, reservoir.rows()[:3])
        assert (X[:, 0] == y).all()
        assert (y == s).all()
        return y[reservoir.order()]

    drawn = np.stack([sample(seed) for seed in range(500)])
    assert all(len(set(one)) == 40 for one in drawn.tolist())
    for part in (drawn, drawn[:, :10]):  # a smaller sample is a sample as well
        counts = np.histogram(part, bins=10, range=(0, 1000))[0]
        expected = part.size / 10
        assert np.sum((counts - expected) ** 2 / expected) < 27.9  # chi^2 of 9, once in 1000


def test_what_is_kept_of_rows_on_file_is_let_go():
    import jax

    gc.collect()
    before = sum(v.nbytes for v in jax.live_arrays())
    fit = jaxlr.fit_stream(Counting(*problem(np.float32), S), memory=1)
    gc.collect()
    assert fit
    assert sum(v.nbytes for v in jax.live_arrays()) - before < 1e6  # 4 MB of a sample


def test_a_file_rewritten_between_two_reads_is_named(tmp_path):
    """With as many rows; by then the first read has told that there is something to learn."""
    X, y = problem(np.float32)
    path = tmp_path / "rows.npz"
    np.savez(path, X=X, y=y, sample_weight=S)
    stream = open_stream(path, block_rows=M)

    class Rewriting:
        def blocks(self):
            yield from stream.blocks()
            np.savez(path, X=X, y=1 - y, sample_weight=S)

    with pytest.raises(DataError, match=r"rows.npz: the file has been changed"):
        jaxlr.fit_stream(Rewriting(), memory=1)
