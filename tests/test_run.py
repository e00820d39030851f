"""A training run: the config, the model it writes, and a folder that is whole or not there."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

import jaxlr
from jaxlr import core, data
from jaxlr.core import Params
from jaxlr.run import (
    CvConfig,
    FitConfig,
    GradientCheckError,
    Model,
    RunConfig,
    RunFolderError,
    TrainConfig,
    folder,
    run_cv,
    run_fit,
    run_training,
)
from jaxlr.run.scoring import evaluate


def test_config_survives_toml():
    config = TrainConfig(
        data="x.csv", target="y", positive="a", exclude=("i", "j"), out="r", optimizer="adam",
        alpha=0.5, steps=7, batch_size=3, l2=0.1, standardize=False, test_fraction=0.1,
        validation_fraction=0.3, patience=4, validate_every=2, seed=5, dtype="float64",
    )  # fmt: skip
    assert TrainConfig.from_toml(config.to_toml()) == config
    with pytest.raises(ValueError, match="no setting speed"):
        TrainConfig.from_toml("speed = 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data = 3", "data is 3: it must be a string"),
        ('steps = "ten"', "steps is 'ten': it must be a whole number"),
        ("steps = true", "steps is True: it must be a whole number"),
        ("steps = 1.0", "steps is 1.0: it must be a whole number"),
        ('optimizer = "sgdd"', "optimizer is 'sgdd': it must be 'plain' or"),
        ('dtype = "int7"', "dtype is 'int7': it must be 'float32' or 'float64'"),
        ('exclude = "ab"', "exclude is 'ab': it must be a list of strings"),
        ("exclude = [1]", r"exclude is \(1,\): it must be a list of strings"),
        ('alpha = "x"', "alpha is 'x': it must be a number"),
        ("standardize = 1", "standardize is 1: it must be true or false"),
    ],
)
def test_a_setting_of_another_type_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig.from_toml(text)
    assert TrainConfig.from_toml("alpha = 1").alpha == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("alpha", 0.0), ("alpha", float("nan")), ("l2", -1.0), ("steps", 0), ("batch_size", 0),
     ("test_fraction", 1.0), ("validation_fraction", -0.1), ("patience", 3),
     ("steps", 2**31), ("seed", -1), ("seed", 2**32)],
)  # fmt: skip
def test_settings_out_of_range_are_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        TrainConfig(**{setting: value})


def test_a_run_is_written_whole(tmp_path):
    run = run_training(TrainConfig(out=str(tmp_path / "run"), steps=500))
    names = sorted(path.name for path in run.folder.iterdir())
    files = ["config.toml", "metrics.jsonl", "params.safetensors", "run.json", "summary.json"]
    assert names == [".lock", *files]
    metrics = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics] == list(range(500))
    assert metrics[0]["loss"] == pytest.approx(np.log(2), rel=1e-6)
    assert metrics[-1]["loss"] < 0.1
    assert json.loads((run.folder / "summary.json").read_text()) == run.summary
    assert run.summary["test"]["accuracy"] >= 0.95
    with safe_open(run.folder / "params.safetensors", framework="numpy") as file:
        names = json.loads(file.metadata()["jaxlr"])
    assert names["labels"] == ["malignant", "benign"]
    assert len(names["features"]) == 30
    again = run_training(TrainConfig(out=str(tmp_path / "again"), steps=500))
    model = "params.safetensors"
    assert (again.folder / model).read_bytes() == (run.folder / model).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "run"]


def test_the_model_takes_raw_features(tmp_path):
    rng = np.random.default_rng(0)
    raw = rng.normal([1e3, -5, 0.01], [10, 2, 1e-3], (50, 3))
    mean, scale = raw.mean(0), raw.std(0)
    with jax.enable_x64(True):
        params = Params(jax.numpy.asarray(rng.normal(size=3)), jax.numpy.asarray(0.3))
        model = Model.from_standardized(params, mean, scale, ("a", "b", "c"), ("n", "y"))
        expected = jaxlr.probabilities(params, (raw - mean) / scale)
    np.testing.assert_allclose(model.probabilities(raw), expected, rtol=1e-11)
    (tmp_path / "params.safetensors").write_bytes(model.to_bytes())
    loaded = Model.load(tmp_path)
    assert np.array_equal(loaded.probabilities(raw), model.probabilities(raw))
    assert (loaded.features, loaded.labels) == (("a", "b", "c"), ("n", "y"))
    (tmp_path / "params.safetensors").write_bytes(model.to_bytes()[:-8])
    with pytest.raises(RunFolderError, match="damaged"):
        Model.load(tmp_path)
    with pytest.raises(RunFolderError, match="no run folder"):
        Model.load(tmp_path / "none")


NAMES = {"format": 1, "features": ["a", "b"], "labels": ["n", "y"], "target": "t", "exclude": []}
TENSORS = {"w": np.ones(2), "b": np.zeros(()), "mean": np.zeros(2), "scale": np.ones(2)}
DAMAGED_MODELS = {
    "no metadata": (TENSORS, None),
    "metadata no object": (TENSORS, "[]"),
    "metadata no JSON": (TENSORS, "{"),
    "another format": (TENSORS, json.dumps(NAMES | {"format": 9})),
    "three labels": (TENSORS, json.dumps(NAMES | {"labels": ["a", "b", "c"]})),
    "text for a list": (TENSORS, json.dumps(NAMES | {"features": "ab"})),
    "a number for a name": (TENSORS, json.dumps(NAMES | {"features": ["a", 1]})),
    "no target": (TENSORS, json.dumps({k: v for k, v in NAMES.items() if k != "target"})),
    "NaN weights": (TENSORS | {"w": np.array([1, np.nan])}, json.dumps(NAMES)),
    "w of another size": (TENSORS | {"w": np.ones(3)}, json.dumps(NAMES)),
    "w of another type": (TENSORS | {"w": np.ones(2, np.float32)}, json.dumps(NAMES)),
    "scale 0": (TENSORS | {"scale": np.zeros(2)}, json.dumps(NAMES)),
    "a tensor less": ({"w": np.ones(2)}, json.dumps(NAMES)),
}


@pytest.mark.parametrize("case", DAMAGED_MODELS)
def test_a_damaged_model_is_refused_by_its_file(tmp_path, case):
    tensors, names = DAMAGED_MODELS[case]
    metadata = None if names is None else {"jaxlr": names}
    (tmp_path / "params.safetensors").write_bytes(save(tensors, metadata=metadata))
    with pytest.raises(RunFolderError, match=r"params\.safetensors: not a model of jaxlr"):
        Model.load(tmp_path)


def test_the_model_of_the_damaged_ones_is_whole(tmp_path):
    file = save(TENSORS, metadata={"jaxlr": json.dumps(NAMES)})
    (tmp_path / "params.safetensors").write_bytes(file)
    assert Model.load(tmp_path).target == "t"


def test_an_existing_folder_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *a, **k: pytest.fail("loaded"))
    (tmp_path / "run").mkdir()
    with pytest.raises(RunFolderError, match="--overwrite"):
        run_training(TrainConfig(out=str(tmp_path / "run")))
    with pytest.raises(RunFolderError, match="is no run folder"):
        run_training(TrainConfig(out=str(tmp_path / "run"), overwrite=True))


def test_overwrite_spares_a_folder_that_holds_anything_else(tmp_path):
    config = TrainConfig(out=str(tmp_path / "run"), steps=2, overwrite=True)
    run_training(config)
    notes = tmp_path / "run" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(RunFolderError, match=r"holds notes\.txt, which no run wrote"):
        run_training(config)
    assert notes.read_text() == "mine"
    notes.unlink()
    run_training(config)


def test_a_large_offset_is_learnt_from_in_float32(tmp_path):
    t = 1.7e9 + np.arange(400) / 2
    lines = [f"{v:.1f},{'late' if i >= 200 else 'early'}" for i, v in enumerate(t)]
    (tmp_path / "rows.csv").write_text("\n".join(["t,y", *lines]))
    run = run_training(
        TrainConfig(data=str(tmp_path / "rows.csv"), target="y", out=str(tmp_path / "run"))
    )
    assert run.summary["test"]["accuracy"] > 0.95
    assert np.mean((run.model.probabilities(t[:, None]) > 0.5) == (np.arange(400) >= 200)) > 0.95


def test_the_model_knows_the_columns_that_are_no_features(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(
        "id,a,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(50))
    )
    config = TrainConfig(data="rows.csv", target="y", exclude=("id",), out="run", steps=2)
    run = run_training(config)
    model = Model.load(run.folder)
    assert (model.target, model.exclude) == ("y", ("id",))
    assert TrainConfig.load(run.folder).data == str(tmp_path / "rows.csv")
    assert config.data == "rows.csv"


def test_a_full_disk_leaves_the_old_run_and_nothing_else(tmp_path, monkeypatch):
    config = TrainConfig(out=str(tmp_path / "run"), steps=2, overwrite=True)
    before = run_training(config).folder / "params.safetensors"
    content = before.read_bytes()

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match="No space left"):
        run_training(TrainConfig(out=str(tmp_path / "run"), steps=5, overwrite=True))
    assert before.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    monkeypatch.undo()
    run_training(TrainConfig(out=str(tmp_path / "run"), steps=5, overwrite=True))
    assert before.read_bytes() != content


def test_a_failed_last_rename_gives_the_old_run_back(tmp_path, monkeypatch):
    config = TrainConfig(out=str(tmp_path / "run"), steps=2, overwrite=True)
    old = (run_training(config).folder / "summary.json").read_bytes()
    original = Path.rename

    def rename(self, target):
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(RunFolderError, match="Input/output"):
        run_training(config)
    assert (tmp_path / "run" / "summary.json").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_wrong_gradient_is_not_trained_with(tmp_path, monkeypatch):
    original = jaxlr.loss_and_grads

    def wrong(*args):
        J, grads = original(*args)
        return J, grads._replace(w=grads.w.at[3].multiply(-1))

    monkeypatch.setattr(jaxlr.batch, "loss_and_grads", wrong)
    with pytest.raises(GradientCheckError, match=r"\.w\[3\]"):
        run_training(TrainConfig(out=str(tmp_path / "run")))
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_keeps_its_last_good_parameters(tmp_path):
    config = TrainConfig(out=str(tmp_path / "run"), alpha=1e38, standardize=False)
    run = run_training(config)
    assert run.summary["status"] == "diverged"
    assert "Try a smaller alpha" in run.summary["why"]
    assert np.isfinite(run.model.w).all()
    for line in (run.folder / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


def test_a_constant_column_and_early_stopping(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 3))
    lines = [f"{a},{b},{c},0.1,{'yes' if rng.random() < 0.5 else 'no'}" for a, b, c in rows]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["a,b,c,k,y", *lines]))
    run = run_training(
        TrainConfig(
            data=str(path), target="y", out=str(tmp_path / "run"), batch_size=16, alpha=1.0,
            validation_fraction=0.3, patience=3,
        )
    )  # fmt: skip
    assert run.summary["status"] == "stopped_early"
    assert np.isfinite(run.model.w).all()
    seen = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    losses = {m["step"]: m["validation_loss"] for m in seen if "validation_loss" in m}
    assert run.summary["params_step"] == min(losses, key=lambda step: losses[step])


def test_metrics_are_those_of_scikit_learn():
    from sklearn import metrics

    rows = data.load("breast_cancer")
    params = Params(jax.numpy.linspace(-0.01, 0.01, 30), jax.numpy.float32(0.1))
    a = np.asarray(jaxlr.probabilities(params, rows.X), float)
    found = evaluate(params, rows)
    assert found["loss"] == pytest.approx(metrics.log_loss(rows.y, a), rel=1e-5)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(rows.y, a >= 0.5))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(rows.y, a))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(rows.y, a))
    soft = evaluate(core.zeros(30), rows._replace(y=rows.y * np.float32(0.5)))
    assert (soft["accuracy"], soft["roc_auc"]) == (None, None)


def test_a_fit_is_written_with_its_certificate(tmp_path):
    run = run_fit(FitConfig(l2=0.01, test_fraction=0.2, out=str(tmp_path / "run")))
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(folder.FILES)
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["status"] == "converged"
    assert summary["why"].startswith("converged: largest gradient entry")
    assert summary["certificate"]["gradient"] <= 1e-8
    assert summary["test"]["accuracy"] >= 0.95
    lines = [json.loads(v) for v in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["gradient"] == summary["certificate"]["gradient"]
    assert [line["steps"] for line in lines] == sorted(line["steps"] for line in lines)
    assert RunConfig.load(run.folder).l2 == 0.01


def test_the_coefficients_of_a_fit_are_those_of_raw_features(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal([100, 0], [20, 1e-3], (200, 2))
    y = X[:, 0] / 20 - 5 + rng.logistic(size=200) > 0
    path = tmp_path / "rows.csv"
    lines = [f"{a},{b},{int(v)}" for (a, b), v in zip(X, y, strict=True)]
    path.write_text("\n".join(["a,b,y", *lines]))
    config = FitConfig(data=str(path), target="y", out=str(tmp_path / "run"), tol=1e-12)
    run = run_fit(config)
    direct = jaxlr.fit(X, y, tol=1e-12)
    errors = direct.standard_errors()
    found = run.summary["coefficients"]
    assert [c["name"] for c in found] == ["a", "b", "(intercept)"]
    values = np.append(direct.params.w, direct.params.b)
    np.testing.assert_allclose([c["value"] for c in found], values, rtol=1e-9)
    np.testing.assert_allclose(
        [c["standard_error"] for c in found], np.append(errors.w, errors.b), rtol=1e-9
    )
    np.testing.assert_allclose(Model.load(run.folder).w, direct.params.w, rtol=1e-9)


def test_a_fit_without_optimum_names_the_columns(tmp_path):
    run = run_fit(FitConfig(out=str(tmp_path / "run")))
    assert run.summary["status"] == "separated"
    assert "'mean radius'" in run.summary["why"]
    assert run.summary["coefficients"][0]["standard_error"] is None
    assert "mean radius" in run.summary["certificate"]["runaway"][0]


def test_cross_validation_is_written_with_its_table(tmp_path):
    config = CvConfig(l2=(1e-3, 1e-2, 1.0), out=str(tmp_path / "run"), choose="one standard error")
    run = run_cv(config)
    penalties = run.summary["penalties"]
    assert [row["l2"] for row in penalties] == [1e-3, 1e-2, 1.0]
    assert penalties[1]["log_loss"] < penalties[2]["log_loss"]
    assert run.summary["l2"] in (1e-3, 1e-2)
    assert run.summary["folds_not_converged"] == 0
    assert RunConfig.load(run.folder) == dataclasses.replace(config, data="breast_cancer")


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [(FitConfig, "tol", 0.0), (FitConfig, "l2", -1.0), (FitConfig, "max_steps", 0),
     (FitConfig, "max_steps", 2**31), (FitConfig, "method", "magic"), (CvConfig, "folds", 2**31),
     (CvConfig, "folds", 1), (CvConfig, "l2", ()),
     (CvConfig, "l2", (1.0, -1.0)), (CvConfig, "tol", float("nan"))],
)  # fmt: skip
def test_settings_of_fits_out_of_range_are_named(kind, setting, value):
    with pytest.raises(ValueError, match=setting):
        kind(**{setting: value})


def test_more_folds_than_rows_are_refused(tmp_path):
    with pytest.raises(data.DataError, match="569 rows are fewer than 600 folds"):
        run_cv(CvConfig(folds=600, out=str(tmp_path / "run")))


def test_a_config_of_no_known_command_is_refused():
    with pytest.raises(ValueError, match="command is 'fly'"):
        RunConfig.from_toml("command = 'fly'")
