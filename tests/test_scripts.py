"""The scripts a person runs, from wherever they are called."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
