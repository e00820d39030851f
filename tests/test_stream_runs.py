"""Runs on rows that do not fit: as in memory, bounded, and to the same bytes after a break."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlr.cli import main
from jaxlr.data import Division, Shuffled, StreamedPart, open_stream
from jaxlr.data.streamed.draws import draws
from jaxlr.run import (
    CvConfig,
    FitConfig,
    Model,
    RunFolderError,
    TrainConfig,
    predictions,
    resume_training,
    run_cv,
    run_fit,
    run_training,
)

N = 1000
COLUMNS = {"target": "y", "weight": "s", "categorical": ("city",), "missing": "mean"}
SMALL = {**COLUMNS, "memory": "8kB", "steps": 12, "checkpoint_steps": 2, "checkpoint_minutes": 0.0}


class Killed(BaseException):
    """Takes the place of `kill -9` inside a process: nothing of ours runs after it."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """A thousand rows with all that there can be, in files of Parquet, sorted by label."""
    folder = tmp_path_factory.mktemp("rows") / "rows.parquet"
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    y = np.sort(X @ [1, -2] + rng.logistic(size=N) > 0)
    table = pa.table(
        {
            "year": 2000 + X[:, 0],
            "b": pa.array(X[:, 1], mask=rng.random(N) < 0.1),
            "city": rng.choice(["Oslo", "Rome"], N),
            "s": rng.integers(0, 3, N),
            "y": np.where(y, "yes", "no"),
        }
    )
    folder.mkdir()
    for i in range(2):
        part = table.slice(i * N // 2, N // 2)
        pq.write_table(part, folder / f"part-{i}.parquet", row_group_size=150)
    return folder


def coefficients(run):
    return np.append(run.model.w, run.model.b)


def test_full_batches_are_those_in_memory(rows, tmp_path):
    settings = {"data": str(rows), **COLUMNS, "steps": 20, "alpha": 0.5, "test_fraction": 0.0}
    kept = run_training(TrainConfig(**settings, out=str(tmp_path / "kept")))
    read = run_training(TrainConfig(**settings, out=str(tmp_path / "read"), memory="8kB"))
    assert (kept.summary["data"]["streamed"], read.summary["data"]["streamed"]) == (False, True)
    assert read.model.features == ("year", "b", "city=Oslo", "city=Rome", "b:missing")
    assert read.model.encoding == kept.model.encoding
    # Parameters of raw years cancel: w . 2000 is in b.
    np.testing.assert_allclose(coefficients(read), coefficients(kept), rtol=2e-6)
    for name, value in kept.summary["train"].items():
        assert read.summary["train"][name] == pytest.approx(value, rel=1e-6), name
    origin = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("kept", "read")]
    assert origin[0]["data"] == origin[1]["data"]  # the fingerprint of the rows


def test_a_fit_of_a_stream_is_that_in_memory(rows, tmp_path):
    # Weights are 0, 1 or 2. In memory a third of the million numbers kept at any rate.
    settings = {"data": str(rows), **COLUMNS, "l2": 0.01}
    kept = run_fit(FitConfig(**settings, out=str(tmp_path / "kept")))
    read = run_fit(FitConfig(**settings, out=str(tmp_path / "read"), memory="0"))
    assert read.summary["status"] == "converged"
    for a, b in zip(kept.summary["coefficients"], read.summary["coefficients"], strict=True):
        assert b["value"] == pytest.approx(a["value"], rel=1e-6, abs=1e-9)
        assert b["standard_error"] == pytest.approx(a["standard_error"], rel=1e-6)


def test_standard_errors_are_of_the_training_rows_alone(rows, tmp_path):
    """Rows held out weigh nothing: a fit of the others, written out, says the same."""
    settings = {"target": "y", "exclude": ("s", "b", "city"), "l2": 0.01, "memory": "0"}
    part = run_fit(
        FitConfig(data=str(rows), **settings, test_fraction=0.3, out=str(tmp_path / "part"))
    )
    table = pq.read_table(rows)
    train = Division(0, test=0.3).codes(0, N) == 0
    pq.write_table(table.filter(pa.array(train)), tmp_path / "train.parquet")
    alone = run_fit(
        FitConfig(data=str(tmp_path / "train.parquet"), **settings, out=str(tmp_path / "alone"))
    )
    assert part.summary["data"]["rows"] == {"train": train.sum(), "test": N - train.sum()}
    for a, b in zip(alone.summary["coefficients"], part.summary["coefficients"], strict=True):
        assert b == pytest.approx(a, rel=1e-6)


@pytest.mark.parametrize("batch_size", [None, 37])
def test_a_killed_run_of_a_stream_goes_on_to_the_same_bytes(rows, tmp_path, batch_size):
    config = TrainConfig(
        data=str(rows), **SMALL, batch_size=batch_size, optimizer="adam",
        validation_fraction=0.2, validate_every=3, out=str(tmp_path / "whole"),
    )  # fmt: skip
    whole = run_training(config)
    assert whole.summary["data"]["streamed"]

    def kill(progress):
        if progress.step == 7:
            raise Killed

    with pytest.raises(Killed):
        run_training(replace(config, out=str(tmp_path / "cut")), callback=kill)
    cut = resume_training(tmp_path / "cut")
    for name in ("params.safetensors", "metrics.jsonl"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_run_does_not_go_on_with_other_rows(rows, tmp_path):
    path = tmp_path / "rows.parquet"
    table = pq.read_table(rows)
    pq.write_table(table, path)
    config = TrainConfig(data=str(path), **SMALL, out=str(tmp_path / "run"))
    run_training(config, callback=lambda progress: progress.step == 3)
    pq.write_table(table.set_column(3, "s", pa.array(np.ones(N, int))), path)  # other weights only
    with pytest.raises(RunFolderError, match="other values or names"):
        resume_training(tmp_path / "run")


def test_the_memory_of_a_run_is_settled_when_it_begins(rows, tmp_path):
    run = run_training(
        TrainConfig(data=str(rows), **{**SMALL, "memory": None}, out=str(tmp_path / "run"))
    )
    assert TrainConfig.load(run.folder).limit() > 1 << 26


def shuffled(rows: Path, size: int) -> Shuffled:
    stream = open_stream(rows, target="y", weight="s", exclude=["b", "city"], memory=4000)
    part = StreamedPart(stream, Division(3, test=0.25), 0)
    chunk = 40
    s = pq.read_table(rows)["s"].to_numpy()
    used = (Division(3, test=0.25).codes(0, N) == 0) & (s > 0)
    counts = np.add.reduceat(used, np.arange(0, N, chunk), dtype=np.int64)
    return Shuffled(part, counts, chunk, size, seed=5)


def test_every_epoch_sees_every_row_once_in_another_order(rows):
    batches = shuffled(rows, 64)
    years = pq.read_table(rows)["year"].to_numpy().astype(np.float32)
    s = pq.read_table(rows)["s"].to_numpy()
    used = (Division(3, test=0.25).codes(0, N) == 0) & (s > 0)
    coming, epochs = batches.batches(0), []
    for _ in range(2):
        blocks = [next(coming) for _ in range(batches.per_epoch)]
        epochs.append(np.concatenate([b.X[b.weight > 0, 0] for b in blocks]))
        assert {len(b.X) for b in blocks} == {64}
        assert sum(b.weight.sum() for b in blocks) == s[used].sum()
    coming.close()
    for epoch in epochs:
        assert np.array_equal(np.sort(epoch), np.sort(years[used]))
    assert not np.array_equal(*epochs)
    # Labels are sorted in the file; what a batch has of them is near what there is.
    ones = np.isin(epochs[0], years[pq.read_table(rows)["y"].to_numpy() == "yes"])
    assert 0.2 < ones[:320].mean() < 0.8


@pytest.mark.parametrize("step", [1, 7, 8, 30])
def test_a_step_s_batch_depends_on_its_number_alone(rows, step):
    batches = shuffled(rows, 64)
    coming = batches.batches(0)
    for _ in range(step):
        next(coming)
    wanted, first = next(coming), next(found := batches.batches(step))
    coming.close()
    found.close()
    assert all(np.array_equal(a, b) for a, b in zip(wanted[:3], first[:3], strict=True))


def test_a_part_is_a_fair_draw():
    n = 100_000
    codes = Division(1, validation=0.1, test=0.2).codes(0, n)
    assert np.array_equal(codes[500:700], Division(1, 0.1, 0.2).codes(500, 200))
    found = np.bincount(codes, minlength=3) / n
    assert abs(found - [0.7, 0.1, 0.2]).max() < 4 * np.sqrt(0.25 / n)
    other = Division(2, validation=0.1, test=0.2).codes(0, n)
    assert np.mean(codes == other) == pytest.approx(0.7**2 + 0.1**2 + 0.2**2, abs=0.01)
    pairs = np.corrcoef(codes[:-1], codes[1:])[0, 1]
    assert abs(pairs) < 5 / np.sqrt(n)


def test_draws_are_those_of_splitmix64():
    """SplitMix64 with seed 0 begins so (Vigna's reference, in many libraries' tests)."""
    from jaxlr.data.streamed.draws import _mixed

    state, seen = np.zeros(1, np.uint64), []
    for _ in range(2):
        seen.append(int(_mixed(state)[0]))
        state = state + np.uint64(0x9E3779B97F4A7C15)
    assert seen == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert len(np.unique(draws(np.arange(10_000), 1, 2))) == 10_000


def test_rows_that_are_too_many_are_not_cross_validated(rows, tmp_path, capsys):
    with pytest.raises(ValueError, match="keeps all rows in memory.*too large for 8 kB"):
        run_cv(CvConfig(data=str(rows), **COLUMNS, memory="8kB", out=str(tmp_path / "cv")))
    assert not (tmp_path / "cv").exists()


def test_predictions_are_the_same_from_any_source(rows, tmp_path, capsys):
    """As Parquet and as CSV, of a folder and of one CSV file with the columns in another order."""
    run = run_training(TrainConfig(data=str(rows), **SMALL, out=str(tmp_path / "run")))
    table = pq.read_table(rows)
    import pyarrow.csv as pcsv

    pcsv.write_csv(table.select(["city", "b", "year"]), tmp_path / "rows.csv")
    whole = np.concatenate([p.probability for p in predictions(run.model, rows)])
    assert len(whole) == N
    out = tmp_path / "out.parquet"
    assert main(["predict", str(run.folder), str(rows), "--out", str(out), "--memory", "9kB"]) == 0
    assert np.array_equal(pq.read_table(out)["probability"].to_numpy(), whole)
    assert main(["predict", str(run.folder), str(tmp_path / "rows.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '"probability","label"'
    assert [float(line.split(",")[0]) for line in lines[1:]] == pytest.approx(whole, rel=1e-12)
    # By hand: what the encoding says, in NumPy.
    b = table["b"].to_numpy()
    X = np.column_stack(
        [
            table["year"], np.where(np.isnan(b), np.nanmean(b), b),
            table["city"].to_numpy() == "Oslo", table["city"].to_numpy() == "Rome", np.isnan(b),
        ]
    ).astype(float)  # fmt: skip
    np.testing.assert_allclose(whole, 1 / (1 + np.exp(-X @ run.model.w - run.model.b)), rtol=1e-9)


def test_an_unknown_category_is_named_or_ignored(rows, tmp_path, capsys):
    run = run_training(TrainConfig(data=str(rows), **SMALL, out=str(tmp_path / "run")))
    path, out = tmp_path / "new.csv", tmp_path / "out.csv"
    path.write_text("year,b,city\n2000,1,Rome\n2001,1,Paris\n")
    command = ["predict", str(run.folder), str(path), "--out", str(out)]
    assert main(command) == 2
    assert "column 'city' holds 'Paris' in row 2" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv", "run"]
    assert main(["predict", str(run.folder), str(path)]) == 2  # to the standard output
    assert capsys.readouterr().out == ""
    assert main([*command, "--unknown", "ignore"]) == 0
    assert len(out.read_text().splitlines()) == 3


def test_a_model_keeps_its_encoding(rows, tmp_path):
    run = run_training(TrainConfig(data=str(rows), **SMALL, out=str(tmp_path / "run")))
    loaded = Model.load(run.folder)
    assert loaded.encoding == run.model.encoding
    assert loaded.encoding.categories[0].levels == ("Oslo", "Rome")
    old = loaded._replace(encoding=None)  # what earlier versions wrote
    (run.folder / "params.safetensors").write_bytes(old.to_bytes())
    assert Model.load(run.folder).encoding is None
    foreign = loaded.encoding._replace(categories=())
    (run.folder / "params.safetensors").write_bytes(loaded._replace(encoding=foreign).to_bytes())
    with pytest.raises(RunFolderError, match="its encoding makes other features"):
        Model.load(run.folder)


def test_explain_reads_the_row_as_training_did(rows, tmp_path, capsys):
    run = run_training(TrainConfig(data=str(rows), **SMALL, out=str(tmp_path / "run")))
    assert main(["explain", str(run.folder), "--row", "1000"]) == 0
    assert "rows, row 1000 (yes)" in capsys.readouterr().out
    assert main(["explain", str(run.folder), "--row", "1001"]) == 2
    assert "has rows 1 to 1000" in capsys.readouterr().err


MEASURE = """
import resource, sys
from jaxlr.cli import main
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
common = ["--target", "y", "--memory", "4MB", "--steps", "3", "--test-fraction", "0"]
main(["train", sys.argv[1], *common, *sys.argv[4:], "--out", sys.argv[3] + "/small"])
before = peak()
main(["train", sys.argv[2], *common, *sys.argv[4:], "--out", sys.argv[3] + "/large"])
print("grew", peak() - before)
"""


@pytest.mark.parametrize("options", [[], ["--batch-size", "256"]], ids=["full", "mini"])
def test_a_set_of_twenty_times_the_memory_takes_no_more_than_allowed(tmp_path, options):
    """80 MB against 4 MB: beside a run on 8 MB, the process grows by less than half of the set."""
    rng = np.random.default_rng(0)
    for name, n in (("small", 50_000), ("large", 500_000)):
        X = rng.normal(size=(n, 20)).astype(np.float32)
        columns = {f"x{j}": X[:, j] for j in range(20)} | {"y": X[:, 0] > 0}
        pq.write_table(
            pa.table(columns), tmp_path / f"{name}.parquet", row_group_size=20_000,
            use_dictionary=False, compression=None,
        )  # fmt: skip
    assert (tmp_path / "large.parquet").stat().st_size > 40e6
    argv = [str(tmp_path / f"{name}.parquet") for name in ("small", "large")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *argv, str(tmp_path), *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    summary = json.loads((tmp_path / "large" / "summary.json").read_text())
    assert summary["data"]["streamed"]
    assert summary["train"]["loss"] < 0.69
    assert int(done.stdout.split()[-1]) < 8_000  # KiB
