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
    "one label": ("a,y\n1,r\n2,r\n", r"1 different labels"),
    "no features": ("y\nr\ns\n", r"no column is left for the features"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_place(tmp_path, case):
    text, message = BAD[case]
    path = csv(tmp_path, text)
    with pytest.raises(data.DataError, match=message) as caught:
        data.load(path, target="y")
    assert str(caught.value).startswith(str(path))


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
    assert data.read_features(path, ["a", "b"], ignore={"y"}).tolist() == [[2, 1], [4, 3]]
    with pytest.raises(data.DataError, match="no column 'c'"):
        data.read_features(path, ["a", "c"])
    with pytest.raises(data.DataError, match="does not know the columns 'b', 'y'"):
        data.read_features(path, ["a"])


def test_split_is_stratified_complete_and_reproducible():
    rows = data.load("breast_cancer")
    rest, part = data.split(rows, 0.2, seed=3)
    assert (len(rest.y), len(part.y)) == (455, 114)
    assert abs(part.y.mean() - rows.y.mean()) < 0.005
    together = np.concatenate([rest.X, part.X])
    assert sorted(map(tuple, together)) == sorted(map(tuple, rows.X))
    assert np.array_equal(data.split(rows, 0.2, seed=3)[1].X, part.X)
    assert not np.array_equal(data.split(rows, 0.2, seed=4)[1].X, part.X)
    with pytest.raises(data.DataError, match="cannot be split"):
        data.split(rows.rows(np.arange(1)), 0.2, seed=0)
