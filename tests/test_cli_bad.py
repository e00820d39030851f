"""Bad input to a command: exit code 2, one message, and every file as it was before."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from jaxlr.cli import main
from jaxlr.run import FitConfig, run_fit

ROWS = [f"{i % 7},{i % 3},{'xyz'[i % 3]},{'yes' if i * 7 % 11 > 5 else 'no'}" for i in range(60)]
HEADER = "a,s,city,y"
COMMON = ["--target", "y"]
PLAIN = ["--exclude", "city"]
STREAMED = ["--memory", "0"]


def csv(*changes):
    """The good file with rows replaced: (number from 1, text)."""
    rows = list(ROWS)
    for number, text in changes:
        rows[number - 1] = text
    return "\n".join([HEADER, *rows, ""])


def cut_parquet(folder):
    pq.write_table(pa.table({"a": np.arange(100.0), "y": np.arange(100) % 2}), folder / "cut.pq")
    whole = (folder / "cut.pq").read_bytes()
    (folder / "cut.pq").write_bytes(whole[: len(whole) // 2])


def folder_of_two_kinds(folder):
    (folder / "parts").mkdir()
    for name, column in (("1", "a"), ("2", "b")):
        table = pa.table({column: [1.0, 2.0], "y": [0, 1]})
        pq.write_table(table, folder / "parts" / f"{name}.parquet")


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


# name: how the folder is made, the command, and what the message must hold
BAD = {
    "no file": (None, ["train", "none.csv", *COMMON], "none.csv: no such file"),
    "empty file": (text("e.csv", ""), ["train", "e.csv", *COMMON], "e.csv"),
    "header only": (text("e.csv", "a,y\n"), ["fit", "e.csv", *COMMON], "no row below the header"),
    "cut Parquet": (cut_parquet, ["train", "cut.pq", *COMMON], "cut.pq: damaged"),
    "files of two kinds": (folder_of_two_kinds, ["fit", "parts", *COMMON], "2.parquet: it has no"),
    "no target said": (None, ["train", "rows.csv"], "name the column of the labels (--target)"),
    "no such target": (None, ["fit", "rows.csv", "--target", "z"], "no column 'z'; there are 'a'"),
    "no such weight": (None, ["fit", "rows.csv", *COMMON, "--weight", "z"], "no column 'z'"),
    "no such column": (None, ["fit", "rows.csv", *COMMON, "--columns", "z"], "no column 'z'"),
    "no feature left": (
        None, ["fit", "rows.csv", *COMMON, "--exclude", "a", "s", "city"], "no column is left",
    ),
    "target excluded": (None, ["fit", "rows.csv", *COMMON, "--exclude", "y"], "cannot be excluded"),
    "text among numbers": (
        text("rows.csv", csv((41, "one,1,x,no"))), ["train", "rows.csv", *COMMON, *PLAIN],
        "column 'a' holds 'one', no number in row 41|column 'a' holds 'one' in row 41",
    ),
    "text column": (None, ["train", "rows.csv", *COMMON], "column 'city' holds 'x' in row 1"),
    "a cell too many": (
        text("rows.csv", csv((41, "1,1,x,no,no"))), ["train", "rows.csv", *COMMON, *PLAIN],
        "row 41",
    ),
    "no value": (
        text("rows.csv", csv((41, ",1,x,no"))), ["fit", "rows.csv", *COMMON, *PLAIN],
        "column 'a' has no value in row 41 (1 of 60 rows)",
    ),
    "no value, streamed": (
        text("rows.csv", csv((41, ",1,x,no"))), ["train", "rows.csv", *COMMON, *PLAIN, *STREAMED],
        "column 'a' has no value in row 41",
    ),
    "no label": (
        text("rows.csv", csv((41, "1,1,x,"))), ["train", "rows.csv", *COMMON, *PLAIN],
        "column 'y' has no value in row 41",
    ),
    "infinite": (
        text("rows.csv", csv((41, "inf,1,x,no"))), ["train", "rows.csv", *COMMON, *PLAIN],
        "column 'a' is inf in row 41",
    ),
    "negative weight": (
        text("rows.csv", csv((41, "1,-1,x,no"))),
        ["train", "rows.csv", *COMMON, *PLAIN, "--weight", "s", *STREAMED],
        "column 's' is -1 in row 41: a weight cannot be negative",
    ),
    "weights of zero": (
        text("z.csv", "a,s,y\n1,0,0\n2,0,1\n"), ["fit", "z.csv", *COMMON, "--weight", "s"],
        "add up to 0",
    ),
    "weights of zero to train on": (
        text("z.csv", "a,s,y\n" + "1,0,no\n2,0,yes\n" * 10 + "2,1,yes\n"),
        ["train", "z.csv", *COMMON, "--weight", "s"],
        "sample_weight is 0 everywhere",
    ),
    "one label": (
        text("o.csv", "a,y\n1,no\n2,no\n"), ["train", "o.csv", *COMMON], "'no' in every row",
    ),
    "three labels": (
        text("o.csv", "a,y\n1,x\n2,y\n3,z\n"), ["train", "o.csv", *COMMON], "3 different labels",
    ),
    "one label to train on": (
        text("o.csv", "a,s,y\n" + "1,1,no\n" * 9 + "1,0,yes\n"),
        ["fit", "o.csv", *COMMON, "--weight", "s", *STREAMED], "have the label 'no'",
    ),
    "no row for the test": (
        text("o.csv", "a,y\n1,no\n2,yes\n"),
        ["train", "o.csv", *COMMON, *STREAMED, "--test-fraction", "0.001"],
        "leave none of a weight above 0 for the part 'test'",
    ),
    "no such label": (
        None, ["fit", "rows.csv", *COMMON, *PLAIN, "--positive", "maybe"], "no 'maybe'",
    ),
    "no buckets": (
        None, ["fit", "rows.csv", *COMMON, "--categorical", "city=0"], "categorical as 0",
    ),
    "a target of categories": (
        None, ["fit", "rows.csv", *COMMON, "--categorical", "y"], "cannot be a categorical",
    ),
    "unknown protocol": (None, ["fit", "ghost://rows.csv", *COMMON], "ghost"),
    "too large to cross-validate": (
        None, ["cv", "rows.csv", *COMMON, *PLAIN, *STREAMED], "keeps all rows in memory",
    ),
    "a file in the way": (
        None, ["fit", "rows.csv", *COMMON, *PLAIN, "--l2", "1", "--out", "rows.csv/run"],
        "rows.csv",
    ),
    "built-in data with a weight": (None, ["fit", "--weight", "s"], "has its own target"),
    "unknown setting": (
        text("c.toml", "alhpa = 1"), ["train", "c.toml"], "no setting alhpa: did you mean alpha",
    ),
    "negative rate": (text("c.toml", "alpha = -1.0"), ["train", "c.toml"], "alpha is -1.0"),
    "no TOML": (text("c.toml", "alpha = ["), ["train", "c.toml"], "c.toml"),
    "number as text": (
        text("c.toml", "steps = 'many'"), ["train", "c.toml"], "'many': it must be a whole number",
    ),
    "steps without end": (
        text("c.toml", "steps = 99999999999999999999999"), ["train", "c.toml"],
        "c.toml: steps is 99999999999999999999999: it must be a whole number from 1 to 2147483647",
    ),
    "memory without end": (
        text("c.toml", f"memory = {10**400}"), ["train", "c.toml"], "must be less than",
    ),
    "a nested setting": (
        text("c.toml", "alpha = " + "[" * 9999), ["train", "c.toml"], "c.toml: ",
    ),
    "no memory": (
        text("c.toml", "memory = '2 bananas'"), ["train", "c.toml"],
        "memory is '2 bananas': it must be a number of bytes",
    ),
    "no filling": (
        text("c.toml", "missing = 'maybe'"), ["train", "c.toml"],
        "missing is 'maybe': it must be error, mean or a number",
    ),
    "one column as text": (
        text("c.toml", "categorical = 'city'"), ["train", "c.toml"],
        "categorical is 'city': it must be a list of strings",
    ),
    "settings of a fit": (
        text("c.toml", "command = 'fit'"), ["train", "c.toml"], "settings of jaxlr fit",
    ),
    "no run": (None, ["predict", "rows.csv", "rows.csv"], "no run folder"),
    "damaged model": (
        text("run/params.safetensors", "x"), ["predict", "run", "rows.csv"], "damaged",
    ),
    "predict: no such column": (
        text("n.csv", "s,city\n1,x\n"), ["predict", "run", "n.csv"], "n.csv: no column 'a'",
    ),
    "predict: a strange column": (
        text("n.csv", "a,s,city,more\n1,1,x,1\n"), ["predict", "run", "n.csv"],
        "does not know the columns 'more'",
    ),
    "predict: a new category": (
        text("n.csv", "a,s,city\n1,1,x\n1,1,q\n"), ["predict", "run", "n.csv", "--out", "p.csv"],
        "column 'city' holds 'q' in row 2",
    ),
    "predict: no value": (
        text("n.csv", "a,s,city\n1,1,x\n,1,x\n"), ["predict", "run", "n.csv", "--out", "p.parquet"],
        "column 'a' has no value in row 2",
    ),
    "predict: cut Parquet": (cut_parquet, ["predict", "run", "cut.pq"], "cut.pq: damaged"),
    "predict: a file in the way": (
        None, ["predict", "run", "rows.csv", "--out", "rows.csv"], "rows.csv exists",
    ),
    "predict: a strange ending": (
        None, ["predict", "run", "none.csv", "--out", "p.json"],
        "p.json: predictions are written as CSV or Parquet",
    ),
    "predict: no ending": (
        None, ["predict", "run", "rows.csv", "--out", "p"], "ends with .csv or .parquet",
    ),
    "predict: no folder for it": (
        None, ["predict", "run", "rows.csv", "--out", "none/p.csv"], "cannot be written",
    ),
    "explain: no such row": (None, ["explain", "run", "--row", "61"], "has rows 1 to 60"),
    "resume: a fit": (None, ["resume", "run"], "no training that can go on"),
    "resume: no run": (None, ["resume", "none"], "no run folder"),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with good rows and a run on them."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "rows.csv").write_text(csv())
    config = FitConfig(
        data=str(folder / "rows.csv"), target="y", categorical=("city",), l2=0.1,
        out=str(folder / "run"),
    )  # fmt: skip
    run_fit(config)
    return folder


def contents(folder):
    """Every file and its bytes."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.fixture
def folder(good, tmp_path, monkeypatch):
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", BAD)
def test_it_is_refused_and_nothing_is_written(folder, capsys, case):
    make, command, message = BAD[case]
    if make:
        make(folder)
    before = contents(folder)
    assert main(command) == 2
    assert contents(folder) == before
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if line.startswith("jaxlr: ")]
    assert out == ""
    assert len(said) == 1
    assert any(part in err.replace("\n", " ") for part in message.split("|")), err


def test_a_model_with_another_s_encoding_is_refused(folder, capsys):
    """A stranger's file: its parts are right, each for itself."""
    from safetensors import safe_open

    path = folder / "run" / "params.safetensors"
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    changed = metadata["jaxlr"].replace("city=x", "city=w")
    assert changed != metadata["jaxlr"]
    save_file(tensors, path, metadata={"jaxlr": changed})
    assert main(["predict", "run", "rows.csv"]) == 2
    assert "its encoding makes other features" in capsys.readouterr().err
