"""The scripts a person runs, from wherever they are called."""

import importlib
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import jaxlr.check
from jaxlr import core
from jaxlr.check import ulp

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch):
    """Import a script, as if it had been called from its folder."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


@pytest.mark.parametrize(("script", "extra"), [("jaxlr", "cli"), ("test", "dev")])
def test_a_symlink_to_a_script_finds_its_checkout(tmp_path, script, extra):
    checkout = tmp_path / "check out"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$0 $@"\n')
    python.chmod(0o755)
    with (checkout / "pyproject.toml").open() as file:
        count = subprocess.run(["cksum"], stdin=file, capture_output=True, text=True, check=True)
    (checkout / f".venv/jaxlr-{extra}.stamp").write_text(f"{checkout} {count.stdout}")
    (tmp_path / "bin").mkdir()
    for i, target in enumerate([checkout / "scripts" / script, "link0"]):
        (tmp_path / "bin" / f"link{i}").symlink_to(target)
    for path in (checkout / "scripts" / script, tmp_path / "bin/link0", tmp_path / "bin/link1"):
        done = subprocess.run([path, "--flag"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(str(python))
        assert done.stdout.endswith("--flag\n")


def test_float32_finds_every_piece_within_its_budget(script, monkeypatch, capsys):
    float32 = script("float32")
    monkeypatch.setattr(float32, "SAMPLE", 10)
    monkeypatch.setattr("sys.argv", ["float32.py", "--stride", "1000003", "--threads", "1"])
    assert float32.main() == 0
    out = capsys.readouterr().out
    # Of 16 bits, all but the two infinities and NaNs; of 32, every so-manyth of each sign.
    for count in (2**16 - 2**8, 2**16 - 2**11, 2 * -(-0x7F800000 // 1_000_003)):
        assert f"{count:,} finite z" in out
    assert out.count("beyond the budget: nothing") == 3
    for piece in ("a", "1 - a", "d2z", *(f"{v}, y = {y}" for v in ("L", "dz", "da") for y in "01")):
        assert out.count(f"\n{piece} ") == 3, piece


RIGHT = core.forward


def _nan_for_label_0(params, x, y):
    L, cache = RIGHT(params, x, y)
    return jnp.where(y == 0, jnp.nan, L), cache


def _one_minus_a_rounded(cache):
    a = cache.p / (cache.p + cache.q)
    return a * (1 - a)


@pytest.mark.parametrize(
    ("piece", "name", "fault"),
    [
        ("d2z", "curvature", _one_minus_a_rounded),
        ("dz, y = 1", "slope", lambda c: c.p / (c.p + c.q) - c.y),  # the textbook's
        ("L, y = 0", "forward", _nan_for_label_0),
    ],
)
def test_float32_finds_a_fault(script, monkeypatch, piece, name, fault):
    float32 = script("float32")
    for module in (core, core.example):
        monkeypatch.setattr(module, name, fault)
    float32.by_hand.clear_cache()
    form = float32.format_of("float32")
    found = float32.sweep(form, 1_000_003, 1)
    float32.by_hand.clear_cache()
    assert found[piece].worst > 100 > float32.budget_of(piece, form)
    assert found["a"].worst <= float32.budget_of("a", form)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_float32_measures_as_the_judge_does(script, name):
    float32 = script("float32")
    form, rng = float32.format_of(name), np.random.default_rng(0)
    bits = rng.integers(0, form.infinity, 4000).astype(form.bits)
    hand = bits.view(form.dtype).astype(np.float64) * rng.choice([-1, 1], 4000)
    near = hand * (1 + form.eps * rng.normal(size=hand.size))
    edges = np.array([0, form.tiny, -form.tiny, form.tiny / 2, form.max, 2 * form.max, np.inf])
    hand = np.concatenate([hand, np.repeat(edges, edges.size), [np.nan, -np.inf]])
    value = np.concatenate([near, np.tile(edges, edges.size), [1.0, 1.0]])
    with np.errstate(all="ignore"):
        found = float32.distance(hand, float32.Truth("", value, 0), form)
        expected = ulp.distance(hand, value, name)
    np.testing.assert_array_equal(found, expected)
    assert np.isinf(found[-2:]).all()


def test_float32_counts_what_goes_back(script):
    float32 = script("float32")
    form, u = float32.format_of("float32"), np.array([1.0, 2.0, 3.0])
    value, hand = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 3.0, 2.0], np.float32)
    found = float32.judge(float32.Truth("", value, 1), u, -1, hand, form)
    assert (found.numbers, found.reversals, found.z) == (3, 2, -2.0)
    assert found.worst == 2 / ulp.unit(2.0, np.float32)
    assert found.beyond == (1, 1, 1)


def test_bench_check_asks_about_every_kind_of_fault(script):
    check = script("benches.check")
    some = check.some_of(zoo.FAULTS, 100)
    assert {f.shows for f in some} == {f.shows for f in zoo.FAULTS}
    assert len(check.some_of(zoo.FAULTS, 1)) == len(zoo.FAULTS)


@pytest.mark.relaxed
@pytest.mark.parametrize("name", ["check_grads", "scipy"])
def test_bench_check_tells_right_from_wrong(script, name):
    check = script("benches.check")
    judge = check.judges()[name]
    wrong = next(f for f in zoo.FAULTS if (f.species, f.node, f.name) == ("sigmoid", "dz", "sign"))
    assert check.ask(judge, zoo, "sigmoid", "float32", 0, None) == "passes"
    assert check.ask(judge, zoo, "sigmoid", "float32", 0, wrong) == "wrong"


def test_bench_check_counts_a_refusal_as_no_verdict(script):
    check = script("benches.check")

    def refuse(case):
        raise NotImplementedError

    judge = check.Judge(refuse)
    assert check.ask(judge, zoo, "matmul", "float32", 0, None) == "refuses"
    counts = check.ask_of_faults(judge, zoo, zoo.FAULTS[:2])
    assert [dict(c) for c in counts.values()] == [{"refuses": 2}]
    assert check._share(list(counts.values()), ("wrong",)) == "0/2"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("pass", "passes"), ("wrong", "wrong"), ("undecided", "refuses"), ("vacuous", "refuses")],
)
def test_bench_check_gives_jaxlr_the_twin_and_all_arguments(script, monkeypatch, verdict, said):
    check = script("benches.check")
    asked = []

    class Report(NamedTuple):
        verdict: SimpleNamespace

        def __bool__(self):
            return self.verdict.value == "pass"

    def stub(f, *args, **options):
        asked.append((f, args, options))
        return Report(SimpleNamespace(value=verdict))

    monkeypatch.setattr(jaxlr.check, "check_derivatives", stub, raising=False)
    assert check.ask(check.judges()["jaxlr quick"], zoo, "network", "float32", 3, None) == said
    ((_, args, options),) = asked
    species = zoo.SPECIES["network"]
    expected = species.sample(np.random.default_rng(3), check.ROWS, "float32")
    assert options == {
        "reference": species.twin, "argnums": (0, 1), "level": "quick", "order": 2, "seed": 3,
        "vary": (0, 1), "fail_fast": True, "smallest": False,
    }  # fmt: skip
    same = jax.tree.map(lambda a, b: bool((a == b).all()), args, expected)
    assert jax.tree.all(same)
