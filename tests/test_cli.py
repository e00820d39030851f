"""The command line: what it prints, what it writes, and its exit codes."""

import csv
import json
import signal
import subprocess
import sys

import jax
import pytest

from jaxlr import core
from jaxlr.cli import main, show


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "rows.csv").open("w") as file:
        file.write("id,a,b,y\n")
        file.writelines(f"{i},{i % 7},{i % 5},{'yes' if i % 3 else 'no'}\n" for i in range(90))
    return tmp_path


def train(*arguments):
    return main(["train", "rows.csv", "--target", "y", "--exclude", "id", *arguments])


def test_train_explain_and_predict(folder, capsys):
    assert train("--steps", "50", "--out", "run") == 0
    out = capsys.readouterr()
    assert "accuracy" in out.out
    assert "steps done; written to run" in out.out
    assert "label 0 = no (30), label 1 = yes (60)" in out.err
    assert "step 50 of 50" in out.err

    assert main(["explain", "run", "--row", "3"]) == 0
    assert "row 3 (yes)" in capsys.readouterr().out

    assert main(["predict", "run", "rows.csv", "--out", "p.csv"]) == 0
    rows = list(csv.DictReader((folder / "p.csv").read_text().splitlines()))
    assert len(rows) == 90
    assert all((float(r["probability"]) >= 0.5) == (r["label"] == "yes") for r in rows)
    capsys.readouterr()
    assert main(["predict", "run", "rows.csv"]) == 0
    assert capsys.readouterr().out == (folder / "p.csv").read_text()
    assert main(["predict", "run", "rows.csv", "--out", "p.csv"]) == 1
    assert "p.csv exists" in capsys.readouterr().err


def test_predict_refuses_wrong_columns_by_name(folder, capsys):
    train("--steps", "2", "--out", "run")
    (folder / "other.csv").write_text("a,c\n1,2\n")
    assert main(["predict", "run", "other.csv"]) == 1
    assert "no column 'b'" in capsys.readouterr().err
    (folder / "other.csv").write_text("a,b,c\n1,2,3\n")
    assert main(["predict", "run", "other.csv"]) == 1
    assert "does not know the columns 'c'" in capsys.readouterr().err


def test_check_passes_and_fails(folder, capsys, monkeypatch):
    arguments = ["check", "rows.csv", "--target", "y", "--exclude", "id"]
    assert main(arguments) == 0
    assert main([*arguments, "--dtype", "float64"]) == 0
    assert "all checks passed" in capsys.readouterr().out
    original = core.slope
    jax.clear_caches()
    monkeypatch.setattr(core, "slope", lambda cache: original(cache) * 1.001)
    assert main(arguments) == 1
    jax.clear_caches()
    out = capsys.readouterr().out
    assert "CHECKS FAILED" in out
    assert "wrong" in out


def test_explain_shows_every_node_of_the_lesson(capsys):
    assert main(["explain", "--x", "2", "2", "--w", "1", "-1", "--b", "0", "--y", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    numbers = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert numbers["a"][-3:] == ["0.5", "0.5", "0.00"]
    assert numbers["da"][-3:] == ["-2", "-2", "0.00"]
    assert numbers["dz"][-3:] == ["-0.5", "-0.5", "0.00"]
    assert numbers["db"][-3:] == ["-0.5", "-0.5", "0.00"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none.csv", "--target", "y"], "none.csv: no such file"),
        (["train", "rows.csv"], "name the column of the labels"),
        (["explain", "nowhere"], "no run folder"),
        (["explain", "--w", "1"], "--w has 1 values and --x has 2"),
        (["explain", "--y", "2"], "--y must be in"),
        (["check", "--rows", "0"], "--rows is 0"),
        (["predict", "nowhere", "rows.csv"], "no run folder"),
    ],
)
def test_errors_are_one_line(folder, capsys, arguments, message):
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("jaxlr: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train", "--alpha", "-1"], ["predict"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_diverged_run_exits_with_1_and_is_kept(folder, capsys):
    assert train("--alpha", "1e38", "--no-standardize", "--out", "run") == 1
    assert "smaller --alpha" in capsys.readouterr().err
    assert json.loads((folder / "run/summary.json").read_text())["status"] == "diverged"


def test_ctrl_c_keeps_what_there_is(folder, monkeypatch, capsys):
    original = show.TrainingProgress.__call__

    def interrupted(self, progress):
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)
        return original(self, progress)

    monkeypatch.setattr(show.TrainingProgress, "__call__", interrupted)
    assert train("--steps", "1000", "--out", "run") == 130
    summary = json.loads((folder / "run/summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("stopped_by_callback", 6)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_real_thing_in_a_process():
    code = "import sys; from jaxlr.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "explain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sigma(z)" in done.stdout
