"""Rows in: what is read, and what is refused with which words."""

import jax
import numpy as np
import pytest

from jaxlr import data


def csv(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_breast_cancer_is_the_published_set(dtype):
    rows = data.load("breast_cancer", dtype=dtype)
    assert rows.X.shape == (569, 30)
    assert rows.X.dtype == rows.y.dtype == dtype
    assert rows.labels == ("malignant", "benign")
    assert (np.sum(rows.y == 0), np.sum(rows.y == 1)) == (212, 357)
    turned = data.load("breast_cancer", positive="malignant")
    assert turned.labels == ("benign", "malignant")
    assert turned.y.sum() == 212


def test_jax_takes_aligned_rows_without_a_copy():
    X = data.aligned_empty((10_000, 7), np.float32)
    X[:] = 1
    assert jax.device_put(X).unsafe_buffer_pointer() == X.ctypes.data
    rows = data.load("breast_cancer")
    assert jax.device_put(rows.X).unsafe_buffer_pointer() == rows.X.ctypes.data


LABELS = {
    "text": ("b\na\nb", [1, 0, 1], ("a", "b")),
    "-1 and 1": ("-1\n1\n1", [0, 1, 1], ("-1", "1")),
    "0 and 1": ("0\n1\n1", [0, 1, 1], ("0", "1")),
    "soft": ("0.25\n1\n0.5", [0.25, 1, 0.5], ("0", "1")),
    "booleans": ("true\nfalse\ntrue", [1, 0, 1], ("false", "true")),
    "quoted": ('"x, y"\nz\nz', [0, 1, 1], ("x, y", "z")),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_mapped_and_named(tmp_path, kind):
    column, y, labels = LABELS[kind]
    lines = ["id,f,y"] + [f"{i},{i * 1.5},{v}" for i, v in enumerate(column.split("\n"))]
    rows = data.load(csv(tmp_path, "\n".join(lines)), target="y", exclude=["id"])
    assert rows.y.tolist() == y
    assert rows.labels == labels
    assert rows.features == ("f",)
    assert rows.X.tolist() == [[0.0], [1.5], [3.0]]


BAD = {
    "gap": ("a,b,y\n1,2,x\n3,,z\n", r"column 'b' has no value in row 2 \(1 of 2 rows\)"),
    "label gap": ("a,y\n1,r\n2,\n3,s", r"column 'y' has no value in row 2"),
    "text": ("a,b,y\n1,2,x\n3,q,z\n", r"column 'b' holds 'q' in row 2, no number.*--exclude"),
    "date": ("a,y\n2024-01-01,r\n2024-01-01,s\n", r"column 'a' holds '2024-01-01' in row 1"),
    "inf": ("a,b,y\n1,2,x\n3,inf,z\n", r"column 'b' is inf in row 2"),
    "too large": ("a,y\n1,r\n1e300,s", r"column 'a' is 1e\+300 in row 2, not finite as float32"),
    "no target": ("a,b\n1,2\n", r"no column 'y'; there are 'a', 'b'"),
    "no header": ("1,2\n3,4\n", r"the first line must name the columns"),
    "ragged": ("a,b,y\n1,2,x\n1,2\n", r"row 2 has 2 values, but the header names 3 columns"),
    "empty": ("", r"Empty CSV file"),
    "header only": ("a,y\n", r"no row below the header"),
    "twice": ("a,a,y\n1,2,r\n2,3,s", r"twice: 'a'"),
    "three labels": ("a,y\n1,r\n2,s\n3,t\n", r"3 different labels \('r', 's', 't'\)"),
    "one label": ("a,y\n1,r\n2,r\n", r"column 'y' is 'r' in every row: there is nothing to learn"),
    "one soft label": ("a,y\n1,0.5\n2,0.5\n", r"column 'y' is 0.5 in every row"),
    "semicolons": ("a;b;y\n1;2;x\n3;4;z\n", r"separated by semicolons: save the file with commas"),
    "decimal commas": ("a;y\n1,5;x\n3,5;z\n", r"separated by semicolons"),
    "tabs": ("a\ty\n1\tx\n3\tz\n", r"separated by tabs"),
    "index": (",a,y\n0,1,r\n1,2,s\n", r"column 1 has no name.*--exclude ''"),
    "no features": ("y\nr\ns\n", r"no column is left for the features"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_place(tmp_path, case):
    text, message = BAD[case]
    path = csv(tmp_path, text)
    with pytest.raises(data.DataError, match=message) as caught:
        data.load(path, target="y")
    assert str(caught.value).startswith(str(path))


def test_a_gap_in_the_target_does_not_advise_to_exclude_it(tmp_path):
    with pytest.raises(data.DataError, match=r"drop such rows$"):
        data.load(csv(tmp_path, BAD["label gap"][0]), target="y")


def read_features(path, features, ignore=()):
    """Read as `jaxlr predict` does: the columns that a model knows, without labels."""
    encoding = data.Encoding(tuple(data.Number(name) for name in features))
    options = {"encoding": encoding, "exclude": ignore, "labelled": False, "dtype": np.float64}
    return np.concatenate([block.X for block in data.open_stream(path, **options).blocks()])


def test_an_index_without_a_name_can_be_excluded(tmp_path):
    path = csv(tmp_path, BAD["index"][0])
    assert data.load(path, target="y", exclude=[""]).features == ("a",)
    assert read_features(path, ["a"], ignore=["", "y"]).tolist() == [[1], [2]]
    with pytest.raises(data.DataError, match="column 1 has no name"):
        read_features(path, ["a"], ignore=["y"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_utf_16_is_refused_by_its_name(tmp_path, encoding):
    path = tmp_path / "wide.csv"
    path.write_bytes("a,b,y\n1,2,r\n".encode(encoding))
    with pytest.raises(data.DataError, match="UTF-16"):
        data.load(path, target="y")


def test_a_target_for_the_built_in_set_asks_for_the_file():
    with pytest.raises(data.DataError, match="To use a file, name it"):
        data.load("breast_cancer", target="y")


def test_the_path_of_a_file_holds_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data.absolute("rows.csv") == str(tmp_path / "rows.csv")
    assert data.absolute("breast_cancer") == "breast_cancer"
    (tmp_path / "breast_cancer").touch()
    assert data.absolute("breast_cancer") == str(tmp_path / "breast_cancer")


@pytest.mark.parametrize("content", [b"\xe9,y\n1,a\n2,b\n", b"a,y\n1,\xe9\n2,b\n"])
def test_other_encodings_are_refused(tmp_path, content):
    path = tmp_path / "latin.csv"
    path.write_bytes(content)
    with pytest.raises(data.DataError, match="not UTF-8"):
        data.load(path, target="y")


def test_wrong_settings_are_refused(tmp_path):
    path = csv(tmp_path, "a,y\n1,r\n2,s\n")
    with pytest.raises(data.DataError, match="name the column of the labels"):
        data.load(path)
    with pytest.raises(data.DataError, match="cannot be excluded"):
        data.load(path, target="y", exclude=["y"])
    with pytest.raises(data.DataError, match="no 't'"):
        data.load(path, target="y", positive="t")
    with pytest.raises(data.DataError, match="no such file"):
        data.load(tmp_path / "none.csv", target="y")


def test_features_are_found_by_name_in_any_order(tmp_path):
    path = csv(tmp_path, "b,y,a\n1,r,2\n3,s,4\n")
    assert read_features(path, ["a", "b"], ignore={"y"}).tolist() == [[2, 1], [4, 3]]
    with pytest.raises(data.DataError, match="no column 'c'"):
        read_features(path, ["a", "c"])
    with pytest.raises(data.DataError, match="does not know the columns 'b', 'y'"):
        read_features(path, ["a"])


def test_split_is_stratified_complete_and_reproducible():
    y = data.load("breast_cancer").y
    rest, part = data.split(y, 0.2, seed=3)
    assert (len(rest), len(part)) == (455, 114)
    assert abs(y[part].mean() - y.mean()) < 0.005
    assert sorted([*rest, *part]) == list(range(569))
    assert np.array_equal(data.split(y, 0.2, seed=3)[1], part)
    assert not np.array_equal(data.split(y, 0.2, seed=4)[1], part)


@pytest.mark.parametrize("y", [[1], [0, 1], [0, 1, 1, 1, 1, 1]])
def test_too_few_rows_to_split_are_counted_in_our_words(y):
    ones = sum(y)
    with pytest.raises(data.DataError) as caught:
        data.split(np.array(y, float), 0.2, seed=0)
    assert f"({len(y) - ones} of label 0, {ones} of label 1) are too few" in str(caught.value)
    assert "stratify" not in str(caught.value)
    assert "n_samples" not in str(caught.value)


def dataset(X):
    return data.Dataset(X, np.zeros(len(X)), tuple("abc")[: X.shape[1]], ("0", "1"), "rows")


def test_a_large_offset_survives_standardising(monkeypatch):
    monkeypatch.setattr("jaxlr.data.dataset._BLOCK_BYTES", 1000)
    rng = np.random.default_rng(0)
    X = np.c_[1.7e9 + np.arange(5000) / 2, rng.normal(size=5000), np.full(5000, 0.1)]
    index = rng.permutation(5000)[:4000]
    mean, scale = dataset(X).moments(index)
    np.testing.assert_allclose(mean, X[index].mean(0), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(scale[:2], X[index, :2].std(0), rtol=1e-12)
    assert (mean[2], scale[2]) == (0.1, 1)
    rows = dataset(X).rows(index, mean=mean, scale=scale, dtype=np.float32)
    assert rows.X.dtype == rows.y.dtype == np.float32
    np.testing.assert_allclose(rows.X[:, 0], (index - index.mean()) / index.std(), atol=1e-6)
    assert not rows.X[:, 2].any()


def test_a_value_too_large_for_the_type_is_named():
    X = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 1e300]])
    with pytest.raises(data.DataError, match=r"column 'b' is 1e\+300 in row 3, too large.*float32"):
        dataset(X).rows(np.array([0, 2]), dtype=np.float32)
    with pytest.raises(data.DataError, match="column 'b' is too large to standardise"):
        dataset(X).moments(np.arange(3))
