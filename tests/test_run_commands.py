"""The commands around runs: settings from a file, resume, runs, signals, the lock, TensorBoard."""

import importlib
import json
import os
import shutil
import signal
import struct
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlr.cli import main, progress
from jaxlr.core import Params
from jaxlr.run import RunConfig, TrainConfig, list_runs, run_training

ROOT = Path(__file__).parents[1]
METRICS = "metrics.jsonl"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 7},{i % 5},{'yes' if i % 3 else 'no'}\n" for i in range(90))
    (tmp_path / "rows.csv").write_text("a,b,y\n" + rows)
    return tmp_path


def train(*arguments):
    return main(["train", "rows.csv", "--target", "y", *arguments])


def test_settings_of_a_run_can_be_given_again(folder, capsys):
    assert train("--steps", "9", "--alpha", "0.3", "--out", "first") == 0
    assert main(["train", "first/config.toml"]) == 2
    assert "first exists" in capsys.readouterr().err
    assert main(["train", "first/config.toml", "--out", "second"]) == 0
    for name in ("params.safetensors", "metrics.jsonl"):
        assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes()
    options = ["--no-standardize", "first/config.toml", "--out", "third", "--steps", "4"]
    assert main(["train", *options]) == 0
    config = RunConfig.load("third")
    assert (config.alpha, config.steps, config.standardize) == (0.3, 4, False)


CONFIGS = {
    "unknown setting": ("alfa = 1", "C.toml: the config has no setting alfa: did you mean alpha?"),
    "negative learning rate": ("alpha = -1.0", "C.toml: alpha is -1.0: the learning rate must be"),
    "text for a number": ('steps = "9"', "C.toml: steps is '9': it must be a whole number"),
    "half a step": ("steps = 9.5", "C.toml: steps is 9.5: it must be a whole number"),
    "a table": ("[data]\nname = 1", "C.toml: data is {'name': 1}: it must be a string"),
    "a date": ("alpha = 2020-01-01", "it must be a number"),
    "no TOML": ("alpha: 1", "C.toml: Expected '='"),
    "not UTF-8": (b"\xff\xfe", "C.toml: 'utf-8' codec"),
    "another command": ('command = "fit"', "C.toml: these are settings of jaxlr fit"),
    "no command": ('command = "fly"', "C.toml: command is 'fly'"),
    "a schedule that ends before it begins": (
        'schedule = "warmup_cosine"\nwarmup_steps = 1000', "it must be below the 1000 steps"
    ),
    "a warm-up for nothing": ("warmup_steps = 3", "a warm-up goes with warmup_cosine"),
    "an end without a schedule": ("final_alpha = 0.1", "need a schedule that is not constant"),
    "a schedule that rises": ('schedule = "linear"\nfinal_alpha = 9.0', "must be from 0 to alpha"),
    "an exponential to zero": ('schedule = "exponential"\nfinal_alpha = 0', "never arrives there"),
    "checkpoints every -1 minutes": ("checkpoint_minutes = -1", "checkpoint_minutes is -1"),
    "checkpoints every 0 steps": ("checkpoint_steps = 0", "checkpoint_steps is 0"),
    "an optimiser that is none": ('optimizer = "adamw"', "optimizer is 'adamw': it must be"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_cannot_be_used_is_one_line(folder, capsys, case):
    text, message = CONFIGS[case]
    (folder / "C.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["train", "C.toml", "--out", "run"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxlr: C.toml: ")
    assert message in err
    assert not (folder / "run").exists()


FOLDERS = {
    "none": (lambda run: None, "no run folder (config.toml) is there"),
    "a file": (lambda run: run.write_text(""), "no run folder"),
    "of a fit": (lambda run: _write(run, 'command = "fit"'), "jaxlr fit wrote it"),
    "of a training of long ago": (lambda run: _write(run, ""), "no training that can go on"),
    "locked by nobody who may be named": (
        lambda run: (_write(run, ""), (run / "run.json").mkdir()), "no training that can go on"
    ),
}  # fmt: skip


def _write(run, config):
    run.mkdir()
    (run / "config.toml").write_text(config)


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_none_of_a_run_is_one_line(tmp_path, capsys, case):
    make, message = FOLDERS[case]
    make(tmp_path / "run")
    assert main(["resume", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxlr: ")
    assert message in err


def test_a_missing_config_is_one_line(capsys):
    assert main(["train", "none.toml"]) == 2
    assert capsys.readouterr().err == "jaxlr: none.toml: No such file or directory\n"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_and_resume_ends_the_run(
    folder, monkeypatch, capsys, signum, code
):
    original = progress.TrainingProgress.__call__

    def interrupted(self, seen):
        if seen.step == 5:
            signal.raise_signal(signum)
        return original(self, seen)

    before = signal.getsignal(signum)
    with monkeypatch.context() as patch:
        patch.setattr(progress.TrainingProgress, "__call__", interrupted)
        assert train("--steps", "12", "--out", "run") == code
    assert signal.getsignal(signum) is before
    assert "to go on: jaxlr resume run" in capsys.readouterr().out
    assert [path.name for path in Path("run/checkpoints").iterdir()] == ["6"]
    assert main(["resume", "run"]) == 0
    assert train("--steps", "12", "--out", "whole") == 0
    for name in ("params.safetensors", "metrics.jsonl"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
    capsys.readouterr()
    assert main(["resume", "run"]) == 0
    assert "run: all steps done: there is nothing to do" in capsys.readouterr().err


def test_a_folder_in_use_is_refused_naming_the_process(folder, capsys):
    def others(seen):
        if seen.step == 1:
            codes = [main(["resume", "run"]), train("--overwrite", "--out", "run")]
            assert codes == [2, 2]
            (listed,) = list_runs(".")
            assert listed.status.startswith(f"running: process {os.getpid()} on ")

    run_training(TrainConfig(data="rows.csv", target="y", out="run", steps=3), callback=others)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxlr: ")]
    assert len(said) == 2
    assert all(f"run is being written by process {os.getpid()} on " in line for line in said)


def test_an_unfinished_run_is_named_as_such_everywhere(folder, capsys):
    def kill(seen):
        raise MemoryError

    with pytest.raises(MemoryError):
        run_training(TrainConfig(data="rows.csv", target="y", out="run", steps=3), callback=kill)
    capsys.readouterr()
    for arguments in (["explain", "run"], ["predict", "run", "rows.csv"]):
        assert main(arguments) == 2
        assert "run: the training has not ended: jaxlr resume run" in capsys.readouterr().err
    assert train("--out", "run") == 2
    assert "unfinished run: continue it (jaxlr resume run)" in capsys.readouterr().err
    assert main(["runs", "."]) == 0
    assert "unfinished" in capsys.readouterr().out
    assert train("--steps", "3", "--out", "run", "--overwrite") == 0


def test_runs_are_listed_best_first(folder, monkeypatch, capsys):
    for name, loss in (("a", 0.5), ("b", 0.2), ("c", None), ("d", 0.9)):
        run = folder / "runs" / name
        run.mkdir(parents=True)
        (run / "config.toml").write_text(TrainConfig(alpha=0.25).to_toml())
        (run / "run.json").write_text("{}")
        scores = {"loss": loss, "accuracy": 1 - loss} if loss else {}
        summary = {"status": "steps_done", "steps": 7, "train": scores, "test": scores}
        if loss:
            (run / "summary.json").write_text(json.dumps(summary))
    (folder / "runs/c/metrics.jsonl").write_text(
        '{"step": 0, "loss": 1}\n{"step": 1, "loss": 1}\n{"s'
    )
    (folder / "runs/d/summary.json").write_text(
        json.dumps(
            summary | {"validation": {"loss": 0.1, "accuracy": 0.1}, "status": "stopped_early"}
        )
    )
    (folder / "runs/e").mkdir()
    (folder / "runs/e/config.toml").write_text("speed = 1")
    shutil.copytree(folder / "runs/c", folder / "runs/f")
    (folder / "runs/f/metrics.jsonl").write_text("[" * 9999 + "\n")
    shutil.copytree(folder / "runs/b", folder / "runs/g")
    (folder / "runs/g/summary.json").write_text(
        json.dumps(summary | {"train": {"loss": 0.05}, "test": None})
    )
    assert main(["runs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in found] == ["d", "b", "a", "g", "c", "e", "f"]
    assert [run["steps"] for run in found] == [7, 7, 7, 7, 2, None, None]
    assert (found[4]["status"], found[0]["settings"]["alpha"]) == ("unfinished", 0.25)
    assert all(run["status"].startswith("damaged: ") for run in found[5:])
    assert "metrics.jsonl is damaged" in found[6]["status"]
    monkeypatch.setenv("COLUMNS", "80")
    ranked = {"loss": "dbagcef", "test": "badcefg", "accuracy": "badcefg", "name": "abcdefg"}
    for sort, order in ranked.items():
        assert main(["runs", "runs", "--sort", sort]) == 0
        table, _, below = capsys.readouterr().out.partition("\n\n")
        assert "".join(row[0] for row in table.splitlines()[2:]) == order  # one line each
        assert "e is damaged: " in below
        ends = {row[0]: row.split()[-3:] for row in table.splitlines()}
        assert ends["d"] == (
            ["0.9000", "0.1000", "test"] if sort == "test" else ["0.1000", "0.1000", "valid."]
        )
    assert ends["b"] == ["0.2000", "0.8000", "test"]
    assert ends["g"] == ["0.0500", "-", "train"]
    assert main(["runs", "nowhere"]) == 2


def events_in(folder: Path):
    """Events of TensorBoard: records of length, checksum, message, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack("<Q", data[at : at + 8])
            event = Event.FromString(data[at + 12 : at + 12 + size])
            yield from ((event.step, v.tag, v.simple_value) for v in event.summary.value)
            at += 12 + size + 4


def test_tensorboard_shows_the_numbers_of_the_metrics(folder):
    config = TrainConfig(
        data="rows.csv", target="y", out="run", steps=6, tensorboard=True,
        validation_fraction=0.2, validate_every=2,
    )  # fmt: skip
    run_training(config)
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    expected = [
        (line["step"], name, np.float32(value))
        for line in lines
        for name, value in line.items()
        if name != "step"
    ]
    assert list(events_in(Path("run/tensorboard"))) == expected


@pytest.mark.parametrize("package", ["orbax", "tensorboardX"])
def test_a_missing_package_is_told_before_anything_is_written(folder, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "orbax.checkpoint", raising=False)
    assert train("--steps", "3", "--out", "run", "--tensorboard") == 2
    assert f"this needs {package}: pip install" in capsys.readouterr().err
    assert not (folder / "run").exists()


COSINE = lambda t, n: (1 + np.cos(np.pi * min(t, n) / n)) / 2  # noqa: E731
SCHEDULES = {
    "constant": ({}, lambda t: 0.5),
    "linear": ({"final_alpha": 0.1}, lambda t: 0.5 - 0.4 * min(t, 4) / 4),
    "exponential": ({"final_alpha": 0.05}, lambda t: 0.5 * 0.1 ** (min(t, 4) / 4)),
    "cosine": ({}, lambda t: 0.005 + 0.495 * COSINE(t, 4)),
    "warmup_cosine": (
        {"warmup_steps": 2, "final_alpha": 0.0},
        lambda t: 0.25 * t if t < 2 else 0.5 * COSINE(t - 2, 2),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_what_it_is_called(name):
    settings, rate = SCHEDULES[name]
    config = TrainConfig(alpha=0.5, schedule=name, steps=4, **settings).resolved()
    step = replace(config, steps=9).make_optimizer()  # as of a run that is made longer
    params, one = Params(jnp.zeros(1), jnp.zeros(())), Params(jnp.ones(1), jnp.ones(()))
    state = step.init(params)
    for t in range(6):
        after, state = step.step(params, one, state, jnp.zeros(()))
        assert float(params.b - after.b) == pytest.approx(rate(t), abs=1e-6)
        params = after


FIRST_STEPS = {  # of alpha 0.5 with gradient 2 and then 2 again, from the papers' formulas
    "plain": (1.0, 1.0),
    "momentum": (1.0, 1.9),
    "nesterov": (1.9, 2.71),
    "adam": (0.5, 0.5),  # times 2 / (2 + epsilon), and float32's powers of 0.999
    "rmsprop": (0.5 / np.sqrt(0.1), 0.5 / np.sqrt(0.19)),
    "adagrad": (0.5 * 2 / np.sqrt(4.1), 0.5 * 2 / np.sqrt(8.1)),
    "lion": (0.5, 0.5),
}


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_an_optimizer_is_what_it_is_called(name):
    step = TrainConfig(alpha=0.5, optimizer=name).make_optimizer()
    params, two = Params(jnp.ones(1), jnp.ones(())), Params(2 * jnp.ones(1), jnp.array(2.0))
    state = step.init(params)
    for expected in FIRST_STEPS[name]:
        after, state = step.step(params, two, state, jnp.zeros(()))
        assert float(params.b - after.b) == pytest.approx(expected, rel=2e-5)
        params = after


@pytest.mark.thorough
def test_kill_9_changes_no_byte(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    kill9 = importlib.import_module("kill9")
    trainings, run = kill9.Trainings(tmp_path, 300, 60), tmp_path / "killed"
    for lines in (130,):  # scripts/kill9.py does it at many
        process = trainings.start("killed")
        while not (run / METRICS).exists() or (run / METRICS).read_bytes().count(b"\n") < lines:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.kill()
        process.communicate()
        assert not (run / "summary.json").exists()
    trainings.finish("killed")
    run_training(replace(TrainConfig.load(run), out=str(tmp_path / "whole")))
    assert trainings.differing("killed", "whole") == []
    kill9.check_steps(run / METRICS, 300)
