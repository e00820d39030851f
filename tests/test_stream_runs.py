"""Runs on rows that do not fit: as in memory, bounded, and to the same bytes after a break."""

import errno
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

import jaxlr
from jaxlr.cli import main
from jaxlr.cli.show import print_metrics
from jaxlr.core import Params
from jaxlr.data import Dataset, Division, Shuffled, StreamedPart, load, open_stream
from jaxlr.data.learner import Learner
from jaxlr.data.sources.parquet import ParquetSource
from jaxlr.data.streamed.draws import _mixed, draws
from jaxlr.run import (
    CvConfig,
    FitConfig,
    GradientCheckError,
    Model,
    RunFolderError,
    SweepConfig,
    TrainConfig,
    predictions,
    resume_training,
    run_cv,
    run_fit,
    run_sweep,
    run_training,
)
from jaxlr.run.ranking import Ranking
from jaxlr.run.scoring import Scoring, evaluate

N = 1000
COLUMNS = {"target": "y", "weight": "s", "categorical": ("city",), "missing": "mean"}
SMALL = {**COLUMNS, "memory": "8kB", "steps": 8, "checkpoint_steps": 3, "checkpoint_minutes": 0.0}


class Killed(BaseException):
    """Takes the place of `kill -9` inside a process: nothing of ours runs after it."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """A thousand rows with all that there can be, in files of Parquet, sorted by label."""
    folder = tmp_path_factory.mktemp("rows") / "rows.parquet"
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    y = X @ [1, -2] + rng.logistic(size=N) > 0
    X, y = X[np.argsort(y)], np.sort(y)
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


@pytest.fixture(scope="module")
def trained(rows):
    """A streamed run that is only looked at."""
    out = rows.parent / "run"
    return run_training(TrainConfig(data=str(rows), **SMALL, out=str(out)))


def coefficients(run):
    return np.append(run.model.w, run.model.b)


def test_full_batches_are_those_in_memory(rows, tmp_path):
    settings = {"data": str(rows), **COLUMNS, "steps": 10, "alpha": 0.5, "test_fraction": 0.0}
    kept = run_training(TrainConfig(**settings, out=str(tmp_path / "kept")))
    read = run_training(TrainConfig(**settings, out=str(tmp_path / "read"), memory="60kB"))
    assert (kept.summary["data"]["streamed"], read.summary["data"]["streamed"]) == (False, True)
    assert read.model.features == ("year", "b", "city=Oslo", "city=Rome", "b:missing")
    # Parameters of raw years cancel: w . 2000 is in b.
    np.testing.assert_allclose(coefficients(read), coefficients(kept), rtol=2e-6)
    for name, value in kept.summary["train"].items():
        assert read.summary["train"][name] == pytest.approx(value, rel=1e-6), name


def test_a_fit_of_a_stream_is_that_of_its_training_rows_in_memory(rows, tmp_path):
    """Also its standard errors: rows held out, and those of weight 0, must not count."""
    settings = {"data": str(rows), **COLUMNS, "l2": 0.01, "memory": "0", "test_fraction": 0.3}
    run = run_fit(FitConfig(**settings, out=str(tmp_path / "read")))
    assert run.summary["data"]["streamed"]
    everyone = load(rows, **COLUMNS, dtype=np.float64)
    index = np.flatnonzero(Division(0, test=0.3).codes(0, N) == 0)
    assert run.summary["data"]["rows"] == {"train": len(index), "test": N - len(index)}
    mean, scale = everyone.moments(index)
    np.testing.assert_allclose(run.model.mean, mean, rtol=1e-12)
    train = everyone.rows(index, mean=mean, scale=scale)
    kept = jaxlr.fit(train.X, train.y, sample_weight=train.weight, l2=0.01, tol=1e-8)
    np.testing.assert_allclose(run.model.standardized()[0], kept.params.w, rtol=1e-6, atol=1e-9)
    errors = [c["standard_error"] for c in run.summary["coefficients"][:-1]]
    np.testing.assert_allclose(errors, kept.standard_errors().w / scale, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [pytest.param(None, marks=pytest.mark.thorough), 37])
def test_a_killed_run_of_a_stream_goes_on_to_the_same_bytes(rows, tmp_path, batch_size):
    path = tmp_path / "rows.parquet"
    table = pq.read_table(rows)
    pq.write_table(table, path, row_group_size=150)
    config = TrainConfig(
        data=str(path), **SMALL, batch_size=batch_size, optimizer="adam",
        validation_fraction=0.2, validate_every=3, out=str(tmp_path / "whole"),
    )  # fmt: skip
    whole = run_training(config)
    assert whole.summary["data"]["streamed"]

    def kill(progress):
        if progress.step == 4:
            raise Killed

    with pytest.raises(Killed):
        run_training(replace(config, out=str(tmp_path / "cut")), callback=kill)
    if batch_size:  # other weights only: the run must see it, and go on when they are back
        good = path.read_bytes()
        pq.write_table(table.set_column(3, "s", pa.array(np.ones(N, int))), path)
        with pytest.raises(RunFolderError, match="other values or names"):
            resume_training(tmp_path / "cut")
        path.write_bytes(good)
    cut = resume_training(tmp_path / "cut")
    for name in ("params.safetensors", "metrics.jsonl"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_the_memory_of_a_run_is_settled_when_it_begins(rows):
    config = TrainConfig(data=str(rows), target="y")
    assert config.memory is None
    settled = config.resolved()
    assert isinstance(settled.memory, int)
    assert settled == settled.resolved()
    assert TrainConfig.from_toml(settled.to_toml()) == settled
    assert TrainConfig().resolved().memory is None  # built-in data is small everywhere


def shuffled(rows: Path, size: int) -> Shuffled:
    stream = open_stream(rows, target="y", weight="s", exclude=["b", "city"], memory=4000)
    part = StreamedPart(stream, Division(3, test=0.25), 0)
    chunk = 40
    s = pq.read_table(rows)["s"].to_numpy()
    used = (Division(3, test=0.25).codes(0, N) == 0) & (s > 0)
    counts = np.add.reduceat(used, np.arange(0, N, chunk), dtype=np.int64)
    return Shuffled(part, counts, chunk, size, seed=5)


def test_metrics_count_a_row_by_its_weight():
    """Integer weights are repeated rows; scikit-learn says the same of the scores of a stream."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60).astype(float)
    s = rng.integers(0, 4, 60)
    params = Params(jnp.array([0.5, -1.0], jnp.float32), jnp.array(0.25, jnp.float32))
    made = Dataset(X.astype(np.float32), y.astype(np.float32), ("a", "b"), ("0", "1"), "made")
    weighed = evaluate(params, made._replace(weight=s.astype(np.float32)))
    repeated = evaluate(params, made.rows(np.repeat(np.arange(60), s)))
    assert weighed == pytest.approx(repeated, rel=1e-5)
    z = X @ [0.5, -1.0] + 0.25
    for room in (1000, 7):
        scoring = Scoring(Ranking(room))
        for part in (slice(0, 25), slice(25, 60)):
            L = np.logaddexp(0, z[part]) - y[part] * z[part]
            scoring.add(L, z[part], y[part], 1.0 * s[part])
        assert scoring.finish() == pytest.approx(repeated, rel=1e-5)
    soft = Scoring(Ranking(1))
    soft.add(np.ones(2), np.ones(2), np.array([0.5, 1.0]), np.ones(2))
    found = soft.finish()
    assert (found["loss"], found["accuracy"], found["roc_auc"]) == (1.0, None, None)


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
    state, seen = np.zeros(1, np.uint64), []
    for _ in range(2):
        seen.append(int(_mixed(state)[0]))
        state = state + np.uint64(0x9E3779B97F4A7C15)
    assert seen == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert len(np.unique(draws(np.arange(10_000), 1, 2))) == 10_000


def test_rows_that_are_too_many_are_not_cross_validated_or_swept(rows, tmp_path, monkeypatch):
    """Of Parquet the number of rows is known, so that no row is read."""
    monkeypatch.setattr(Learner, "add", None)
    settings = {"data": str(rows), **COLUMNS, "out": str(tmp_path / "out")}
    for memory, said in (("8kB", "8 kB"), (0, "0 bytes")):
        with pytest.raises(ValueError, match=rf"all rows in memory.*too large for {said}.*--mem"):
            run_cv(CvConfig(**settings, memory=memory))
        with pytest.raises(ValueError, match=rf"rows in memory.*too large for {said}.*--memory"):
            run_sweep(SweepConfig(**settings, memory=memory))
    assert not (tmp_path / "out").exists()


def test_predictions_are_the_same_from_any_source(rows, trained, tmp_path, capsys):
    """As Parquet and as CSV, of a folder and of one CSV file with the columns in another order."""
    table = pq.read_table(rows)
    pcsv.write_csv(table.select(["city", "b", "year"]), tmp_path / "rows.csv")
    whole = np.concatenate([p.probability for p in predictions(trained.model, rows)])
    assert len(whole) == N
    out = tmp_path / "out.parquet"
    assert (
        main(["predict", str(trained.folder), str(rows), "--out", str(out), "--memory", "9kB"]) == 0
    )
    assert np.array_equal(pq.read_table(out)["probability"].to_numpy(), whole)
    assert main(["predict", str(trained.folder), str(tmp_path / "rows.csv")]) == 0
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
    np.testing.assert_allclose(
        whole, 1 / (1 + np.exp(-X @ trained.model.w - trained.model.b)), rtol=1e-9
    )


def test_an_unknown_category_is_named_or_ignored(rows, trained, tmp_path, capsys):
    path, out = tmp_path / "new.csv", tmp_path / "out.csv"
    path.write_text("year,b,city\n2000,1,Rome\n2001,1,Paris\n")
    command = ["predict", str(trained.folder), str(path), "--out", str(out)]
    assert main(command) == 2
    assert "column 'city' holds 'Paris' in row 2" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["new.csv"]
    assert main(["predict", str(trained.folder), str(path)]) == 2  # to the standard output
    assert capsys.readouterr().out == ""
    assert main([*command, "--unknown", "ignore"]) == 0
    assert len(out.read_text().splitlines()) == 3


def test_a_model_keeps_its_encoding(rows, trained, tmp_path):
    loaded = Model.load(trained.folder)
    assert loaded.encoding == trained.model.encoding
    assert loaded.encoding.categories[0].levels == ("Oslo", "Rome")
    old = loaded._replace(encoding=None)  # what earlier versions wrote
    (tmp_path / "params.safetensors").write_bytes(old.to_bytes())
    assert Model.load(tmp_path).encoding is None
    foreign = loaded.encoding._replace(categories=())
    (tmp_path / "params.safetensors").write_bytes(loaded._replace(encoding=foreign).to_bytes())
    with pytest.raises(RunFolderError, match="its encoding makes other features"):
        Model.load(tmp_path)


def test_explain_reads_the_row_as_training_did(rows, trained, tmp_path, capsys):
    assert main(["explain", str(trained.folder), "--row", "1000"]) == 0
    assert "rows, row 1000 (yes)" in capsys.readouterr().out
    assert main(["explain", str(trained.folder), "--row", "1001"]) == 2
    assert "has rows 1 to 1000" in capsys.readouterr().err


MEASURE = """
import resource, sys
from jaxlr.cli import main
from jaxlr.cli.show import print_metrics
common = ["--target", "y", "--memory", "4MB", "--steps", "2", "--test-fraction", "0"]
def train(name):
    for kind, options in {"full": [], "mini": ["--batch-size", "256"]}.items():
        out = f"{sys.argv[1]}/{name}-{kind}"
        assert not main(["train", f"{sys.argv[1]}/{name}.parquet", *common, *options, "--out", out])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = train("small")
print("grew", train("large") - before)
"""


@pytest.mark.thorough
def test_a_set_of_twenty_times_the_memory_takes_no_more_than_allowed(tmp_path):
    """80 MB in float64 against 4 MB: no more memory than after runs on a tenth of the rows.

    It may grow by two times what rows may take, for the allocator's sake.
    """
    rng = np.random.default_rng(0)
    for name, n in (("small", 50_000), ("large", 500_000)):
        X = rng.normal(size=(n, 20)).astype(np.float32)
        columns = {f"x{j}": X[:, j] for j in range(20)} | {"y": X[:, 0] > 0}
        pq.write_table(
            pa.table(columns), tmp_path / f"{name}.parquet", row_group_size=20_000,
            use_dictionary=False, compression=None,
        )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    for kind in ("full", "mini"):
        summary = json.loads((tmp_path / f"large-{kind}" / "summary.json").read_text())
        assert summary["data"]["streamed"]
        assert summary["train"]["loss"] < 0.69
    grew = int(done.stdout.split()[-1])
    assert grew < 8_000, f"{grew} KiB"


@pytest.mark.parametrize("memory", ["8kB", None])
def test_the_gradient_is_judged_with_the_weights_that_it_is_trained_with(
    rows, tmp_path, monkeypatch, memory
):
    original = jaxlr.batch.loss_and_grads
    monkeypatch.setattr(
        jaxlr.batch, "loss_and_grads", lambda params, X, y, s, l2: original(params, X, y, None, l2)
    )
    config = TrainConfig(data=str(rows), **COLUMNS, memory=memory, out=str(tmp_path / "run"))
    with pytest.raises(GradientCheckError):
        run_training(config)


@pytest.mark.parametrize("room", [1, 3, 50, 1 << 20])
def test_the_area_of_scores_on_disk_is_that_of_scikit_learn(room):
    """Many equal scores, weights over many orders of size, blocks of any size."""
    rng = np.random.default_rng(1)
    z = np.round(rng.normal(size=700), 1).astype(np.float32)
    y, s = rng.integers(0, 2, 700), 10.0 ** rng.integers(-4, 4, 700)
    ranking = Ranking(room)
    for part in np.split(np.arange(700), [1, 40, 41, 500]):
        ranking.add(z[part], y[part], s[part])
    assert ranking.area() == pytest.approx(roc_auc_score(y, z, sample_weight=s), rel=1e-12)
    one_label = Ranking(room)
    one_label.add(z, 0 * y, s)
    assert one_label.area() is None
    assert one_label.lost is None
    ranking.add(np.full(2, np.nan), y[:2], s[:2])
    assert ranking.area() is None
    assert "not numbers" in ranking.lost


def test_where_there_is_no_area_summary_and_table_say_why(rows, tmp_path, monkeypatch, capsys):
    class Full:
        def __init__(self, **settings):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    run = run_training(TrainConfig(data=str(rows), **SMALL, out=str(tmp_path / "run")))
    found = json.loads((run.folder / "summary.json").read_text())["test"]
    assert found["roc_auc"] is None
    assert "No space left on device" in found["roc_auc_why"]
    print_metrics(run.summary)
    assert "no ROC AUC of the test rows: the scores do not fit" in capsys.readouterr().out


@pytest.mark.parametrize(("test_fraction", "before"), [(0.0, 1), (0.3, 2)])
def test_the_reads_of_a_streamed_fit_are_those_that_are_said(
    rows, tmp_path, monkeypatch, test_fraction, before
):
    """Before the solver's one (for memory has these rows then): one, or two where rows are held
    out. After it: one, for the metrics.
    """
    reads, batches = [], ParquetSource.batches

    def counted(self, *arguments):
        reads.append(arguments)
        return batches(self, *arguments)

    monkeypatch.setattr(ParquetSource, "batches", counted)
    settings = {"data": str(rows), **COLUMNS, "l2": 0.01, "memory": "8kB", "tol": 1e-10}
    run = run_fit(FitConfig(**settings, test_fraction=test_fraction, out=str(tmp_path / "read")))
    assert run.summary["data"]["streamed"]
    assert run.summary["certificate"]["reads"] == 1
    assert len(reads) == before + 1 + 1
    if not test_fraction:
        kept = run_fit(FitConfig(**settings | {"memory": None}, out=str(tmp_path / "kept")))
        np.testing.assert_allclose(coefficients(run), coefficients(kept), rtol=1e-6)
        assert run.summary["data"]["rows"] == {"train": N}


def test_a_streamed_fit_of_one_label_is_refused_in_its_first_read(rows, tmp_path):
    """The other label has weight 0: only a read of both columns tells."""
    table = pq.read_table(rows)
    ones = table["y"].to_numpy(zero_copy_only=False) == "yes"
    pq.write_table(table.set_column(3, "s", pa.array(1.0 * ones)), tmp_path / "rows.parquet")
    settings = {**COLUMNS, "memory": "8kB", "l2": 0.1, "out": str(tmp_path / "run")}
    with pytest.raises(ValueError, match=r"rows: all training rows .* have the label 'yes'"):
        run_fit(FitConfig(data=str(tmp_path / "rows.parquet"), **settings))
    assert not (tmp_path / "run").exists()
