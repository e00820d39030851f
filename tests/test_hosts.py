"""Several processes: the same answers as of one, and an end for all where one dies."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from pyarrow.csv import read_csv
from pyarrow.parquet import write_table as write_parquet

from jaxlr import shard
from jaxlr.data import DataError
from jaxlr.run import CvConfig, FitConfig, Model, TrainConfig, resume_training, run_cv, run_fit
from jaxlr.run import run_training as run_train
from jaxlr.run.hosts import own_folder
from jaxlr.run.rows import open_rows
from jaxlr.run.sweep import SweepConfig, run_sweep

ROOT = Path(__file__).parents[1]
COLUMNS = {"weight": "times", "categorical": ("city",), "missing": "mean"}
# One row to test on, so that a process has none.
TRAIN = {
    **COLUMNS,
    "target": "share",
    "exclude": ("won",),
    "steps": 30,
    "test_fraction": 0.005,
    "validation_fraction": 0.2,
    "validate_every": 5,
    "dtype": "float64",
    "seed": 1,
}
FIT = {**COLUMNS, "target": "won", "exclude": ("share",)}
CONFIGS = {
    "train": (run_train, TrainConfig, TRAIN),
    "batches": (run_train, TrainConfig, {**TRAIN, "steps": 12, "batch_size": 16}),
    "fit": (run_fit, FitConfig, {**FIT, "l2": 0.01}),
    "cv": (run_cv, CvConfig, {**FIT, "l2": (0.01, 0.1), "folds": 2}),
}
PARQUET = ("train", "fit")  # of which each process looks at its share
LONG = {**TRAIN, "steps": 100_000, "checkpoint_steps": 20}
# All in one launch, and the last is killed; for to start JAX twice takes longer than all of them.
PROGRAM = """
import json, os, sys
from jaxlr.cli import main
for argv, wanted in json.loads(sys.argv[1]):
    code = main([word.replace("PROCESS", os.environ["JAXLR_PROCESS"]) for word in argv])
    assert code == wanted, (argv, code)
"""
LAUNCH = """
import sys
sys.path.insert(0, sys.argv[1])
import launch_local
sys.exit(launch_local.run(launch_local.start(2, [sys.executable, "-c", *sys.argv[2:]])))
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Write a file of 101 rows, a number that neither two processes nor folds divide."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((101, 3)) * [1, 5, 0.2] + [0, 300, 1]
    y = X[:, 0] + 0.3 * (X[:, 1] - 300) + rng.logistic(size=101) > 0
    path = tmp_path_factory.mktemp("hosts") / "rows.csv"
    lines = ["a,b,c,d,city,times,won,share"]
    for i, (x, label) in enumerate(zip(X.tolist(), y, strict=True)):
        rest = ["" if i % 9 == 4 else i % 7, "ABC"[i % 3], (i // 4) % 3, int(label), (i % 5) / 4]
        lines.append(",".join(map(str, [*x, *rest])))
    path.write_text("\n".join(lines) + "\n")
    write_parquet(read_csv(path), path.with_suffix(".parquet"), row_group_size=40)
    return path


def source_of(name, rows):
    """Path of what a config reads."""
    return rows.with_suffix(".parquet") if name in PARQUET else rows


def argv(command, path, out, settings):
    words = [command, str(path), "--out", str(out)]
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


class Launch(NamedTuple):
    """What two processes wrote and printed, and how they ended once the second was killed."""

    folder: Path
    out: str
    err: str
    code: int
    seconds: float


@pytest.fixture(scope="module")
def by_two(rows, tmp_path_factory):
    """Run each config by two processes, the training with a break, and kill one in a long run."""
    parent = tmp_path_factory.mktemp("two")
    calls = {
        name: argv(kind.command, source_of(name, rows), parent / name, settings)
        for name, (_, kind, settings) in CONFIGS.items()
    }
    half = {**TRAIN, "steps": 15, "checkpoint_steps": 10}
    calls["train"] = argv("train", source_of("train", rows), parent / "train", half)
    go_on = ["resume", str(parent / "train"), "--steps", str(TRAIN["steps"])]
    rows.with_name("of-0.csv").symlink_to(rows)
    bad = [argv("fit", rows, parent / "fit", FIT)]  # is there, as the first sees
    bad.append(argv("cv", rows.with_name("of-PROCESS.csv"), parent / "none", FIT))
    whole = [*((words, 0) for words in (*calls.values(), go_on)), *((words, 2) for words in bad)]
    whole.append((argv("train", rows, parent / "killed", LONG), 0))
    command = [sys.executable, "-c", LAUNCH, str(ROOT / "scripts"), PROGRAM, json.dumps(whole)]
    # To compile is what takes the time here.
    environ = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAXLR_PROCESSES": "7"}
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environ) as launch:
        deadline = time.monotonic() + 120
        while launch.poll() is None and time.monotonic() < deadline:
            if len(steps_kept(parent / "killed")) >= 2:
                break
            time.sleep(0.05)
        for child in children_of(launch.pid, "JAXLR_PROCESS=1"):
            os.kill(child, signal.SIGKILL)
        killed = time.monotonic()
        out, err = launch.communicate(timeout=60)
    return Launch(parent, out, err, launch.returncode, time.monotonic() - killed)


def children_of(pid, setting):
    """Processes that ``pid`` started with a setting in their environment."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = children.read_text().split() if children.exists() else []
    return [int(i) for i in found if setting in Path(f"/proc/{i}/environ").read_text()]


def steps_kept(run):
    """Steps after which a run has a checkpoint."""
    return sorted(int(path.name) for path in run.glob("checkpoints/[0-9]*") if path.name.isdigit())


def all_numbers(value, path=""):
    """Numbers of a summary but times, by their place."""
    if isinstance(value, dict):
        for key, v in value.items():
            if "seconds" not in key and key not in ("devices", "processes", "gradient_check"):
                yield from all_numbers(v, f"{path}.{key}")
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from all_numbers(v, f"{path}[{i}]")
    elif isinstance(value, float):
        yield path, value


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_find_what_one_does(name, rows, by_two, tmp_path):
    run, kind, settings = CONFIGS[name]
    one = run(kind(data=str(source_of(name, rows)), out=str(tmp_path / name), **settings))
    folder = by_two.folder / name
    model = Model.load(folder)
    for field in ("w", "b", "mean", "scale"):
        np.testing.assert_allclose(getattr(model, field), getattr(one.model, field), rtol=1e-12)
    two = json.loads((folder / "summary.json").read_text())
    assert (two["processes"], one.summary["processes"]) == (2, 1)
    assert (two["status"], two["data"]) == (one.summary["status"], one.summary["data"])
    found, wanted = dict(all_numbers(two)), dict(all_numbers(one.summary))
    assert found.keys() == wanted.keys()
    # The gradient that is left, and what follows from it, is rounding where the answer is exact.
    left = re.compile(r"gradient|gap")
    for place, value in wanted.items():
        atol = 1e-12 if left.search(place) else 0
        np.testing.assert_allclose(found[place], value, rtol=1e-11, atol=atol, err_msg=place)


def test_as_many_processes_give_the_same_bytes_also_after_a_break(by_two):
    broken, whole = (
        (by_two.folder / name / "metrics.jsonl").read_text().splitlines()
        for name in ("train", "killed")
    )
    steps = TRAIN["steps"]  # and in a last line, the loss of what they lead to
    assert len(broken) == steps + 1
    assert broken[:steps] == whole[:steps]


def test_only_the_first_process_prints_and_writes(rows, by_two):
    ours = [line for line in by_two.out.splitlines() if "[Gloo]" not in line]
    assert ours
    assert {line[:4] for line in ours} == {"[0] "}
    said = [line for line in by_two.err.splitlines() if line.startswith("[1]")]
    missing = rows.with_name("of-1.csv")  # which only the second could say
    assert said == [
        f"[1] jaxlr: process 1 of 2: {missing}: no such file "
        "(the built-in data set is called breast_cancer)"
    ]
    assert sorted(path.name for path in by_two.folder.iterdir()) == sorted([*CONFIGS, "killed"])


def test_a_killed_process_is_named_ends_the_others_and_the_run_resumes(rows, by_two, tmp_path):
    assert by_two.code == 128 + signal.SIGKILL, by_two.err
    assert by_two.seconds < 15
    assert "launch_local: process 1 failed first, 137" in by_two.err
    assert "jaxlr: process 0 of 2: another process has ended" in by_two.err

    told, steps = [], steps_kept(by_two.folder / "killed")[-1] + 10
    resumed = resume_training(by_two.folder / "killed", steps=steps, tell=told.append)
    assert any(line.startswith("processes: 2 when this run began, 1 now") for line in told)
    whole = TrainConfig(data=str(rows), out=str(tmp_path / "one"), **{**LONG, "steps": steps})
    np.testing.assert_allclose(resumed.model.w, run_train(whole).model.w, rtol=1e-12)


def test_what_only_one_process_can_do_is_refused(rows, monkeypatch):
    monkeypatch.setattr(shard, "host_count", lambda: 2)
    streamed = TrainConfig(data=str(rows), memory="1kB", **TRAIN)
    with pytest.raises(DataError, match=r"needs \S+ kB and may take 1 kB\. Allow more \(--memory"):
        open_rows(streamed, print)
    with pytest.raises(shard.HostsError, match="a sweep runs as one process"):
        run_sweep(SweepConfig())


def test_an_error_of_one_process_ends_all_of_them_alike(by_two):
    """The commands after it ran, so that both ended with 2, and without being aborted."""
    said = [line for line in by_two.err.splitlines() if "exists" in line]
    there = by_two.folder / "fit"
    assert said == [f"[0] jaxlr: {there} exists: choose another folder (--out), or --overwrite it"]


def test_the_others_get_no_metrics_and_no_checkpoints(tmp_path, monkeypatch):
    files = ("config.toml", "run.json", "metrics.jsonl", ".lock", "checkpoints/2/state/d")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name * 9)
    sent = []
    monkeypatch.setattr(shard, "host_count", lambda: 2)
    monkeypatch.setattr(shard, "from_first", lambda data: sent.append(data) or data)
    with own_folder(tmp_path, begun=True) as folder:
        assert folder == tmp_path
    assert sum(map(len, sent)) < 400
    received = iter(sent)
    monkeypatch.setattr(shard, "host_index", lambda: 1)
    monkeypatch.setattr(shard, "from_first", lambda data: next(received))
    with own_folder(tmp_path / "elsewhere", begun=True) as folder:
        found = {path.name: path.read_text() for path in folder.iterdir()}
    assert found == {name: name * 9 for name in files[:2]}


GONE = (
    "UNKNOWN: Gloo AllGather failed: [pair.cc:547] Connection closed by peer [127.0.0.1]:10960",
    "UNKNOWN: Gloo context initialization failed: UNAVAILABLE: Socket closed",
    "INTERNAL: NCCL operation ncclGroupEnd() failed: remote process exited or there was a network "
    "error. Last NCCL warning(error) log entry (may be unrelated) 'socketProgress: Connection "
    "closed by remote peer'",
    "UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n1",
    "UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was preempted",
    "DEADLINE_EXCEEDED: Barrier timed out. Id: Shutdown",
)
OWN = (
    "RESOURCE_EXHAUSTED: Out of memory allocating 281474976710656 bytes.",
    "RESOURCE_EXHAUSTED: Gloo all-reduce failed: out of memory",
    "INTERNAL: NCCL operation ncclCommInitRank failed: unhandled cuda error. Last NCCL "
    "warning(error) log entry (may be unrelated) 'Failed to CUDA calloc async 608 bytes'",
    "INVALID_ARGUMENT: Executable expected parameter 0 of size 8 but got buffer of size 4",
    "INTERNAL: CUDA error: an illegal memory access was encountered",
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((jax.errors.JaxRuntimeError(text), True) for text in GONE),
        *((jax.errors.JaxRuntimeError(text), False) for text in OWN),
        (ValueError(GONE[0]), True),
        (ValueError("could not broadcast input array"), False),
        (DataError("Gloo.csv: no such file"), False),
        (ZeroDivisionError("Gloo"), False),
    ],
)
def test_an_error_of_the_own_is_told_from_the_end_of_another(error, expected):
    assert shard.is_of_another(error) == expected


def in_both(works, exchanged):
    """What `together` makes of work that two processes do, here two threads."""
    meeting, given, me = threading.Barrier(2, timeout=20), [None, None], threading.local()

    def exchange(v):
        given[me.index] = np.asarray(v)
        meeting.wait()
        both = np.stack(given)
        exchanged.append(both.nbytes)
        meeting.wait()
        return both

    def run(index):
        me.index = index
        try:
            with shard.together():
                return works[index]()
        except Exception as error:
            return error

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        for module, name in itertools.product(("hosts", "errors"), ("exchange", "host_count")):
            found = exchange if name == "exchange" else lambda: 2
            patch.setattr(f"jaxlr.shard.{module}.{name}", found)
        patch.setattr("jaxlr.shard.errors.host_index", lambda: me.index)
        return list(pool.map(run, (0, 1)))


def fails(error):
    raise error


def test_together_hands_an_error_round_wherever_the_others_are():
    exchanged = []
    found = in_both([lambda: shard.gather(3).tolist(), lambda: shard.gather(4).tolist()], exchanged)
    assert (found, len(exchanged)) == ([[3, 4]] * 2, 2 * 3)  # before the gather, it, at the end

    ours = DataError("rows.csv: no such file")
    for other in (lambda: shard.gather(1), lambda: None):  # at a gather, at the end
        for own in (0, 1):
            works = [other, other]
            works[own] = lambda: fails(ours)
            found = in_both(works, exchanged)
            assert found[own] is ours
            told = found[1 - own]
            assert isinstance(told, shard.ElsewhereError)
            assert str(told) == f"process {own} of 2: {ours}"
            assert told.kinds[:2] == ["DataError", "ValueError"]
            assert all(map(shard.is_met_by_all, found))


def test_together_lets_the_first_of_several_errors_speak():
    works = [lambda: fails(DataError("ours")), lambda: fails(OSError("theirs"))]
    first, second = in_both(works, [])
    assert str(first) == "ours"
    assert (second.process, str(second)) == (0, "process 0 of 2: ours")


def test_together_does_not_wait_for_the_dead():
    gone, exchanged = jax.errors.JaxRuntimeError(GONE[0]), []
    found = in_both([lambda: fails(gone)] * 2, exchanged)
    assert (found, exchanged) == ([gone] * 2, [])
    assert not shard.is_met_by_all(gone)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"processes": 2}, "go together"),
        ({"coordinator": "here:1", "processes": 2, "process": 2}, "it must be from 0 to 1"),
        ({"heartbeat_seconds": 0}, "heartbeat_seconds is 0"),
    ],
)
def test_start_hosts_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        shard.start_hosts(**given)


def test_hosts_start_before_anything_else():
    with pytest.raises(shard.HostsError, match=r"coordinator at 127.0.0.1:1: .*before"):
        shard.start_hosts("127.0.0.1:1", 2, 1)


@pytest.mark.parametrize("n", [1, 3, 7, 101])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_even_and_cover_all_rows_once(n, count, monkeypatch):
    monkeypatch.setattr("jaxlr.shard.hosts.host_count", lambda: count)
    shares = []
    for i in range(count):
        monkeypatch.setattr("jaxlr.shard.hosts.host_index", lambda i=i: i)
        shares.append(np.arange(n)[shard.host_share(n)])
    assert np.concatenate(shares).tolist() == list(range(n))
    assert len(shares[0]) - min(map(len, shares)) <= 1
    assert len(shares[0]) == max(map(len, shares))


def test_the_page_on_scaling_has_what_the_script_counts():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/scaling.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("| 1e+09 rows x 1,000 columns on 64 hosts |")
    assert done.stdout in (ROOT / "docs/scaling.md").read_text()
