"""Runs that are stopped, killed or damaged, and go on to the same bytes."""

import errno
import json
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxlr.cli import main
from jaxlr.run import (
    Run,
    RunFolderError,
    TrainConfig,
    folder,
    resume_training,
    run_training,
)
from jaxlr.run.checkpoint import Checkpoints

STEPS = 30
MODEL, METRICS = "params.safetensors", "metrics.jsonl"


class Killed(BaseException):
    """Takes the place of `kill -9` inside a process: nothing of ours runs after it."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    """A run that nothing interrupts, on 60 rows, with all that has a state."""
    parent = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    rows = [
        f"{a},{b},{'yes' if a + rng.normal() > 0 else 'no'}" for a, b in rng.normal(size=(60, 2))
    ]
    (parent / "rows.csv").write_text("\n".join(["a,b,y", *rows]))
    return run_training(
        TrainConfig(
            data=str(parent / "rows.csv"), target="y", out=str(parent / "run"), steps=STEPS,
            optimizer="adam", schedule="cosine", batch_size=8, checkpoint_steps=4,
            validation_fraction=0.2, validate_every=3,
        )
    )  # fmt: skip


def config_for(whole: Run, out: Path, **settings) -> TrainConfig:
    return replace(TrainConfig.load(whole.folder), out=str(out), **settings)


def killed(whole: Run, out: Path, step: int, **settings) -> Path:
    """A run that is killed after so many steps."""

    def kill(progress):
        if progress.step + 1 == step:
            raise Killed

    with pytest.raises(Killed):
        run_training(config_for(whole, out, **settings), callback=kill)
    return out


def assert_same(run: Path, whole: Run) -> None:
    for name in (MODEL, METRICS):
        assert (run / name).read_bytes() == (whole.folder / name).read_bytes(), name
    summary = json.loads((run / "summary.json").read_text())
    assert summary | {"seconds": 0} == whole.summary | {"seconds": 0}


def checkpoints(run: Path) -> list[int]:
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir())


def test_the_run_has_a_line_for_each_step_and_the_last_checkpoints(whole):
    lines = [json.loads(line) for line in (whole.folder / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [*range(STEPS), STEPS]
    seen = [line["step"] for line in lines if "validation_loss" in line]
    assert seen == list(range(0, STEPS + 1, 3))
    assert checkpoints(whole.folder) == [24, 28, 30]
    assert not list(whole.folder.rglob("*.pkl"))


@pytest.mark.parametrize("step", [1, 11, 29])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, whole, step):
    run = killed(whole, tmp_path / "run", step)
    assert not (run / "summary.json").exists()
    with (run / METRICS).open("a") as file:
        file.write('{"step": 4, "los')  # what a process that is killed may leave of a line
    told = []
    resume_training(run, tell=told.append)
    went_on = f"going on after {(step - 1) // 4 * 4} of 30 steps"
    assert (went_on if step > 4 else "no checkpoint: training begins anew") in told
    assert_same(run, whole)


def test_a_stopped_run_has_a_model_and_goes_on(tmp_path, whole):
    config = config_for(whole, tmp_path / "run", checkpoint_steps=None)
    run = run_training(config, callback=lambda p: p.step == 9)
    assert (run.summary["status"], run.summary["steps"]) == ("interrupted", 10)
    assert checkpoints(run.folder) == [10]
    again = resume_training(run.folder, callback=lambda p: p.step == 19)
    assert again.summary["steps"] == 20
    assert_same(resume_training(run.folder).folder, whole)


def test_a_longer_run_is_the_run_that_had_been_told_so(tmp_path, whole):
    config = config_for(whole, tmp_path / "short", steps=17)
    assert config.schedule_steps == STEPS  # as it was resolved: more steps do not stretch it
    run = run_training(config)
    assert run.summary["steps"] == 17
    unfinished = killed(whole, tmp_path / "run", 11)
    with pytest.raises(RunFolderError, match="--steps must be at least"):
        resume_training(unfinished, steps=7)
    assert_same(resume_training(run.folder, steps=STEPS).folder, whole)
    assert TrainConfig.load(run.folder).steps == STEPS


def test_patience_that_ran_out_is_no_reason_to_go_on(tmp_path, whole):
    settings = {"patience": 1, "alpha": 1.0, "validate_every": 1}
    run = run_training(config_for(whole, tmp_path / "run", final_alpha=1.0, **settings))
    assert run.summary["status"] == "stopped_early"
    told = []
    assert resume_training(run.folder, steps=99, tell=told.append).summary == run.summary
    assert told == [f"{run.folder}: the validation loss no longer fell: there is nothing to do"]


def test_a_run_without_checkpoints_begins_anew(tmp_path, whole):
    run = killed(whole, tmp_path / "run", 9, checkpoint_steps=None)
    assert not (run / "checkpoints").exists()
    assert_same(resume_training(run).folder, whole)


def test_checkpoints_come_by_the_clock_too(tmp_path, whole):
    run = killed(whole, tmp_path / "run", 6, checkpoint_steps=None, checkpoint_minutes=1e-9)
    assert checkpoints(run) == [3, 4, 5]


FACTS = Path("facts", "metadata")
DAMAGES = {
    "a flipped bit": lambda folder: [flip(path) for path in data_files(folder)],
    "half a file": lambda folder: [os.truncate(path, 9) for path in data_files(folder)],
    "no arrays": lambda folder: shutil.rmtree(folder / "state"),
    "no facts": lambda folder: (folder / FACTS).unlink(),
    "other facts": lambda folder: swap(folder / FACTS, b"metrics_size", b"m_size"),
    "another length": lambda folder: swap(folder / FACTS, b'_size": 1', b'_size": 2'),
    "empty": lambda folder: [shutil.rmtree(folder), folder.mkdir()],
}


def data_files(folder: Path) -> list[Path]:
    """All of them: Orbax keeps some that nothing reads, and one of those may be the largest."""
    return list((folder / "state").rglob("d/*"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


@pytest.fixture(scope="module")
def half(whole, tmp_path_factory) -> Path:
    """A run that was killed after 15 steps, with checkpoints after 4, 8 and 12."""
    return killed(whole, tmp_path_factory.mktemp("half") / "run", 15)


# Orbax leaves reads under way when one fails, and they complain of its closed loop.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_counts(tmp_path, half, whole, damage):
    run = Path(shutil.copytree(half, tmp_path / "run"))
    DAMAGES[damage](run / "checkpoints" / "12")
    told = []
    resume_training(run, tell=told.append)
    assert any("checkpoint after 12 steps: damaged" in line for line in told) or damage == "empty"
    assert "going on after 8 of 30 steps" in told
    assert_same(run, whole)


def test_with_no_whole_checkpoint_nothing_is_removed(tmp_path, half, whole):
    run = Path(shutil.copytree(half, tmp_path / "run"))
    (run / METRICS).write_text("")  # all are of a longer file
    told, before = [], contents(run)
    with pytest.raises(RunFolderError, match=r"no checkpoint can be read\. To begin this run anew"):
        resume_training(run, tell=told.append)
    assert sum("metrics.jsonl is shorter than it was then" in line for line in told) == 3
    assert contents(run) == before
    shutil.rmtree(run / "checkpoints")
    (run / METRICS).unlink()
    assert_same(resume_training(run).folder, whole)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, whole):
    def fill(progress):
        if progress.step == 14:
            # Less than the 15 lines there will be: of a file that large nothing more is written.
            resource.setrlimit(resource.RLIMIT_FSIZE, (900, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(
            RunFolderError, match=r"metrics\.jsonl cannot be written: File too large"
        ):
            run_training(config_for(whole, tmp_path / "run"), callback=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoints(tmp_path / "run") == [4, 8, 12]
    assert_same(resume_training(tmp_path / "run").folder, whole)


def test_a_checkpoint_that_cannot_be_written_leaves_those_before(tmp_path, whole, monkeypatch):
    original = Checkpoints.save

    def save(self, checkpoint):
        if checkpoint.state.step < 12:
            return original(self, checkpoint)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
        try:
            return original(self, checkpoint)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(Checkpoints, "save", save)
    with pytest.raises(
        RunFolderError,
        match=r"after 12 steps cannot be written, the one after 8 is intact: .*jaxlr resume",
    ):
        run_training(config_for(whole, tmp_path / "run"))
    monkeypatch.undo()
    assert checkpoints(tmp_path / "run") == [4, 8]
    assert_same(resume_training(tmp_path / "run").folder, whole)


def test_a_full_disk_at_the_end_leaves_a_run_that_can_end(tmp_path, whole, monkeypatch):
    def full(path, content):
        raise RunFolderError(f"{path} cannot be written: {os.strerror(errno.ENOSPC)}")

    monkeypatch.setattr(folder, "write_file", full)
    with pytest.raises(RunFolderError, match="No space left"):
        run_training(config_for(whole, tmp_path / "run"))
    monkeypatch.undo()
    (tmp_path / "run" / f".summary.json-{os.getpid()}").write_text("{")
    assert_same(resume_training(tmp_path / "run").folder, whole)
    assert not list((tmp_path / "run").glob(".summary*"))


def changed(old: str, new: str):
    return lambda run: swap(run / "config.toml", old.encode(), new.encode())


def other_rows(edit):
    """Let the run be one of changed rows."""

    def change(run: Path) -> None:
        path = Path(TrainConfig.load(run).data)
        (run / "rows.csv").write_text(edit(path.read_text()))
        swap(run / "config.toml", str(path).encode(), str(run / "rows.csv").encode())

    return change


REFUSED = {
    "a row less": (
        other_rows(lambda text: text.rpartition("\n")[0]), "60 rows, and now there are 59"
    ),
    "a column more": (
        other_rows(lambda text: "\n".join(f"{i},{v}" for i, v in enumerate(text.split("\n")))),
        "there were 2 columns, and now there are 3",
    ),
    "another value": (
        other_rows(lambda text: text.replace("\n", "\n0.", 1).replace("0.0.", "0.1", 1)),
        "other values or names",
    ),
    "no rows": (changed("rows.csv", "gone.csv"), "no such file"),
    "another optimiser": (
        changed('optimizer = "adam"', 'optimizer = "momentum"'),
        "has int32[] as state.optimizer.0.count, and this run nothing",
    ),
    "another type": (
        changed('dtype = "float32"', 'dtype = "float64"'),
        "has float32[] as state.best.params.b, and this run float64[]",
    ),
    "no config": (lambda run: (run / "config.toml").unlink(), "no run folder (config.toml) is"),
    "no origin": (lambda run: (run / "run.json").unlink(), "no training that can go on"),
    "an origin of text": (
        lambda run: (run / "run.json").write_text("["), "run.json is damaged: Expecting value"
    ),
    "a summary of text": (
        lambda run: (run / "summary.json").write_text('{"status":'),
        "Remove that file, and jaxlr resume",
    ),
    "a summary of nothing": (
        lambda run: (run / "summary.json").write_text("{}"), "does not say how a run ended"
    ),
    "an origin of a list": (
        lambda run: (run / "run.json").write_text("[]"), "must hold one JSON object"
    ),
    "unknown setting": (changed("alpha =", "alhpa ="), "no setting alhpa: did you mean alpha?"),
    "negative learning rate": (changed("alpha = 0.1", "alpha = -0.1"), "alpha is -0.1"),
    "text for steps": (changed("steps = 30", 'steps = "30"'), "steps is '30'"),
}  # fmt: skip


def test_a_damaged_origin_is_told_before_the_rows_are_read(tmp_path, half):
    run, told = Path(shutil.copytree(half, tmp_path / "run")), []
    (run / "run.json").write_text("[")
    with pytest.raises(RunFolderError, match=r"run.json is damaged: .*put it back, or train anew"):
        resume_training(run, tell=told.append)
    assert told == []


def test_a_damaged_summary_can_be_made_again(tmp_path, whole):
    run = Path(shutil.copytree(whole.folder, tmp_path / "run"))
    (run / "summary.json").write_text('{"status":')
    with pytest.raises(RunFolderError, match=r"Remove that file, and jaxlr resume .*run goes on"):
        resume_training(run)
    (run / "summary.json").unlink()
    assert_same(resume_training(run).folder, whole)


def contents(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_go_on_is_told_in_one_line_and_left_as_it_is(tmp_path, half, capsys, case):
    change, message = REFUSED[case]
    run = Path(shutil.copytree(half, tmp_path / "run"))
    change(run)
    before = contents(run)
    assert main(["resume", str(run)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.splitlines()[-1].startswith("jaxlr: ")
    assert "Traceback" not in err
    assert contents(run) == before
