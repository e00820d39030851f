"""Processes that look at a share of the rows each learn what one process does of all."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from jaxlr import data
from jaxlr.data import DataError, learner
from jaxlr.data.learner import Learner
from jaxlr.data.moments import BlockMoments
from jaxlr.run import FitConfig
from jaxlr.run.fingerprint import fingerprint
from jaxlr.run.hosts import load_own

N = 333  # six blocks of 64 rows, the last a short one
SETTINGS = {
    "target": "won",
    "weight": "times",
    "categorical": ("city", "street"),
    "missing": "mean",
}
FORMS = ("rows.csv", "rows.parquet", "folder", "rows.npz", "rows.libsvm")


def table(**changed):
    """Rows with gaps, categories of which some are rare, and weights; ``changed`` at some rows."""
    rng = np.random.default_rng(3)
    i = np.arange(N)
    a, b = rng.standard_normal((2, N)) * [[1.0], [1e-3]] + [[0.1], [1e6]]
    a[i % 9 == 4] = np.nan
    columns = {
        "a": a.tolist(),
        "b": b.tolist(),
        "city": [("Oslo", "Rome", None)[k] for k in i % 3],
        "street": [f"S{k}" for k in np.minimum(i // 3, 100)],
        "won": rng.choice(["no", "yes"], N).tolist(),
        "times": (i % 4 / 3).tolist(),
    }
    for name, values in changed.items():
        for row, value in values.items():
            columns[name][row] = value
    columns["a"] = [None if np.isnan(v) else v for v in columns["a"]]
    return pa.table(columns)


def written(name, folder, rows=None):
    """Write the rows in a format, as far as it has them; return the config of a fit."""
    path, rows = folder / name, table() if rows is None else rows
    matrix = np.column_stack([rows[c].to_numpy().astype(float) for c in ("b", "times")])
    y = np.array(rows["won"].to_pylist())
    if name == "folder":
        path.mkdir()
        parquet.write_table(rows.slice(0, 100), path / "1.parquet", row_group_size=30)
        parquet.write_table(rows.slice(100), path / "2.parquet")
    elif name.endswith("csv"):
        csv.write_csv(rows, path)
    elif name.endswith("parquet"):
        parquet.write_table(rows, path, row_group_size=50)
    elif name.endswith("npz"):
        np.savez(path, X=matrix, y=y, sample_weight=matrix[:, 1])
        return FitConfig(data=str(path))
    else:
        lines = [f"{int(v == 'yes')} 1:{b} 2:{s}" for (b, s), v in zip(matrix, y, strict=True)]
        path.write_text("\n".join(lines) + "\n")
        return FitConfig(data=str(path))
    return FitConfig(data=str(path), **SETTINGS)


@pytest.fixture
def processes(monkeypatch):
    """Run a function in so many threads, which are processes to `jaxlr.shard`."""
    me = threading.local()

    def run(count, work):
        barrier, slots = threading.Barrier(count, timeout=20), [np.zeros(0)] * count

        def gather(v):
            slots[me.index] = np.asarray(v)
            barrier.wait()
            found = np.stack(slots)
            barrier.wait()
            return found

        def process(index):
            me.index = index
            try:
                return work()
            except DataError as error:
                return str(error)
            except BaseException:
                barrier.abort()
                raise

        names = {"gather": gather, "host_count": lambda: count, "host_index": lambda: me.index}
        with monkeypatch.context() as patch, ThreadPoolExecutor(count) as pool:
            patch.setattr("jaxlr.shard.hosts._PIECE", 1000)  # labels are joined in some pieces
            for name, function in names.items():
                patch.setattr(f"jaxlr.shard.hosts.{name}", function)
                patch.setattr(f"jaxlr.shard.{name}", function)
            return list(pool.map(process, range(count)))

    return run


@pytest.fixture
def looked(monkeypatch):
    """Count the rows that are looked at to learn the columns."""
    counts, add = SimpleNamespace(rows=0), Learner.add

    def counting(self, batch):
        counts.rows += len(batch)
        add(self, batch)

    monkeypatch.setattr(Learner, "add", counting)
    return counts


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("count", [2, 7])
def test_shares_tell_the_same_bits_as_all_rows(name, count, tmp_path, processes, looked):
    config = written(name, tmp_path)
    whole = data.load(config.data, dtype=np.float64, **config.columns_settings())
    looked.rows = 0
    for own in processes(count, lambda: load_own(config)):
        assert own.fingerprint == fingerprint(whole)
        assert (own.features, own.labels) == (whole.features, whole.labels)
        np.testing.assert_array_equal(own.y, whole.y)
        np.testing.assert_array_equal(own.weight, whole.weight)
        found = own.take(np.array([0, 4, N - 1]), mean=0, scale=1, dtype=np.float64)
        np.testing.assert_array_equal(found.X, whole.X[[0, 4, N - 1]])
    assert looked.rows == N * (count if name.endswith("csv") else 1)


def test_shares_tell_the_same_encoding_and_moments(tmp_path, processes):
    path = written("folder", tmp_path).data
    settings = {**SETTINGS, "categorical": {"city": "onehot", "street": 7}}
    few = {**settings, "memory": 10_000}  # some rows at a time
    one = data.open_stream(path, **few)
    assert one.encoding == data.load(path, **settings).encoding
    for stream in processes(3, lambda: data.open_stream(path, shared=True, **few)):
        assert stream.encoding == one.encoding
        for found, wanted in zip(stream.moments(), one.moments(), strict=True):
            np.testing.assert_array_equal(found, wanted)


FAULTS = {
    "a number, and a gap before it": (
        {"b": {300: np.inf}, "won": {200: None}},
        "column 'won' has no value in row 201",
    ),
    "a weight, and a gap that is filled": (
        {"times": {300: -1.0}, "b": {9: np.nan}},
        "column 'times' is -1 in row 301",
    ),
    "a label, and a number before it": (
        {"won": {300: None}, "b": {150: -np.inf}},
        "column 'b' is -inf in row 151",
    ),
    # More than 20 after the fourth block, and so after the second share of three.
    "labels of few rows each": (
        {"won": {12 * i: f"label {i}" for i in range(27)}},
        "column 'won' holds more than 20 different labels",
    ),
    "a third number, in the last share": (
        {"won": {i: 2 if i == 300 else i % 2 for i in range(N)}},
        "column 'won' holds 3 different labels (0, 1, 2)",
    ),
    "one label": ({"won": dict.fromkeys(range(N), "no")}, "column 'won' is 'no' in every row"),
    "weights of 0": ({"times": dict.fromkeys(range(N), 0.0)}, "'times' add up to 0"),
    "no city": ({"city": dict.fromkeys(range(N))}, "column 'city' has no value in any row"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_all_say_what_one_process_says(name, tmp_path, processes):
    changed, message = FAULTS[name]
    config = written("rows.parquet", tmp_path, table(**changed))
    (one,) = processes(1, lambda: load_own(config))
    assert f"{config.data}: " in one
    assert message in one
    assert processes(3, lambda: load_own(config)) == [one] * 3


def test_weights_of_all_shares_are_added(tmp_path, processes):
    config = written("rows.parquet", tmp_path, table(times=dict.fromkeys(range(300), 0.0)))
    found = processes(3, lambda: load_own(config).weight)
    assert [np.flatnonzero(weight)[0] for weight in found] == [301] * 3


def test_levels_of_all_shares_are_counted(tmp_path, processes, monkeypatch):
    monkeypatch.setattr(learner, "MOST_LEVELS", 90)  # no share has so many of the 101
    config = written("rows.parquet", tmp_path)
    found = processes(3, lambda: load_own(config))
    assert len({*found}) == 1
    assert "column 'street' has more than 90 different values up to row 333" in found[0]


@pytest.mark.parametrize("n", [None, 1000])
def test_moments_do_not_depend_on_pieces(n, monkeypatch):
    monkeypatch.setattr("jaxlr.data.shares._LEAST_ROWS", 200)
    monkeypatch.setattr("jaxlr.data.moments._CELL_VALUES", 96)  # four cells of 64 rows in a block
    X = np.random.default_rng(0).normal([0, 1e9, 1], size=(1000, 3))
    X[::7, 0], X[:, 2] = np.nan, 0.1
    found = []
    for size in (1000, 64, 37, 1):
        moments = BlockMoments(3, n)
        for start in range(0, 1000, size):
            piece = X[start : start + size]
            for rows, room in moments.rooms(start, len(piece)):
                room[:] = piece[rows]
        found.append(moments.total().numbers())
    assert all((other == found[0]).all() for other in found[1:])
    total = moments.total()
    np.testing.assert_allclose(total.mean(), np.nanmean(X, axis=0), rtol=1e-13)
    np.testing.assert_allclose(total.scale()[:2], np.nanstd(X, axis=0)[:2], rtol=1e-12)
    assert total.scale()[2] == 0
