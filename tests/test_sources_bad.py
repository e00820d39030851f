"""Files that cannot be used: one message each, that says where and why."""

import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from jaxlr import data

A, Y = [1.0, 2.0, 3.0, 4.0], ["r", "s", "r", "s"]
BAD = {}


def bad(message, **settings):
    """Declare a case: a function that writes it into a folder, and what is said about it."""

    def declare(make):
        BAD[make.__name__.removeprefix("_").replace("_", " ")] = (make, message, settings)
        return make

    return declare


def table(path, **columns):
    parquet.write_table(pa.table(columns), path)
    return path


def text(path, content):
    path.write_text(content)
    return path


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


@bad(r"a.parquet: damaged, or no Parquet file")
def _truncated_parquet(folder):
    path = table(folder / "a.parquet", a=A, y=Y)
    path.write_bytes(path.read_bytes()[:-20])
    return path


@bad(r"a.parquet: damaged, or no Parquet file")
def _parquet_with_a_broken_page(folder):
    path = folder / "a.parquet"
    rng = np.random.default_rng(0)
    parquet.write_table(pa.table({"a": rng.random(1000), "y": [0, 1] * 500}), path)
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    return path


@bad(r"a.parquet: damaged, or no Parquet file")
def _parquet_that_is_text(folder):
    return text(folder / "a.parquet", "a,y\n1,r\n")


@bad(r"a.parquet: there is no row in it")
def _parquet_without_rows(folder):
    return table(folder / "a.parquet", a=pa.array([], pa.float64()), y=pa.array([], pa.string()))


@bad(r"a.parquet: column 'a' has no value in row 3\. Fill in or drop such rows, or leave")
def _nan_in_the_middle(folder):
    return table(folder / "a.parquet", a=[1.0, 2.0, np.nan, 4.0], y=Y)


@bad(r"a.parquet: column 'a' is -inf in row 2, not finite as float32")
def _infinite(folder):
    return table(folder / "a.parquet", a=[1.0, -np.inf, 2.0, 4.0], y=Y)


@bad(r"a.parquet: column 'a' is 1e\+39 in row 4, not finite as float32")
def _too_large_for_the_type(folder):
    return table(folder / "a.parquet", a=[1.0, 0.0, 2.0, 1e39], y=Y)


@bad(r"a.parquet: column 'b' holds 'x' in row 1, no number.*--exclude 'b'")
def _text_in_a_parquet_column(folder):
    return table(folder / "a.parquet", a=A, b=["x", "1", "2", "3"], y=Y)


@bad(r"a.parquet: column 'b' holds .* in row 1, no number")
def _nested_column(folder):
    return table(folder / "a.parquet", a=A, b=[[1.0], [2.0], [], [3.0]], y=Y)


@bad(r"a.parquet: several columns are called 'a'")
def _columns_of_one_name(folder):
    path = folder / "a.parquet"
    parquet.write_table(pa.Table.from_arrays([pa.array(A)] * 3, ["a", "a", "y"]), path)
    return path


@bad(r"no file in this folder ends with .parquet or .pq")
def _folder_without_parquet(folder):
    (folder / "set").mkdir()
    text(folder / "set" / "rows.csv", "a,y\n1,r\n")
    return folder / "set"


@bad(r"2.parquet: it has no column 'a' and the further column 'b', other than .*1.parquet")
def _folder_of_mixed_columns(folder):
    (folder / "set").mkdir()
    table(folder / "set" / "1.parquet", a=A, y=Y)
    table(folder / "set" / "2.parquet", b=A, y=Y)
    return folder / "set"


@bad(r"2.parquet: it has column 'a' as text, which is numbers there, other than .*1.parquet")
def _folder_of_mixed_types(folder):
    (folder / "set").mkdir()
    table(folder / "set" / "1.parquet", a=A, y=Y)
    table(folder / "set" / "2.parquet", a=Y, y=Y)
    return folder / "set"


@bad(r"2.parquet: column 'a' has no value in row 2")
def _gap_in_the_second_file(folder):
    (folder / "set").mkdir()
    table(folder / "set" / "1.parquet", a=A, y=Y)
    table(folder / "set" / "2.parquet", a=[1, None, 3, 4], y=Y)
    return folder / "set"


@bad(r"subfolders hold a column in their names \('year=2020'\)")
def _partitioned_folder(folder):
    (folder / "set" / "year=2020").mkdir(parents=True)
    table(folder / "set" / "year=2020" / "1.parquet", a=A, y=Y)
    return folder / "set"


LONG = "a,b,y\n" + "1,2,r\n1,2,s\n" * 50_000


@bad(r"rows.csv: row 100000 has 2 values, but the header names 3 columns: '1,2'")
def _wrong_count_far_down(folder):
    return text(folder / "rows.csv", LONG[: -len("1,2,s\n")] + "1,2\n" + "1,2,s\n" * 10)


@bad(r"rows.csv: column 'b' holds 'q' in row 100001, no number")
def _text_far_down(folder):
    return text(folder / "rows.csv", LONG + "1,q,s\n")


@bad(r"rows.csv: column 'b' holds 'maybe' in row 100001, no number")
def _no_boolean_far_down(folder):
    return text(folder / "rows.csv", LONG.replace(",2,", ",true,") + "1,maybe,s\n")


@bad(r"rows.csv: column 'b' is -inf in row 100001, not finite as float32")
def _infinite_far_down(folder):
    return text(folder / "rows.csv", LONG + "1,-inf,s\n")


@bad(r"rows.csv: column 'b' has no value in row 100001")
def _gap_far_down(folder):
    return text(folder / "rows.csv", LONG + "1,,s\n")


@bad(r"rows.csv: column 'y' is not UTF-8 in row 100001")
def _other_encoding_far_down(folder):
    path = folder / "rows.csv"
    path.write_bytes(LONG.encode() + "1,2,é\n".encode("latin-1"))
    return path


@bad(r"rows.csv: column 'b' holds '1_0' in row 100001, no number")
def _number_of_python_only(folder):
    return text(folder / "rows.csv", LONG + "1,1_0,s\n")


@bad(r"rows.csv: its lines end with \\r alone")
def _lines_of_an_old_kind(folder):
    return text(folder / "rows.csv", "a,y\r1,r\r2,s\r")


@bad(r"rows.csv: no such file")
def _pipe(folder):
    os.mkfifo(folder / "rows.csv")
    return folder / "rows.csv"


@bad(r"rows.csv: not readable as CSV: Empty CSV file")
def _empty_file(folder):
    return text(folder / "rows.csv", "")


@bad(r"set: a folder is read as Parquet; of CSV, name one file", form="csv")
def _folder_as_csv(folder):
    (folder / "set").mkdir()
    text(folder / "set" / "rows.csv", "a,y\n1,r\n")
    return folder / "set"


@bad(r"no column 'z'; there are 'a', 'y'", target="z")
def _no_such_target(folder):
    return table(folder / "a.parquet", a=A, y=Y)


@bad(r"no column 'z', 'q'; there are", exclude=["z"], categorical=["q"])
def _no_such_columns(folder):
    return table(folder / "a.parquet", a=A, y=Y)


@bad(r"column 'y' is 'r' in every row")
def _one_class(folder):
    return table(folder / "a.parquet", a=A, y=["r"] * 4)


@bad(r"column 'y' holds 3 different labels \(1, 2, 3\)")
def _three_classes(folder):
    return table(folder / "a.parquet", a=A, y=[1, 2, 3, 2])


@bad(r"column 'y' holds more than 20 different labels")
def _a_target_that_is_an_amount(folder):
    return table(folder / "a.parquet", a=[*range(99)], y=[*range(99)])


@bad(r"column 'y' has no value in row 2.*drop such rows$")
def _gap_in_the_target(folder):
    return table(folder / "a.parquet", a=A, y=[1, None, 0, 1])


@bad(r"column 'y' is inf in row 3, which is no label")
def _infinite_label(folder):
    return table(folder / "a.parquet", a=A, y=[1, 0, np.inf, 1])


@bad(r"column 'c' has more than 10000 different values up to row 10001", categorical=["c"])
def _too_many_levels(folder):
    n = 10_001
    return table(folder / "a.parquet", c=[str(i) for i in range(n)], y=[i % 2 for i in range(n)])


@bad(r"column 'c' has no value in row 2.*--exclude 'c'", categorical=["c"])
def _gap_in_a_category(folder):
    return table(folder / "a.parquet", c=["p", "", "q", "p"], y=Y)


@bad(r"column 'c' of type list.* cannot be categorical", categorical=["c"])
def _nested_category(folder):
    return table(folder / "a.parquet", c=[[1.0], [2.0], [], [3.0]], y=Y)


@bad(r"column 'a' is categorical as 0; it can be 'onehot', or a number", categorical={"a": 0})
def _no_buckets(folder):
    return table(folder / "a.parquet", a=A, y=Y)


@bad(r"missing is 'error', 'mean' or a number, not 'median'", missing="median")
def _unknown_way_to_fill(folder):
    return table(folder / "a.parquet", a=A, y=Y)


@bad(r"column 'a' has no value in any row: exclude it", missing="mean")
def _empty_column(folder):
    return table(folder / "a.parquet", a=pa.nulls(4), b=A, y=Y)


@bad(r"several features are called 'a:missing'", missing=0)
def _feature_names_that_meet(folder):
    return table(folder / "a.parquet", **{"a": [1, None, 2, 3], "a:missing": A}, y=Y)


@bad(r"column 's' is -1 in row 3: a weight cannot be negative", weight="s")
def _negative_weight(folder):
    return table(folder / "a.parquet", a=A, s=[1, 0, -1, 1], y=Y)


@bad(r"column 's' has no value in row 2", weight="s")
def _nan_weight(folder):
    return table(folder / "a.parquet", a=A, s=[1, np.nan, 1, 1], y=Y)


@bad(r"the weights in column 's' add up to 0", weight="s")
def _all_weights_zero(folder):
    return table(folder / "a.parquet", a=A, s=[0.0] * 4, y=Y)


@bad(r"the target 'y' cannot be the weights too", weight="y")
def _target_as_weight(folder):
    return table(folder / "a.parquet", a=A, y=Y)


@bad(r"a.npz: no array 'X'; there are 'Z', 'y'")
def _npz_without_X(folder):
    return saved(folder / "a.npz", Z=np.ones((2, 2)), y=[0, 1])


@bad(r"a.npz: name the column of the labels", target=None)
def _npz_without_y(folder):
    return saved(folder / "a.npz", X=np.ones((2, 2)))


class Evil:
    def __reduce__(self):
        return (os.system, ("touch " + str(Path(tempfile.gettempdir()) / "jaxlr-was-unpickled"),))


@bad(r"X.npy is damaged, or no array of numbers.*Pickled objects are never loaded")
def _pickled_array_in_an_npz(folder):
    return saved(folder / "a.npz", X=np.array([[Evil()]], object), y=[0])


@bad(r"X.npy is damaged, or no array of numbers.*Pickled objects are never loaded")
def _pickled_array_in_a_compressed_npz(folder):
    np.savez_compressed(folder / "a.npz", X=np.array([[Evil()]], object), y=[0])
    return folder / "a.npz"


@bad(r"a.npy: a.npy is damaged, or no array of numbers.*Pickled objects are never loaded")
def _pickle_called_npy(folder):
    (folder / "a.npy").write_bytes(pickle.dumps(Evil()))
    return folder / "a.npy"


@bad(r"a.npy is damaged, or no array of numbers")
def _truncated_npy(folder):
    np.save(folder / "a.npy", np.ones((100, 3)))
    content = (folder / "a.npy").read_bytes()
    (folder / "a.npy").write_bytes(content[:-8])
    return folder / "a.npy"


@bad(r"a.npz: damaged, or no npz file")
def _truncated_npz(folder):
    path = saved(folder / "a.npz", X=np.ones((100, 3)), y=np.ones(100))
    path.write_bytes(path.read_bytes()[:-40])
    return path


@bad(r"a.npz: damaged, or no npz file.*")
def _npz_with_a_flipped_bit(folder):
    path = folder / "a.npz"
    rng = np.random.default_rng(0)
    np.savez_compressed(path, X=rng.random((100, 3)), y=rng.integers(0, 2, 100))
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    return path


@bad(r"a.npz: X holds complex128, and real numbers are needed")
def _complex_numbers(folder):
    return saved(folder / "a.npz", X=np.ones((2, 2), complex), y=[0, 1])


@bad(r"a.npz: X has the shape \(4,\), and not \(n, d\)")
def _vector_as_X(folder):
    return saved(folder / "a.npz", X=np.ones(4), y=[0, 1, 0, 1])


@bad(r"a.npz: X of shape \(0, 3\) is empty")
def _empty_X(folder):
    return saved(folder / "a.npz", X=np.ones((0, 3)), y=np.ones(0))


@bad(r"a.npz: y has 3 values, and X 2 rows")
def _y_of_another_length(folder):
    return saved(folder / "a.npz", X=np.ones((2, 2)), y=[0, 1, 0])


@bad(r"a.npz: features is .* and 2 names are needed")
def _too_few_names(folder):
    return saved(folder / "a.npz", X=np.ones((2, 2)), y=[0, 1], features=["a"])


@bad(r"a.npz: column 'x1' has no value in row 2")
def _nan_in_an_npz(folder):
    return saved(folder / "a.npz", X=np.array([[1, 1], [1, np.nan]]), y=[0, 1])


@bad(r"a.npz: column 'x0' is inf in row 2, not finite as float32")
def _infinite_in_another_byte_order(folder):
    return saved(folder / "a.npz", X=np.array([[1], [np.inf]], ">f8"), y=[0, 1])


@bad(r"a.npz: column 'sample_weight' is 1e\+300 in row 2, not finite as float32")
def _weight_too_large_for_the_type(folder):
    return saved(folder / "a.npz", X=np.ones((2, 1)), y=[0, 1], sample_weight=[1, 1e300])


@bad(r"a.libsvm: line 3 has '2:x', and a label and column:value pairs are needed")
def _broken_line(folder):
    return text(folder / "a.libsvm", "1 1:2\n# note\n0 1:1 2:x\n")


@bad(r"a.libsvm: line 2 has 'yes', and a label")
def _label_that_is_text(folder):
    return text(folder / "a.libsvm", "1 1:2\nyes 1:1\n")


@bad(r"a.libsvm: there is no row in it")
def _libsvm_without_rows(folder):
    return text(folder / "a.libsvm", "# nothing\n")


@bad(r"a.libsvm: no row has a value")
def _libsvm_without_values(folder):
    return text(folder / "a.libsvm", "1\n0\n")


@bad(r"no format 'excel'; there are csv, parquet, npy, npz, libsvm", form="excel")
def _unknown_format(folder):
    return text(folder / "a.xls", "")


@bad(r"nosuch://rows.csv: fsspec does not read it \('nosuch'\)")
def _unknown_protocol(folder):
    return "nosuch://rows.csv"


@bad(r"memory://a.npy: NumPy's files are read from this machine only")
def _npy_from_afar(folder):
    import fsspec

    with fsspec.filesystem("memory").open("/a.npy", "wb") as file:
        np.save(file, np.ones((2, 2)))
    return "memory://a.npy"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Rows far down are not among those that decide the types of columns."""
    monkeypatch.setattr("jaxlr.data.sources.csv._PIECE", 50_000)


@pytest.mark.parametrize("case", BAD)
def test_it_is_refused_with_one_clear_message(tmp_path, case):
    make, message, settings = BAD[case]
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(data.DataError, match=message):
        data.open_stream(path, **{"target": "y", **settings})
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path(tempfile.gettempdir(), "jaxlr-was-unpickled").exists()


@pytest.mark.parametrize("case", ["text far down", "wrong count far down", "broken line"])
def test_loading_all_rows_says_the_same(tmp_path, case):
    make, message, settings = BAD[case]
    with pytest.raises(data.DataError, match=message):
        data.load(make(tmp_path), target="y", **settings)


def test_a_gap_far_down_is_counted_where_all_rows_are_in_memory(tmp_path):
    path = text(tmp_path / "rows.csv", LONG + "1,,s\n1,2,s\n1,,r\n")
    with pytest.raises(data.DataError, match=r"in row 100001 \(2 of 100003 rows\)\. Fill in"):
        data.load(path, target="y")


def test_a_file_that_may_not_be_read_is_named():
    """Root reads everything: its rights are put aside."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        locked = text(Path(folder, "rows.csv"), "a,y\n1,r\n2,s\n")
        closed = Path(folder, "closed")
        closed.mkdir()
        table(closed / "a.parquet", a=A, y=Y)
        for path in (locked, closed):
            path.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            for path in (locked, closed, closed / "a.parquet"):
                with pytest.raises(data.DataError, match=f"{path}: not readable: Permission"):
                    data.open_stream(path, target="y")
        finally:
            os.seteuid(user)
            closed.chmod(0o700)


def test_rows_that_turned_bad_after_the_first_pass_are_refused(tmp_path):
    path = text(tmp_path / "rows.csv", "a,y\n1,r\n2,s\n")
    stream = data.open_stream(path, target="y")
    text(path, "a,y\n1,r\n,s\n")
    with pytest.raises(data.DataError, match=r"rows.csv: the file has been changed"):
        list(stream.blocks())
    stream._source.note_files()  # as if its size and time had not told
    with pytest.raises(data.DataError, match=r"column 'a' has no value in row 2"):
        list(stream.blocks())


def test_a_stream_of_no_block_is_refused(tmp_path):
    path = text(tmp_path / "rows.csv", "a,y\n1,r\n2,s\n")
    for name in ("memory", "block_rows"):
        with pytest.raises(data.DataError, match=f"{name} is 0; it must be at least 1"):
            data.open_stream(path, target="y", **{name: 0})
    with pytest.raises(data.DataError, match="no row -1"):
        list(data.open_stream(path, target="y").blocks(-1))


def test_a_zip_of_something_else_is_no_npz(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("X.npy", "not an array")
    with pytest.raises(data.DataError, match=r"X.npy is damaged, or no array of numbers"):
        data.load(tmp_path / "a.npz")
