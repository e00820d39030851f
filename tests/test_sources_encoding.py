"""Encodings: what is learned from training rows, written down, and done to any other rows."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.preprocessing import OneHotEncoder

from jaxlr import data

TEXT = """age,city,zip,flag,won
30,Oslo,0150,true,no
,Rome,0200,false,yes
50,Oslo,0150,true,yes
40,,0300,true,no
"""
SETTINGS = dict(
    target="won", categorical={"city": "onehot", "zip": 8}, missing={"age": "mean", "city": "mean"}
)
# CRC-32 as gzip writes it behind each of these texts, modulo 8.
BUCKETS = {"0150": 1882085888 % 8, "0200": 253693980 % 8, "0300": 249395755 % 8}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(TEXT)
    return path


def write(path, text):
    path.write_text(text)
    return path


def test_columns_become_numbers_flags_levels_and_buckets(path):
    rows = data.load(path, **SETTINGS)
    buckets = tuple(f"zip#{i}" for i in range(8))
    assert rows.features == (
        "age", "flag", "city=Oslo", "city=Rome", *buckets, "age:missing", "city:missing",
    )  # fmt: skip
    numbers, city, hashed, flags = np.split(rows.X, [2, 4, 12], axis=1)
    assert numbers.tolist() == [[30, 1], [40, 0], [50, 1], [40, 1]]
    assert city.tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]
    assert hashed.argmax(1).tolist() == [BUCKETS[code] for code in ("0150", "0200", "0150", "0300")]
    assert hashed.sum(1).tolist() == [1, 1, 1, 1]
    assert flags.tolist() == [[0, 0], [1, 0], [0, 0], [0, 1]]
    assert rows.labels == ("no", "yes")
    (block,) = data.open_stream(path, **SETTINGS).blocks()
    np.testing.assert_array_equal(block.X, rows.X)


def test_moments_of_filled_and_categorical_columns_are_those_of_their_features(path):
    stream = data.open_stream(path, dtype=np.float64, **SETTINGS)
    X = next(stream.blocks()).X
    mean, scale = stream.moments()
    np.testing.assert_allclose(mean, X.mean(0), rtol=1e-14)
    deviation = X.std(0)
    np.testing.assert_allclose(scale, np.where(deviation > 0, deviation, 1), rtol=1e-14)
    (block,) = stream.blocks(mean=mean, scale=scale)
    np.testing.assert_allclose(block.X, (X - mean) / scale, rtol=1e-14)


def test_one_hot_is_that_of_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.choice(["b", "a", "ü", "c d"], 5000)
    table = pa.table({"v": pa.array(values).dictionary_encode(), "y": rng.integers(0, 2, 5000)})
    parquet.write_table(table, tmp_path / "a.parquet")
    rows = data.load(tmp_path / "a.parquet", target="y", categorical=["v"])
    theirs = OneHotEncoder(sparse_output=False).fit(values[:, None])
    np.testing.assert_array_equal(rows.X, theirs.transform(values[:, None]))
    assert rows.features == tuple(f"v={level}" for level in theirs.categories_[0])


def test_an_encoding_reads_other_rows_alike(path, tmp_path):
    trained = data.open_stream(path, **SETTINGS)
    encoding = data.Encoding.from_json(trained.encoding.to_json())
    assert encoding == trained.encoding
    other = write(tmp_path / "other.csv", "zip,city,age,flag\n0300,Rome,,true\n9,Oslo,7,false\n")
    stream = data.open_stream(other, encoding=encoding, labelled=False)
    (block,) = stream.blocks()
    assert stream.features == trained.features
    assert (block.y, block.weight, stream.n) == (None, None, 2)
    assert block.X[:, :4].tolist() == [[40, 1, 0, 1], [7, 0, 1, 0]]
    assert block.X[:, -2:].tolist() == [[1, 0], [0, 0]]
    assert block.X[0, 4:12].argmax() == BUCKETS["0300"]
    with pytest.raises(data.DataError, match="no labels"):
        stream.take([0])
    with pytest.raises(data.DataError, match="no column 'won'"):
        data.open_stream(other, encoding=encoding)


STRANGE = "age,city,zip,flag,won\n30,Oslo,1,true,no\n30,Bern,1,true,yes\n"


def test_an_unknown_category_is_refused_or_all_zeros(path, tmp_path):
    other = write(tmp_path / "other.csv", STRANGE)
    encoding = data.open_stream(path, **SETTINGS).encoding
    with pytest.raises(data.DataError, match=r"'city' holds 'Bern' in row 2, which was not there"):
        data.load(other, encoding=encoding)
    encoding = data.open_stream(path, **SETTINGS, unknown="ignore").encoding
    assert data.load(other, encoding=encoding).X[:, 2:4].tolist() == [[1, 0], [0, 0]]


LABELS = {
    "text": ("b,a", "a,b", [0, 1], None),
    "turned": ("b,a", "a,b", [1, 0], "a"),
    "numbers": ("2,1", "1,2", [0, 1], None),
    "soft": ("0.5,0", "0.25,1", [0.25, 1], None),
    "soft turned": ("0.5,0", "0.25,1", [0.75, 0], "0"),
    "booleans": ("true,false", "false,true", [0, 1], None),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_of_other_rows_are_those_of_training(tmp_path, case):
    train, other, y, positive = LABELS[case]
    first, second = (
        write(tmp_path / f"{i}.csv", "x,y\n" + "".join(f"1,{v}\n" for v in text.split(",")))
        for i, text in enumerate((train, other))
    )
    encoding = data.open_stream(first, target="y", positive=positive).encoding
    encoding = data.Encoding.from_json(encoding.to_json())
    assert data.load(second, encoding=encoding).y.tolist() == y


REFUSED = {
    "text": ("a,b", "a,c", "holds 'c' in row 2, which is not one of 'a', 'b'"),
    "number": ("-1,1", "1,0", "holds '0.0' in row 2, which is not one of '-1', '1'"),
    "soft": ("0,1", "0.5,1.5", "holds '1.5' in row 2, which is not a number between 0 and 1"),
    "text for numbers": ("0,1", "no,yes", "holds text, and the labels are '0', '1' as numbers"),
    "numbers for text": ("no,yes", "0,1", "holds numbers, and the labels are 'no', 'yes' as text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_label_that_was_not_there_in_training_is_refused(tmp_path, case):
    *texts, message = REFUSED[case]
    first, second = (
        write(tmp_path / f"{i}.csv", "x,y\n" + "".join(f"1,{v}\n" for v in text.split(",")))
        for i, text in enumerate(texts)
    )
    encoding = data.open_stream(first, target="y").encoding
    with pytest.raises(data.DataError, match=message):
        data.load(second, encoding=encoding)


def test_a_constant_fills_gaps_and_categories_need_no_fill(tmp_path):
    path = write(tmp_path / "a.csv", "a,b,y\n1,,r\n,2,s\n3,4,s\n")
    rows = data.load(path, target="y", missing=-1)
    assert rows.features == ("a", "b", "a:missing", "b:missing")
    assert rows.X.tolist() == [[1, -1, 0, 1], [-1, 2, 1, 0], [3, 4, 0, 0]]
    mean, scale = data.open_stream(path, target="y", missing=-1).moments()
    np.testing.assert_allclose(mean, rows.X.mean(0), rtol=1e-7)
    np.testing.assert_allclose(scale, rows.X.std(0), rtol=1e-7)


def test_gaps_that_training_had_none_of_are_filled_without_a_mark(tmp_path):
    trained = data.open_stream(
        write(tmp_path / "a.csv", "a,y\n1,r\n3,s\n"), target="y", missing="mean"
    )
    assert trained.features == ("a",)
    other = write(tmp_path / "b.csv", "a,b,y\n,1,r\n")
    with pytest.raises(data.DataError, match="does not know the columns 'b'"):
        data.load(other, encoding=trained.encoding)
    assert data.load(other, encoding=trained.encoding, exclude=["b"]).X.tolist() == [[2]]


def test_nan_counts_as_no_value(tmp_path):
    parquet.write_table(pa.table({"a": [1.0, np.nan, 4.0], "y": [0, 1, 1]}), tmp_path / "a.parquet")
    rows = data.load(tmp_path / "a.parquet", target="y", missing=0.0)
    assert rows.X.tolist() == [[1, 0], [0, 1], [4, 0]]


def record(path, **changes):
    return json.dumps(
        {**json.loads(data.open_stream(path, **SETTINGS).encoding.to_json()), **changes}
    )


NUMBER = {"name": "a", "fill": None, "flagged": False}
CITY = {"name": "c", "levels": ["x", "y"], "gaps": False, "flagged": False}
WRONG = {
    "not JSON": "{",
    "not a record": "[1]",
    "another format": {"format": "jaxlr encoding 9"},
    "a field too many": {"hook": "import os"},
    "a number's name": {"numbers": [{**NUMBER, "name": 3}]},
    "a fill that is text": {"numbers": [{**NUMBER, "fill": "mean"}]},
    "a fill that is infinite": {"numbers": [{**NUMBER, "fill": float("inf")}]},
    "a fill that is true": {"numbers": [{**NUMBER, "fill": True}]},
    "a column twice": {"numbers": [NUMBER, NUMBER]},
    "a feature twice": {"numbers": [{**NUMBER, "name": "c=x"}], "categories": [CITY]},
    "no columns": {"numbers": [], "categories": []},
    "levels that are numbers": {"categories": [{**CITY, "levels": [1, 2]}]},
    "no bucket": {"categories": [{**CITY, "levels": 0}]},
    "buckets beyond memory": {"categories": [{**CITY, "levels": 1 << 40}]},
    "three labels": {"labels": {"names": ["a", "b", "c"], "values": None, "soft": False}},
    "labels of one name": {"labels": {"names": ["a", "a"], "values": None, "soft": False}},
    "labels of one value": {"labels": {"names": ["a", "b"], "values": [1, 1], "soft": False}},
    "unknown": {"unknown": "drop"},
    "a target that is a list": {"target": ["y"]},
}


@pytest.mark.parametrize("case", WRONG)
def test_an_encoding_from_strangers_is_checked(path, case):
    wrong = WRONG[case]
    text = wrong if isinstance(wrong, str) else record(path, **wrong)
    with pytest.raises(data.DataError, match=r"encoding|several features|no column is left"):
        data.Encoding.from_json(text)
