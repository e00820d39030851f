"""The command line: what it prints, what it writes, and its exit codes."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

import jaxlr
from jaxlr import core
from jaxlr.cli import main, progress, show
from jaxlr.run import Model


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
    assert main(["predict", "run", "rows.csv", "--out", "p.csv"]) == 2
    assert "p.csv exists" in capsys.readouterr().err


def test_predict_refuses_wrong_columns_by_name(folder, capsys):
    train("--steps", "2", "--out", "run")
    (folder / "other.csv").write_text("a,c\n1,2\n")
    assert main(["predict", "run", "other.csv"]) == 2
    assert "no column 'b'" in capsys.readouterr().err
    (folder / "other.csv").write_text("a,b,c\n1,2,3\n")
    assert main(["predict", "run", "other.csv"]) == 2
    assert "does not know the columns 'c'" in capsys.readouterr().err


def test_check_passes_and_fails(folder, capsys, monkeypatch):
    arguments = ["check", "rows.csv", "--target", "y", "--exclude", "id"]
    assert main(arguments) == 0
    assert main([*arguments, "--dtype", "float64"]) == 0
    assert "all checks passed" in capsys.readouterr().out
    original = core.slope
    monkeypatch.setattr(core, "slope", lambda cache: original(cache) * 1.001)
    # As many rows as no other test has: what is compiled of them is wrong from here on.
    assert main([*arguments, "--rows", "83"]) == 1
    out = capsys.readouterr().out
    assert "CHECKS FAILED" in out
    assert "wrong" in out


def test_explain_shows_every_node_of_the_lesson(capsys):
    assert main(["explain", "--x", "2", "2", "--w", "1", "-1", "--b", "0", "--y", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    numbers = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert numbers["a"][-3:] == ["0.5", "0.5", "0"]
    assert numbers["da"][-3:] == ["-2", "-2", "0"]
    assert numbers["dz"][-3:] == ["-0.5", "-0.5", "0"]
    assert numbers["db"][-3:] == ["-0.5", "-0.5", "0"]
    assert numbers["dw"][1:] == ["2", "-1", "-1", "0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none.csv", "--target", "y"], "none.csv: no such file"),
        (["train", "rows.csv"], "name the column of the labels"),
        (["explain", "nowhere"], "no run folder"),
        (["train", "--target", "y"], "To use a file, name it"),
        (["explain", "--x", "1e38", "1e38", "--w", "10", "1"], "overflows in float32"),
        (["predict", "nowhere", "rows.csv"], "no run folder"),
    ],
)
def test_errors_are_one_line(folder, capsys, arguments, message):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxlr: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], ""),
        (["fly"], "fly"),
        (["predict"], ""),
        (["train", "--alpha", "-1"], "alpha is -1.0"),
        (["train", "--seed", "-1"], "seed is -1"),
        (["check", "--rows", "0"], "rows is 0"),
        (["check", "--l2", "-1"], "l2 is -1.0"),
        (["check", "--seed", "-1"], "seed is -1"),
        (["explain", "--alpha", "0"], "alpha is 0.0"),
        (["explain", "--y", "2"], "--y is 2"),
        (["explain", "--w", "1"], "--w has 1 values and --x has 2"),
        (["explain", "--x", "1e39", "1"], "--x must be finite in float32"),
        (["explain", "--row", "5"], "--row goes only with a run folder"),
        (["explain", "--data", "rows.csv"], "--data goes only with a run folder"),
        (["explain", "run", "--x", "1", "2"], "--x goes only without a run folder"),
        (["explain", "run", "--row", "0"], "row is 0"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_diverged_run_exits_with_1_and_is_kept(folder, capsys):
    assert train("--alpha", "1e38", "--no-standardize", "--out", "run") == 1
    assert "smaller alpha" in capsys.readouterr().err
    assert json.loads((folder / "run/summary.json").read_text())["status"] == "diverged"


def test_ctrl_c_keeps_what_there_is(folder, monkeypatch, capsys):
    original = progress.TrainingProgress.__call__

    def interrupted(self, seen):
        if seen.step == 5:
            signal.raise_signal(signal.SIGINT)
        return original(self, seen)

    monkeypatch.setattr(progress.TrainingProgress, "__call__", interrupted)
    before = signal.getsignal(signal.SIGINT)  # in a shell's background it is ignored
    assert train("--steps", "1000", "--out", "run") == 130
    summary = json.loads((folder / "run/summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("interrupted", 6)
    assert "interrupted; written to run" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["float32"])
def test_at_80_columns_no_number_is_cut(folder, capsys, monkeypatch, dtype):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["train", "--steps", "20", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["explain", "--dtype", dtype]) == 0
    assert main(["explain", "run", "--dtype", dtype]) == 0
    assert main(["check", "--rows", "50", "--dtype", dtype]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert "..." not in out
    assert max(map(len, out.splitlines())) <= 80
    assert "dimension" in out


def test_a_number_is_never_cut_however_narrow_the_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    show.print_table(("a name", "by hand"), [("long name of it", "-1.234567e-05")])
    out = capsys.readouterr().out
    assert "-1.234567e-05" in out
    name = "".join(line[:5].replace(" ", "") for line in out.splitlines()).partition("─────")[2]
    assert name == "longnameofit"


def test_a_terminal_breaks_lines_at_spaces_and_leaves_paths_whole(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(show, "console", lambda stderr: Console(
        file=text, width=20, force_terminal=True, markup=False, highlight=False))  # fmt: skip
    show.print_line("written to /a/long/path/that/does/not/fit and more words")
    assert text.getvalue().splitlines() == [
        "written to", "/a/long/path/that/does/not/fit", "and more words"
    ]  # fmt: skip


def test_explain_works_from_another_folder(folder, tmp_path_factory, monkeypatch, capsys):
    train("--steps", "2", "--out", "run")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["explain", str(folder / "run")]) == 0
    assert "rows, row 1 (no)" in capsys.readouterr().out


@pytest.mark.parametrize("standardize", ["--standardize", "--no-standardize"])
def test_explain_shows_the_step_in_the_space_of_the_training(folder, capsys, standardize):
    (folder / "big.csv").write_text(
        "a,b,y\n" + "".join(f"{1000 * (i % 7)},{i % 5},{i % 3 % 2}\n" for i in range(90))
    )
    arguments = ["--target", "y", "--alpha", "0.3", "--steps", "3", "--out", "run", standardize]
    assert main(["train", "big.csv", *arguments, "--test-fraction", "0"]) == 0
    capsys.readouterr()
    assert main(["explain", "run", "--row", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    model = Model.load("run")
    raw = np.array([5000.0, 0.0])
    x = (raw - model.mean) / model.scale
    a = float(model.probabilities(raw[None])[0])
    w = model.w[0] * model.scale[0]
    step = next(line for line in lines if line.startswith("w a "))
    update = next(i for i, line in enumerate(lines) if line.startswith("update"))
    assert "alpha = 0.3" in lines[update]
    before, after = map(float, step.split()[-2:])
    assert before == pytest.approx(w, rel=1e-5)
    assert after == pytest.approx(w - 0.3 * a * x[0], rel=1e-5)  # y = 0, so dz = a
    header = next(line for line in lines if line.startswith("feature"))
    assert ("raw" in header) == (standardize == "--standardize")


def test_predict_needs_only_the_model_file(folder, capsys):
    train("--steps", "2", "--out", "run")
    for name in ("config.toml", "metrics.jsonl", "summary.json"):
        (folder / "run" / name).unlink()
    assert main(["predict", "run", "rows.csv", "--out", "p.csv"]) == 0


def test_a_bug_is_no_one_liner(folder, monkeypatch):
    monkeypatch.setattr(Model, "probabilities", lambda self, X: int("a bug"))
    train("--steps", "2", "--out", "run")
    with pytest.raises(ValueError, match="a bug"):
        main(["predict", "run", "rows.csv"])


@pytest.mark.parametrize(
    "config", ["data = 3", 'steps = "ten"', 'optimizer = "sgdd"', "exclude = 3", "= 1", b"\xff"]
)
def test_a_damaged_config_is_one_line(folder, capsys, config):
    train("--steps", "2", "--out", "run")
    (folder / "run/config.toml").write_bytes(
        config if isinstance(config, bytes) else config.encode()
    )
    capsys.readouterr()
    assert main(["explain", "run"]) == 2
    assert capsys.readouterr().err.startswith("jaxlr: run/config.toml: ")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxlr {jaxlr.__version__}\n"


def run_process(*arguments, before="", **settings):
    code = f"{before}\nimport sys; from jaxlr.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stderr=subprocess.PIPE, text=True, check=False, **settings,
    )  # fmt: skip


def test_the_real_thing_in_a_process():
    done = run_process("explain", stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert "sigma(z)" in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize(
    "arguments", [["explain"], pytest.param(["--version"], marks=pytest.mark.thorough)]
)
def test_a_full_disk_behind_the_output_is_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        done = run_process(*arguments, stdout=full)
    assert (done.returncode, done.stderr) == (2, "jaxlr: No space left on device\n")


PRINT_DEVICES = """
import atexit, jax
atexit.register(lambda: print(len(jax.devices()), jax.config.jax_compilation_cache_dir))
"""


def test_all_cores_are_devices_and_compiled_code_is_kept(tmp_path):
    settings = dict(before=PRINT_DEVICES, stdout=subprocess.PIPE)
    plain = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    cores = len(os.sched_getaffinity(0))

    kept = run_process("explain", env=plain | {"XDG_CACHE_HOME": str(tmp_path)}, **settings)
    assert kept.stdout.splitlines()[-1] == f"{cores} {tmp_path / 'jaxlr'}"
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "jaxlr").glob("*-cache")}
    assert files
    again = run_process("explain", env=plain | {"XDG_CACHE_HOME": str(tmp_path)}, **settings)
    assert again.stdout == kept.stdout
    assert again.stderr == kept.stderr == ""
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "jaxlr").glob("*-cache")} == files

    # A command that compiles nothing: the rest is about how JAX starts.
    own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "own"), "JAX_NUM_CPU_DEVICES": "3"}
    done = run_process("runs", str(tmp_path), env=plain | own, **settings)
    assert done.stdout.splitlines()[-1] == f"3 {tmp_path / 'own'}"

    (tmp_path / "file").touch()
    blocked = plain | {"XDG_CACHE_HOME": str(tmp_path / "file")}
    done = run_process("runs", str(tmp_path), env=blocked, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{cores} None"


def test_main_leaves_a_jax_that_has_started_as_it_is(capsys):
    before = dict(jax.config.values)
    devices = jax.devices()
    assert main(["explain"]) == 0
    assert dict(jax.config.values) == before
    assert jax.devices() == devices


def test_fit_prints_coefficients_and_certificate(folder, capsys):
    arguments = ["fit", "rows.csv", "--target", "y", "--exclude", "id"]
    assert main([*arguments, "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert "standard error" in out
    assert "converged: largest gradient entry" in out
    assert main(["predict", "run", "rows.csv", "--exclude", "id"]) == 0
    assert main(["explain", "run"]) == 0
    assert main([*arguments, "--out", "other", "--max-steps", "1"]) == 3
    assert "not converged" in capsys.readouterr().err
    assert (folder / "other" / "params.safetensors").is_file()


def test_fit_of_separated_labels_exits_with_3_and_names_columns(folder, capsys):
    (folder / "rows.csv").write_text("dose,y\n1,a\n2,a\n3,b\n4,b\n")
    assert main(["fit", "rows.csv", "--target", "y", "--out", "run"]) == 3
    err = capsys.readouterr().err
    assert "told apart without error by 'dose'" in err
    assert "l2 > 0" in err


def test_cv_prints_a_table_of_penalties(folder, capsys):
    arguments = ["cv", "rows.csv", "--target", "y", "--exclude", "id", "--l2", "0.01", "1"]
    assert main([*arguments, "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert "log-loss" in out
    assert " *" in out
    assert "converged" in out


def test_cv_of_soft_labels_has_no_accuracy_and_says_so(folder, capsys):
    rows = (folder / "rows.csv").read_text().replace("yes", "0.75").replace("no", "0.25")
    (folder / "soft.csv").write_text(rows)
    arguments = ["cv", "soft.csv", "--target", "y", "--exclude", "id", "--l2", "0.01", "1"]
    assert main([*arguments, "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert "accuracy and AUC are not defined for labels between 0 and 1" in out
    assert "nan" not in out

    def refuse(constant):
        raise AssertionError(f"no JSON: {constant}")

    summary = json.loads((folder / "run/summary.json").read_text(), parse_constant=refuse)
    assert [row["auc"] for row in summary["penalties"]] == [None, None]
    assert all(row["log_loss"] > 0 for row in summary["penalties"])
