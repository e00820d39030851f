"""Where a command computes: devices, types of the data, traces."""

import importlib
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxlr.cli import main
from jaxlr.cli.devices import Start, StartError, take_start
from jaxlr.run import Model

TWO = {"JAXLR_COORDINATOR": "here:5", "JAXLR_PROCESSES": "2", "JAXLR_PROCESS": "1"}


@pytest.mark.parametrize(
    ("argv", "environ", "rest", "start"),
    [
        (["train"], {}, ["train"], Start()),
        (["train", "--device", "cpu", "x.csv"], {}, ["train", "x.csv"], Start(device="cpu")),
        (["--profile=t", "cv", "--l2", "1"], {}, ["cv", "--l2", "1"], Start(profile="t")),
        (["fit"], TWO, ["fit"], Start(coordinator="here:5", processes="2", process=1)),
        (
            ["fit", "--process", "0", "--heartbeat", "9"],
            TWO,
            ["fit"],
            Start(coordinator="here:5", processes="2", process=0, heartbeat=9),
        ),
        (["fit"], {"SLURM_STEP_NUM_TASKS": "4"}, ["fit"], Start(processes="auto")),
        (["fit"], {"SLURM_STEP_NUM_TASKS": "1"}, ["fit"], Start()),
        (["fit"], {"OMPI_COMM_WORLD_SIZE": "2"}, ["fit"], Start(processes="auto")),
    ],
)
def test_options_of_every_command_are_taken_out(argv, environ, rest, start):
    assert take_start(argv, environ) == (rest, start)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--device", "abacus"], "'cpu', 'gpu'"),
        (["--processes", "two"], "'two': it must be a whole number from 1 to 2147483647, or auto"),
        (["--processes", "0"], "--processes is '0': it must be a whole number from 1"),
        (["--heartbeat", "99999999999999999999"], "it must be from 1 to 2147483647 seconds"),
        (["--process", "one"], "invalid int value: 'one'"),
        (["--profile"], "expected one argument"),
    ],
)
def test_options_that_mean_nothing(argv, message, capsys):
    with pytest.raises(StartError, match=message):
        take_start(["train", *argv], {})
    assert main(["train", *argv]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "subcommands"),
        (["train"], "Columns of npy and npz are called x0"),
        (["train"], "held out one by one, by their numbers"),
        (["predict"], "ends with .csv or .parquet"),
    ],
)
def test_help_shows_these_options_too(argv, words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*argv, "--help"])
    own, _, out = capsys.readouterr().out.partition("options of every command:\n")
    assert words in " ".join(own.replace("│", " ").split())
    said = ("device", "profile", "processes", "process", "coordinator", "heartbeat")
    assert all(f"\n  --{name} " in f"\n{out}" for name in said)
    assert f"(default: {Start.heartbeat})" in out
    assert max(map(len, out.splitlines())) <= 80


def test_half_of_what_processes_need(capsys):
    assert main(["train", "--coordinator", "127.0.0.1:1"]) == 2
    assert "give all three, or none" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["predict", "run", "rows.csv"], ["sweep"], ["runs"]])
def test_a_command_for_one_process(argv, capsys):
    assert main([*argv, "--processes", "2"]) == 2
    message = f"jaxlr {argv[0]} runs as one process: start it without --processes, once\n"
    assert capsys.readouterr().err.endswith(message)


def test_a_device_that_is_not_there(tmp_path, capsys):
    other = "gpu" if jax.default_backend() == "cpu" else "cpu"  # JAX has started with the one
    assert main(["train", "--device", other, "--out", str(tmp_path / "run")]) == 2
    assert f"--device {other}: JAX finds no such device here, only" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_device_where_jax_looks_for_another(monkeypatch, capsys):
    def none():
        raise AssertionError  # so JAX, where JAX_PLATFORMS names what is not there

    monkeypatch.setattr(jax, "default_backend", none)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert main(["train", "--device", "gpu"]) == 2
    assert "finds no such device here, nor any of JAX_PLATFORMS=cuda" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train on float32 and on rounded data, the first on a named device with a trace."""
    parent = tmp_path_factory.mktemp("devices")
    argv = ["train", "--steps", "60", "--alpha", "1"]
    first = ["--device", jax.default_backend(), "--profile", str(parent / "trace")]
    for dtype, more in (("float32", first), ("bfloat16-data", [])):
        assert main([*argv, "--dtype", dtype, "--out", str(parent / dtype), *more]) == 0
    return parent


def test_the_device_that_is_there_and_a_trace(trained):
    assert [path.stat().st_size > 0 for path in trained.rglob("*.xplane.pb")] == [True]
    assert "profile" not in (trained / "float32" / "config.toml").read_text()


def test_data_in_bfloat16_is_trained_on_in_float32(trained):
    folders = [trained / dtype for dtype in ("float32", "bfloat16-data")]
    exact, rounded = (Model.load(folder) for folder in folders)
    # Features are off by 2^-9 of themselves at most, parameters by about as much, not by 0.
    change = np.abs(rounded.w - exact.w) * exact.scale
    assert 0 < change.max() < 2**-5 * np.abs(exact.w * exact.scale).max()
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    losses = [summary["train"]["loss"] for summary in summaries]
    np.testing.assert_allclose(losses[1], losses[0], rtol=2**-7)


def test_bench_device_reports_what_the_copy_and_the_gradient_reach(monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    bench = importlib.import_module("benches.device")
    bench.device(megabytes=1, columns=10, rounds=2)
    printed = capsys.readouterr().out
    assert f": {jax.devices()[0].device_kind}, " in printed
    assert "25,000 x 10 float32, 1 MB" in printed
    rates = re.findall(r"^(copy|gradient), 1 device: (\S+) GB/s", printed, re.MULTILINE)
    assert [name for name, _ in rates] == ["copy", "gradient"]
    assert all(float(rate) > 0 for _, rate in rates)
