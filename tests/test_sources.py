"""Sources of all formats: the same rows whole, in blocks, from any row on, and by number."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import fsspec
import jax
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from sklearn.datasets import dump_svmlight_file

from jaxlr import data

N, D = 4000, 5
FORMATS = ["csv", "parquet", "folder", "npz", "compressed npz", "npy", "fortran npy", "libsvm"]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D)) * [1, 1, 1e-3, 1e3, 1] + [0, 1e6, 0, 0, 0]
    X[:, 4] = 0.1
    return X, (rng.random(N) < 0.4).astype(float), rng.random(N)


@pytest.fixture(scope="module")
def files(rows, tmp_path_factory):
    """Write the rows in each format; tell the path and the settings."""
    folder = tmp_path_factory.mktemp("rows")
    X, y, weight = rows
    table = pa.table({**{f"x{j}": X[:, j] for j in range(D)}, "y": y, "s": weight})
    csv.write_csv(table, folder / "a.csv")
    parquet.write_table(table, folder / "a.parquet", row_group_size=700)
    for i in range(3):
        part = folder / "parts" / f"part-{i}.parquet"
        part.parent.mkdir(exist_ok=True)
        parquet.write_table(table.slice(1500 * i, 1500), part, row_group_size=400)
    (folder / "parts" / "_SUCCESS").touch()
    np.savez(folder / "a.npz", X=X, y=y, sample_weight=weight)
    np.savez_compressed(folder / "b.npz", X=X, y=y, sample_weight=weight)
    for name, v in {"X": X, "F": np.asfortranarray(X), "y": y, "s": weight}.items():
        np.save(folder / f"{name}.npy", v)
    dump_svmlight_file(X, y, str(folder / "a.libsvm"), zero_based=False)
    named = {"target": "y", "weight": "s"}
    beside = {"target": str(folder / "y.npy"), "weight": str(folder / "s.npy")}
    return {
        "csv": (folder / "a.csv", named),
        "parquet": (folder / "a.parquet", named),
        "folder": (folder / "parts", named),
        "npz": (folder / "a.npz", {}),
        "compressed npz": (folder / "b.npz", {}),
        "npy": (folder / "X.npy", beside),
        "fortran npy": (folder / "F.npy", beside),
        "libsvm": (folder / "a.libsvm", {}),
    }


@pytest.fixture
def small_pieces(monkeypatch):
    """Many pieces, also of small files."""
    monkeypatch.setattr("jaxlr.data.sources.csv._PIECE", 20_000)
    monkeypatch.setattr("jaxlr.data.sources.svmlight._PIECE", 20_000)
    monkeypatch.setattr("jaxlr.data.numbers._CHUNK_BYTES", 5_000)


def opened(files, form, **settings):
    path, named = files[form]
    return data.open_stream(path, dtype=np.float64, **named, **settings)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_rows_in_equal_blocks(files, rows, small_pieces, form):
    X, y, weight = rows
    stream = opened(files, form, block_rows=613)
    assert (stream.n, stream.d, stream.block_rows) == (N, D, 613)
    for start in (0, 1234, 3999, 4000):
        blocks = list(stream.blocks(start))
        sizes = [len(block.X) for block in blocks]
        assert sizes == [613] * ((N - start) // 613) + [(N - start) % 613] * (start < N)
        assert [block.start for block in blocks] == list(range(start, N, 613))
        for block in blocks:
            at = slice(block.start, block.start + len(block.X))
            np.testing.assert_allclose(block.X, X[at], rtol=1e-14)  # libsvm: 16 digits
            np.testing.assert_array_equal(block.y, y[at])
            assert block.X.ctypes.data % 64 == 0
            if form == "libsvm":
                assert block.weight is None
            else:
                np.testing.assert_array_equal(block.weight, weight[at])


@pytest.mark.parametrize("form", FORMATS)
def test_rows_are_taken_by_number_in_the_order_asked_for(files, rows, small_pieces, form):
    stream = opened(files, form, memory=80_000)
    for index in ([5, 3999, 0, 2000, 5], np.arange(N)[::-1], []):
        taken = stream.take(index)
        np.testing.assert_allclose(taken.X, rows[0][index].reshape(-1, D), rtol=1e-14)
        np.testing.assert_array_equal(taken.y, rows[1][index])
        assert taken.encoding == stream.encoding
    with pytest.raises(data.DataError, match="no row 4000, of 4000"):
        stream.take([4000])


@pytest.mark.parametrize("form", ["csv", "folder", "npy", "libsvm"])
def test_whole_and_streamed_are_the_same(files, rows, small_pieces, form):
    path, named = files[form]
    stream, whole = opened(files, form), data.load(path, dtype=np.float64, **named)
    (block,) = stream.blocks()
    np.testing.assert_array_equal(whole.X, block.X)
    assert whole.features == stream.features
    assert whole.labels == stream.labels == ("0", "1")
    assert whole.encoding == stream.encoding
    if form == "libsvm":
        assert stream.features == ("1", "2", "3", "4", "5")
    else:
        np.testing.assert_array_equal(whole.weight, rows[2])


@pytest.mark.parametrize("form", ["csv", "npz"])
def test_moments_are_those_of_all_rows_at_once(files, rows, small_pieces, form):
    stream = opened(files, form)
    mean, scale = stream.moments()
    np.testing.assert_allclose(mean, rows[0].mean(0), rtol=1e-12)
    np.testing.assert_allclose(scale[:4], rows[0][:, :4].std(0), rtol=1e-12)
    assert (mean[4], scale[4]) == (0.1, 1)  # constant
    given = data.open_stream(files["npz"][0], encoding=stream.encoding, dtype=np.float64)
    np.testing.assert_allclose(given.moments(), stream.moments(), rtol=1e-12)


def test_rows_are_standardised_before_they_lose_digits(files, rows):
    path, named = files["parquet"]
    stream = data.open_stream(path, block_rows=N, **named)  # float32
    mean, scale = stream.moments()
    (block,) = stream.blocks(mean=mean, scale=scale)
    expected = (rows[0] - rows[0].mean(0)) / rows[0].std(0)
    np.testing.assert_allclose(block.X[:, :4], expected[:, :4], atol=1e-6)
    assert block.X.dtype == np.float32
    assert not block.X[:, 4].any()
    np.testing.assert_array_equal(stream.take([7], mean=mean, scale=scale).X[0], block.X[7])


def test_jax_takes_a_block_without_a_copy(files):
    block = next(opened(files, "csv", block_rows=1000).blocks())
    with jax.enable_x64(True):
        assert jax.device_put(block.X).unsafe_buffer_pointer() == block.X.ctypes.data


def test_only_the_row_groups_from_the_start_on_are_read(files, monkeypatch):
    path, named = files["folder"]
    stream, asked = data.open_stream(path, **named), []
    read = parquet.ParquetFile.iter_batches
    monkeypatch.setattr(
        parquet.ParquetFile,
        "iter_batches",
        lambda self, *args, **more: asked.append(more["row_groups"]) or read(self, *args, **more),
    )
    list(stream.blocks(2400))  # in the file of the rows from 1500 on, after two groups of 400
    assert asked == [[2, 3], [0, 1, 2]]
    asked.clear()
    stream.take([3100, 1, 3200])
    assert asked == [[0, 1, 2, 3], [0, 1, 2]]  # of the first and the last file


def test_csv_is_not_parsed_before_the_start_once_it_was_read(files, small_pieces, monkeypatch):
    from jaxlr.data.sources import csv as ours

    stream, sizes = opened(files, "csv"), []
    parse = ours.parse
    monkeypatch.setattr(
        ours, "parse", lambda text, *more: sizes.append(len(text)) or parse(text, *more)
    )
    rows = [block.start for block in stream.blocks(3900)]
    assert rows == [3900]
    assert 0 < sum(sizes) < 40_000 < Path(files["csv"][0]).stat().st_size


def test_an_npz_is_mapped_not_read(files):
    from jaxlr.data.sources.arrays import ArraySource

    assert isinstance(ArraySource(files["npz"][0]).X, np.memmap)
    assert isinstance(ArraySource(files["fortran npy"][0]).X, np.memmap)


@pytest.mark.parametrize("kind", [">f8", "<f4", ">i4", "u1", "?", "<f2"])
def test_arrays_of_any_real_type_and_byte_order_are_read(tmp_path, kind):
    X = np.array([[0, 1], [1, 0], [1, 1]]).astype(kind)
    np.savez(tmp_path / "a.npz", X=X, y=np.array(["b", "a", "b"]), features=["p", "q"])
    rows = data.load(tmp_path / "a.npz")
    assert rows.X.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert (rows.y.tolist(), rows.labels) == ([1, 0, 1], ("a", "b"))
    assert rows.features == ("p", "q")


def test_a_url_of_fsspec_is_read(rows):
    import fsspec

    memory = fsspec.filesystem("memory")
    table = pa.table({"a": rows[0][:, 0], "y": rows[1]})
    for i in (0, 1):
        with memory.open(f"/jaxlr/set/{i}.parquet", "wb") as file:
            parquet.write_table(table.slice(i * 2500, 2500), file)
    with memory.open("/jaxlr/a.csv", "wb") as file:
        csv.write_csv(table, file)
    for url in ("memory://jaxlr/set", "memory://jaxlr/a.csv"):
        (block,) = data.open_stream(url, target="y", dtype=np.float64).blocks()
        np.testing.assert_array_equal(block.X[:, 0], rows[0][:, 0])
        assert data.absolute(url) == url
    with pytest.raises(data.DataError, match=r"memory://jaxlr/none.csv: no such file$"):
        data.open_stream("memory://jaxlr/none.csv", target="y")


def test_columns_are_chosen_by_name(files):
    path, named = files["csv"]
    assert data.load(path, **named, columns=["x3", "x1"]).features == ("x1", "x3")
    rows = data.load(path, **named, exclude=["x0"], columns=["x0", "x1"])
    assert rows.features == ("x1",)
    assert rows.encoding.exclude == ("x0", "x2", "x3", "x4")
    assert data.load(path, target="y").features[-1] == "s"  # no weight without being asked


def test_the_index_of_pandas_is_no_column_and_points_in_names_are_taken_as_they_are(tmp_path):
    names = ["a.b", "__index_level_0__", "y"]
    columns = [pa.array([3.0, 4.0]), pa.array([0, 1]), pa.array([0, 1])]
    parquet.write_table(pa.Table.from_arrays(columns, names), tmp_path / "a.parquet")
    rows = data.load(tmp_path / "a.parquet", target="y")
    assert (rows.features, rows.X.tolist()) == (("a.b",), [[3], [4]])


def test_libsvm_counts_columns_from_0_where_there_is_a_0(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("+1 0:2 3:1.5\n-1 1:1 # a comment\n\n1 3:4\n")
    rows = data.load(path)
    assert rows.features == ("0", "1", "2", "3")
    assert rows.X.tolist() == [[2, 0, 0, 1.5], [0, 1, 0, 0], [0, 0, 0, 4]]
    assert (rows.y.tolist(), rows.labels) == ([1, 0, 1], ("-1", "1"))
    path.write_text("1 1:1\n-1 0:7\n")  # a file that has not all columns of the model
    assert data.load(path, encoding=rows.encoding).X.tolist() == [[0, 1, 0, 0], [7, 0, 0, 0]]
    path.write_text("1 4:1\n-1 1:7\n")
    with pytest.raises(data.DataError, match="does not know the columns '4'"):
        data.load(path, encoding=rows.encoding)


MEMORY = """
import json, sys, tracemalloc
import pyarrow as pa
from jaxlr import data
path, memory = sys.argv[1], int(sys.argv[2])
import numpy, pandas, pyarrow.parquet  # pandas, for pyarrow reads it where it is
tracemalloc.start()
before = tracemalloc.get_traced_memory()[0]
stream = data.open_stream(path, target="y", memory=memory)
total = sum(float(block.y.sum()) for block in data.prefetch(stream.blocks()))
peak = tracemalloc.get_traced_memory()[1] - before
print(json.dumps([total, peak, pa.default_memory_pool().max_memory(), stream.n, stream.d]))
"""


def test_twenty_times_the_memory_streams_within_it(tmp_path):
    memory, rng = 2_000_000, np.random.default_rng(0)
    table = pa.table({f"x{j}": rng.standard_normal(100_000, np.float32) for j in range(9)})
    y = (rng.random(100_000) < 0.5).astype(np.float32)
    table = table.append_column("y", pa.array(y))
    for i in range(10):
        parquet.write_table(
            table, tmp_path / f"{i}.parquet", row_group_size=20_000, use_dictionary=False
        )
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), str(memory)],
        capture_output=True,
        text=True,
        check=True,
    )
    total, blocks, arrow, n, d = json.loads(done.stdout)
    assert (total, n, d) == (10 * y.sum(), 1_000_000, 9)
    assert n * (d + 1) * 4 >= 20 * memory
    assert blocks < memory
    page = 20_000 * 4  # of each column one, packed and unpacked, and a buffer of the file
    assert arrow < memory // 4 + (d + 1) * (2 * page + (1 << 16))


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_written_after_it_was_opened_is_named(files, form):
    path, settings = files[form]
    written = {"folder": path / "part-1.parquet", "npy": path.parent / "y.npy"}.get(form, path)
    stream = data.open_stream(path, **settings, block_rows=1000)
    blocks = stream.blocks()
    next(blocks)
    os.utime(written, ns=(1, written.stat().st_mtime_ns + 1))  # as large as before
    with pytest.raises(data.DataError, match=rf"{re.escape(str(written))}: .*changed since"):
        list(blocks)
    with pytest.raises(data.DataError, match="changed since"):
        next(stream.blocks())
    with pytest.raises(data.DataError, match="changed since"):
        stream.take([1])
    assert len(list(data.open_stream(path, **settings, block_rows=N).blocks())) == 1


def test_a_url_written_after_it_was_opened_is_named():
    system = fsspec.filesystem("memory")
    system.pipe("/changing.csv", b"a,y\n1,0\n2,1\n")
    stream = data.open_stream("memory://changing.csv", target="y")
    assert len(list(stream.blocks())) == 1
    system.pipe("/changing.csv", b"a,y\n3,0\n2,1\n")
    with pytest.raises(data.DataError, match=r"memory://changing.csv: .*changed since"):
        list(stream.blocks())
