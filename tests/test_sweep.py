"""A sweep: its members are runs of `jaxlr train`, and what it writes can be trusted."""

import dataclasses
import errno
import json
import signal
import typing
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlr.cli import main, progress
from jaxlr.core import Params
from jaxlr.data import Dataset
from jaxlr.run import (
    RunConfig,
    RunFolderError,
    SweepConfig,
    TrainConfig,
    resume_sweep,
    run_sweep,
    run_training,
)
from jaxlr.run.sweep import crosscheck, folder, groups, sweep
from jaxlr.run.sweep.outcome import Outcome, rank

GRID = dict(
    alpha=(0.03, 1.0, 1e200), l2=(0.0, 0.01), batch_size=("all", 16), steps=30, validate_every=5
)  # fmt: skip
FINISHED = {"loss", "accuracy", "roc_auc", "brier"}


class Untouchable:
    """Rows for the test: nobody may look at them."""

    def __getattr__(self, name):
        raise AssertionError(f"a sweep looks at the test rows: {name}")


def write_rows(path, soft=False):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 2))
    y = rng.random(100) < 1 / (1 + np.exp(-2 * X[:, 0]))
    labels = np.where(y, 0.75, 0.25) if soft else np.where(y, "yes", "no")
    lines = [f"{a},{b},{label}\n" for (a, b), label in zip(X, labels, strict=True)]
    path.write_text("a,b,y\n" + "".join(lines))
    return str(path)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Sweep over a grid in float64, with members that diverge."""
    parent = tmp_path_factory.mktemp("swept")
    config = SweepConfig(
        data=write_rows(parent / "rows.csv"), target="y", dtype="float64", out=f"{parent}/sweep",
        memory="1GB", **GRID,
    )  # fmt: skip
    original, told = sweep.prepare, []

    def prepare(*arguments, **settings):
        return original(*arguments, **settings)._replace(test=Untouchable())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "prepare", prepare)
        found = run_sweep(config, tell=told.append)
    assert "12 members in 2 programs" in told
    return config, found


def outcomes(found):
    return [outcome for ranked in found.ranked for outcome in ranked.members]


def test_the_folder_has_a_line_for_each_member_and_settings_to_go_on_with(swept):
    config, found = swept
    assert RunConfig.from_toml((found.folder / "sweep.toml").read_text()) == config
    best = RunConfig.from_toml((found.folder / "best.toml").read_text())
    assert best == found.best
    assert best.out is None
    lines = [json.loads(line) for line in (found.folder / "sweep.jsonl").read_text().splitlines()]
    assert sorted(line["member"] for line in lines) == list(range(12))
    assert lines[0]["config"]["alpha"] == best.alpha
    losses = [line["validation"]["loss"] for line in lines[:8]]
    assert losses == sorted(losses)
    for line in lines[8:]:
        assert (line["status"], line["validation"]) == ("diverged", None)
        assert "smaller alpha" in line["why"]
        assert line["config"]["alpha"] == 1e200
    for line in lines[:8]:
        assert (line["status"], line["steps"]) == ("steps_done", 30)
        assert set(line["validation"]) == FINISHED
    programs = (found.folder / "programs.jsonl").read_text().splitlines()
    assert all(json.loads(line)["seconds"] > 0 for line in programs)
    assert sorted(path.name for path in found.folder.parent.iterdir()) == ["rows.csv", "sweep"]


def test_a_member_is_what_jaxlr_train_makes_of_its_settings(swept, tmp_path):
    _, found = swept
    member = next(o for o in outcomes(found) if o.config.batch_size == 16)
    config = dataclasses.replace(member.config, out=f"{tmp_path}/run", checkpoint_minutes=0)
    summary = run_training(config).summary
    for name in FINISHED:
        assert member.validation[name] == pytest.approx(summary["validation"][name], rel=1e-12)
    assert (member.steps, member.params_step) == (summary["steps"], summary["params_step"])


def test_settings_are_ranked_by_the_mean_over_their_seeds():
    def outcome(i, alpha, seed, value, status="steps_done"):
        config, metrics = TrainConfig(alpha=alpha, seed=seed), dict.fromkeys(FINISHED, value)
        return Outcome(i, config, status, "", 1, 1, metrics if value is not None else None, 0)

    lucky = [outcome(0, 0.1, 0, 0.1), outcome(1, 0.1, 1, 0.9)]
    steady = [outcome(2, 0.2, 0, 0.3), outcome(3, 0.2, 1, 0.3)]
    once = [outcome(4, 0.3, 0, 0.01), outcome(5, 0.3, 1, None, "diverged")]
    cut = [outcome(6, 0.4, 0, 0.01, "interrupted"), outcome(7, 0.4, 1, 0.01)]
    unbegun = [outcome(8, 0.5, 0, 0.01)]
    found = rank([*lucky, *once, *cut, *unbegun, *steady], "loss", seeds=2)
    assert [one.members for one in found[:2]] == [steady, lucky]
    assert [one.mean for one in found] == [0.3, 0.5, None, None, None]
    found = rank([*lucky, *steady], "accuracy", seeds=2)
    assert found[0].members == lucky


def test_random_settings_are_log_uniform_distinct_and_the_same_again():
    settings = dict(alpha=("0.001..10",), l2=(0.0, "1e-6..1e-2"), seed=(3, 4), random=400)
    config = SweepConfig(**settings, batch_size=("all", 32))
    members = config.members()
    assert members == config.members()
    assert len(set(members)) == 800
    assert [m.seed for m in members[:4]] == [3, 4, 3, 4]
    alpha = np.log10([m.alpha for m in members[::2]])
    assert np.quantile(alpha, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(
        [-3, -2, -1, 0, 1], abs=0.25
    )
    l2 = np.array([m.l2 for m in members[::2]])
    assert 150 < np.sum(l2 == 0) < 250
    assert np.median(np.log10(l2[l2 > 0])) == pytest.approx(-4, abs=0.4)
    assert {m.batch_size for m in members} == {None, 32}
    assert members != SweepConfig(**settings | dict(seed=(5, 4))).members()
    few = SweepConfig(alpha=(0.1, 0.2, 0.3), l2=(0.0, 0.1), random=6).members()
    assert len({(m.alpha, m.l2) for m in few}) == 6


def test_members_that_can_share_a_read_are_one_program(monkeypatch):
    config = SweepConfig(
        alpha=(0.1, 0.2), l2=(0.0, 0.1), optimizer=("plain", "adam"), batch_size=(8, "all"),
        seed=(7, 5),
    )  # fmt: skip
    members = config.members()
    found = groups.groups_of(members, d=10)
    assert [len(group.members) for group in found] == [4] * 8
    assert [group.members[0].seed for group in found] == [7] * 4 + [5] * 4
    assert sorted(i for group in found for i in group.numbers) == list(range(32))
    for group in found:
        assert len({(m.seed, m.optimizer, m.batch_size) for m in group.members}) == 1
        assert group.members == [members[i] for i in group.numbers]
    monkeypatch.setattr(groups, "_BYTES", 3 * 8 * 12 * 11)  # room for three at a time
    assert [len(group.members) for group in groups.groups_of(members, d=10)] == [3, 1] * 8


@pytest.mark.relaxed
@pytest.mark.parametrize(
    "schedule", ["constant", "cosine", "linear", "exponential", "warmup_cosine"]
)
def test_a_traced_learning_rate_makes_the_same_steps(schedule):
    settings = dict(schedule=schedule, warmup_steps=2 if schedule == "warmup_cosine" else 0)
    member = TrainConfig(optimizer="momentum", alpha=0.3, steps=5, **settings)
    own, of_rate = member.make_optimizer(), groups.optimizer_of(member)
    assert of_rate == groups.optimizer_of(dataclasses.replace(member, alpha=0.7))
    start = grads = jnp.ones(2)
    a = b = start
    state = again = own.init(start)
    step = jax.jit(lambda rate, *arguments: of_rate(rate).step(*arguments))
    for _ in range(7):
        a, state = own.step(a, grads, state, jnp.zeros(()))
        b, again = step(0.3, b, grads, again, jnp.zeros(()))
        np.testing.assert_allclose(b, a, rtol=1e-6)
    assert not np.allclose(a, start)


def test_a_sweep_knows_what_a_training_knows():
    mine, theirs = typing.get_type_hints(SweepConfig), typing.get_type_hints(TrainConfig)
    assert typing.get_args(mine["optimizer"])[0] == theirs["optimizer"]
    assert mine["schedule"] == theirs["schedule"]
    left_out = set(theirs) - set(mine)
    assert left_out == {"checkpoint_minutes", "checkpoint_steps", "tensorboard"}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.csv")
    write_rows(tmp_path / "soft.csv", soft=True)
    # It takes a second each time, and those of `swept` were judged.
    passes = SimpleNamespace(summary=lambda: "pass")
    monkeypatch.setattr(sweep, "check_gradient_of_many", lambda *given: passes)
    return tmp_path


def jaxlr_sweep(*arguments):
    arguments = ["rows.csv", "--target", "y", "--steps", "30", "--out", "s", *arguments]
    return main(["sweep", *arguments])


def test_the_command_prints_a_table_and_the_command_to_go_on(rows, capsys):
    arguments = ["--alpha", "0.03", "1", "1e200", "--l2", "0", "0.01", "--dtype", "float64"]
    assert jaxlr_sweep(*arguments, "--batch-size", "all", "16") == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if " at step " in line]
    assert len(lines) == 12
    assert lines[-1][-4:] == ["diverged", "at", "step", "1"]
    losses = [float(line[3]) for line in lines[:8]]
    assert losses == sorted(losses)
    assert "4 of 12 diverged, the first of them: the loss or its gradient" in out
    assert "to train the best: jaxlr train s/best.toml" in out
    assert RunConfig.from_toml((rows / "s/best.toml").read_text()).memory > 0  # as in the sweep
    wild = ["--alpha", "1e200", "1e201", "1e202"]
    assert main(["sweep", "s/sweep.toml", *wild, "--out", "again"]) == 1
    assert "no settings came through" in capsys.readouterr().err
    assert not (rows / "again/best.toml").exists()
    assert (rows / "again/sweep.jsonl").exists()


def test_a_program_that_fails_is_reported_and_not_fatal(rows, monkeypatch, capsys):
    original = sweep.train_many

    def fail(*arguments, batch_size, **settings):
        if batch_size:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory\nat length")
        return original(*arguments, batch_size=batch_size, **settings)

    monkeypatch.setattr(sweep, "train_many", fail)
    arguments = ["--alpha", "0.03", "1", "0.2", "--l2", "0", "0.01", "--dtype", "float64"]
    assert jaxlr_sweep(*arguments, "--batch-size", "16", "all") == 0
    assert "6 of 12 failed, the first of them: RESOURCE_EXHAUSTED: no memory\n" in (
        capsys.readouterr().out
    )


def test_a_wrong_gradient_of_many_is_caught(monkeypatch):
    data = Dataset(np.eye(4, 2), np.array([0.0, 1, 1, 0]), ("a", "b"), ("no", "yes"), "made up")
    original = crosscheck.objectives

    def wrong(*arguments):
        J, (dw, db) = original(*arguments)
        return J, Params(dw[::-1], db)  # each model gets the other's

    def unweighted(params, X, y, s, l2):
        return original(params, X, y, None, l2)

    weighted = data._replace(weight=np.array([1.0, 2, 3, 0]))
    with jax.enable_x64(True):
        for fault, rows in ((wrong, data), (unweighted, weighted)):
            monkeypatch.setattr(crosscheck, "objectives", fault)
            assert not crosscheck.check_gradient_of_many(rows, 0.1, np.random.default_rng(0))


def test_nothing_is_trained_with_a_wrong_gradient(rows, monkeypatch, capsys):
    class Failing(SimpleNamespace):
        def __bool__(self):
            return False

    fails = Failing(summary=lambda: "wrong")
    monkeypatch.setattr(sweep, "check_gradient_of_many", lambda *given: fails)
    assert jaxlr_sweep("--dtype", "float64") == 1
    assert "the gradient check failed, so nothing was trained" in capsys.readouterr().err
    assert not (rows / "s").exists()


def test_ctrl_c_writes_what_is_done(rows, monkeypatch, capsys):
    original = progress.TrainingProgress.__call__

    def interrupted(self, seen):
        if seen.step == 30 + 4:  # in the second program
            signal.raise_signal(signal.SIGINT)
        return original(self, seen)

    monkeypatch.setattr(progress.TrainingProgress, "__call__", interrupted)
    arguments = ["--alpha", "0.03", "1", "0.2", "--l2", "0", "0.01", "--dtype", "float64"]
    assert jaxlr_sweep(*arguments, "--batch-size", "16", "all", "8") == 130
    lines = [json.loads(line) for line in (rows / "s/sweep.jsonl").read_text().splitlines()]
    statuses = [(line["config"]["batch_size"], line["status"], line["steps"]) for line in lines]
    assert statuses == [(16, "steps_done", 30)] * 6 + [(None, "interrupted", 5)] * 6
    assert RunConfig.from_toml((rows / "s/best.toml").read_text()).batch_size == 16
    out = capsys.readouterr().out
    assert "interrupted at step 5" in out
    assert "to go on: jaxlr resume s" in out
    assert main(["runs", "."]) == 0
    assert "s is a sweep that has not ended; to go on: jaxlr resume s" in capsys.readouterr().out
    monkeypatch.setattr(progress.TrainingProgress, "__call__", original)
    assert main(["resume", "s", "--steps", "40"]) == 2
    assert "whose members keep their number of steps" in capsys.readouterr().err
    assert main(["resume", "s"]) == 0
    assert "going on after 1 of 3 programs" in capsys.readouterr().err
    assert (rows / "s/sweep.jsonl").read_text().count('"steps_done"') == 18
    assert main(["runs", "."]) == 0
    assert "sweep" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "0.1", "-1"], "alpha is -1.0"),
        (["--alpha", "0.1", "fast"], "alpha has 'fast': it must be a number, or LOW..HIGH"),
        (["--alpha", "0.1", "0.1"], "alpha has a value twice"),
        (["--alpha", "0.1..1"], "a range LOW..HIGH needs random"),
        (["--alpha", "1..0.1", "--random", "3"], "from a number above 0 to a larger one"),
        (["--l2", "0..1", "--random", "3"], "from a number above 0 to a larger one"),
        (["--random", "0", "--alpha", "0.1..1"], "random is 0"),
        (["--random", "6"], "there are only 5 settings"),
        (["--alpha", "1..1.0000000000000002", "--random", "5"], "2 different settings are all"),
        (["--steps", "99999999999999999999999"], "a whole number from 1 to 2147483647"),
        (["--alpha", "0.1..1", "--random", "2600", "--seed", "0", "1"], "5200 members are more"),
        (["--l2", "-1"], "l2 is -1.0"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--optimizer", "sgdd"], "sgdd"),
        (["--seed", "-1"], "seed is -1"),
        (["--metric", "speed"], "speed"),
        (["--steps", "0"], "steps is 0"),
        (["--validation-fraction", "0"], "there must be rows to choose by"),
        (["--validation-fraction", "0.9"], "leave no rows"),
        (["--schedule", "linear", "--final-alpha", "0.05"], "final_alpha is 0.05"),
        (["none.csv"], "none.csv: no such file"),
        (["none.csv", "--memory", "0"], "none.csv: no such file"),
        (["soft.csv", "--metric", "accuracy"], "validation rows have no accuracy"),
        (["--out", "soft.csv"], "soft.csv exists: choose another folder"),
        (["bad.toml"], "bad.toml: the config has no setting speed"),
        (["scalar.toml"], "scalar.toml: alpha is 0.1: it must be a list"),
        (["typed.toml"], "typed.toml: alpha is True: it must be a number"),
        (["nested.toml"], "nested.toml: alpha has [1]: it must be a list of single values"),
        (["twice.toml"], "twice.toml: alpha has a value twice: 1, 1.0"),
        (["out.toml"], "out.toml: out is 3: it must be a string"),
        (["metric.toml"], "metric.toml: metric is 3"),
    ],
)  # fmt: skip
def test_bad_input_exits_with_2_and_writes_nothing(rows, capsys, arguments, message):
    texts = {"bad": "speed = 1", "scalar": "alpha = 0.1", "typed": "alpha = [true]"}
    texts |= {"nested": "alpha = [[1]]", "twice": "alpha = [1, 1.0]", "out": "out = 3"}
    for name, text in {**texts, "metric": "metric = 3"}.items():
        (rows / f"{name}.toml").write_text(f'command = "sweep"\n{text}\n')
    before = sorted(rows.iterdir())
    data = [] if arguments[0].endswith(("csv", "toml")) else ["rows.csv"]
    try:
        code = main(["sweep", *data, *arguments, "--target", "y"])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert sorted(rows.iterdir()) == before


def test_only_the_folder_of_a_sweep_is_overwritten(tmp_path, monkeypatch):
    target = tmp_path / "s"
    old, new = (SweepConfig(steps=steps, overwrite=True) for steps in (1, 2))
    folder.begin(target, old, {})
    with pytest.raises(RunFolderError, match="an unfinished sweep: continue it"):
        folder.check_free(target, overwrite=False)
    folder.finish(target, old, [])
    with pytest.raises(RunFolderError, match="exists: choose another folder"):
        folder.check_free(target, overwrite=False)
    folder.begin(target, new, {})
    assert {path.name for path in target.iterdir()} == {"sweep.toml", "run.json", "programs.jsonl"}
    assert folder.settings_of(target).steps == 2
    rename = Path.rename

    def full(self, other):
        if self.name == "new":
            raise OSError(errno.ENOSPC, "full")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(RunFolderError, match="full"):
        folder.begin(target, old, {})
    assert folder.settings_of(target).steps == 2
    assert list(tmp_path.iterdir()) == [target]
    (target / "mine.txt").touch()
    with pytest.raises(RunFolderError, match=r"mine.txt, which no sweep wrote"):
        folder.check_free(target, overwrite=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(RunFolderError, match="no folder of a sweep"):
        folder.check_free(tmp_path / "other", overwrite=True)


class Killed(BaseException):
    """Takes the place of `kill -9` inside a process: nothing of ours runs after it."""


def killed_in_second_program(progress):
    if progress.step == 30 + 4:
        raise Killed


def test_a_killed_sweep_goes_on_to_the_same_bytes(swept, rows, monkeypatch):
    config, whole = swept
    config = dataclasses.replace(config, out=f"{rows}/cut")
    with pytest.raises(Killed):
        run_sweep(config, callback=killed_in_second_program)
    cut = rows / "cut"
    assert not (cut / "sweep.jsonl").exists()
    with pytest.raises(RunFolderError, match="jaxlr resume"):
        run_sweep(config)
    with (cut / "programs.jsonl").open("a") as file:
        file.write('{"program": 1, "sec')  # killed while writing
    trained, original, told = [], sweep.train_many, []

    def train_many(*arguments, **settings):
        trained.append(settings["batch_size"])
        return original(*arguments, **settings)

    monkeypatch.setattr(sweep, "train_many", train_many)
    for _ in range(2):  # once more, there is nothing to do
        found = resume_sweep(cut, tell=told.append)
        for name in ("sweep.jsonl", "best.toml"):
            assert (cut / name).read_bytes() == (whole.folder / name).read_bytes()
        assert found.best == whole.best
    assert trained == [16]
    assert any("line 2 is not whole" in line for line in told)
    assert "nothing to train" in told[-1]


def test_a_sweep_goes_on_with_its_own_settings_and_rows_alone(swept, rows):
    config, _ = swept
    config = dataclasses.replace(config, data=str(rows / "rows.csv"), out=f"{rows}/cut")
    with pytest.raises(Killed):
        run_sweep(config, callback=killed_in_second_program)
    text = (rows / "rows.csv").read_text()
    (rows / "rows.csv").write_text(text.replace("yes", "no", 1))
    with pytest.raises(RunFolderError, match=r"rows.csv is not what .*cut was trained on: as many"):
        resume_sweep(rows / "cut")
    (rows / "rows.csv").write_text(text)
    settings = rows / "cut/sweep.toml"
    settings.write_text(settings.read_text().replace("steps = 30", "steps = 31"))
    with pytest.raises(RunFolderError, match=r"sweep.toml is not what the sweep began with"):
        resume_sweep(rows / "cut")
    (rows / "cut/run.json").write_text("[")
    with pytest.raises(RunFolderError, match=r"run.json is damaged: .*: put it back, or sweep"):
        resume_sweep(rows / "cut")
    (rows / "cut/run.json").unlink()
    with pytest.raises(RunFolderError, match="no sweep that can go on"):
        resume_sweep(rows / "cut")
