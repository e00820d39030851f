"""Kill trainings, or sweeps, with SIGKILL at random moments, resume them, and compare the bits.

The moments are spread over the whole life of a process: its start, the loading of the rows, the
training with its checkpoints, the writing of the model. A run that ends between two kills is
compared with one that nobody killed, byte by byte (parameters, metrics; of a sweep its table and
its best settings), and another one begins.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = "import sys; from jaxlr.cli import main; sys.exit(main())"
SETTINGS = (
    *("--optimizer", "adam", "--batch-size", "32", "--schedule", "cosine"),
    *("--validation-fraction", "0.2", "--validate-every", "7"),
)
SWEEP = ("--alpha", "0.03", "0.3", "--batch-size", "16", "32", "64", "all", "--seed", "0", "1")
COMPARED = {
    "train": ("params.safetensors", "metrics.jsonl"),
    "sweep": ("sweep.jsonl", "best.toml"),
}


class Trainings:
    """Processes of the command line, with the same settings."""

    def __init__(self, parent: Path, steps: int, every: int, command: str = "train") -> None:
        self.parent, self.command = parent, command
        own = SWEEP if command == "sweep" else (*SETTINGS, "--checkpoint-steps", str(every))
        self.settings = (*own, "--steps", str(steps))

    def start(self, name: str) -> subprocess.Popen[str]:
        """Begin the run ``name``, or go on with it if there is anything of it."""
        run = self.parent / name
        fresh = [self.command, "--out", str(run), *self.settings]
        arguments = ["resume", str(run)] if run.exists() else fresh
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, name: str) -> float:
        """Let the run ``name`` come to its end; return the seconds of that."""
        start = time.monotonic()
        process = self.start(name)
        _, said = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"exit code {process.returncode}: {said}")
        return time.monotonic() - start

    def differing(self, name: str, whole: str) -> list[str]:
        """Return the files in which two runs differ."""
        return [
            file
            for file in COMPARED[self.command]
            if (self.parent / name / file).read_bytes() != (self.parent / whole / file).read_bytes()
        ]


def kill(trainings: Trainings, name: str, delay: float) -> bool:
    """Start a process, and kill it after so many seconds; return whether it ended before."""
    process = trainings.start(name)
    try:
        _, said = process.communicate(timeout=delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    if process.returncode != 0:
        raise SystemExit(f"exit code {process.returncode}: {said}")
    return True


def main() -> int:
    """Print each kill and each comparison; return 1 if any two runs differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--steps", type=int, default=2000, help="of each run")
    parser.add_argument("--sweep", action="store_true", help="kill sweeps of 8 programs")
    parser.add_argument("--every", type=int, default=100, help="steps between two checkpoints")
    options = parser.parse_args()
    rng, failed, kills, runs = random.Random(options.seed), 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="kill9-") as parent:
        command = "sweep" if options.sweep else "train"
        trainings = Trainings(Path(parent), options.steps, options.every, command)
        trainings.finish("whole")
        seconds = trainings.finish("again")  # the first had to compile
        if not options.sweep:
            check_steps(Path(parent) / "whole" / "metrics.jsonl", options.steps)
        print(f"a run that nobody kills: {seconds:.1f} s, {options.steps} steps")
        while kills < options.kills:
            runs += 1
            name = f"killed-{runs}"
            while kills < options.kills:
                if kill(trainings, name, rng.uniform(0.2, seconds)):
                    break
                kills += 1
                print(f"kill {kills} of {options.kills}: {lines(Path(parent) / name)}")
            trainings.finish(name)
            differing = trainings.differing(name, "whole")
            failed += bool(differing)
            print(f"run {runs}: " + (f"DIFFERS in {differing}" if differing else "the same bytes"))
    print(f"{kills} kills, {runs} runs, {failed} of them not the same to the bit")
    return 1 if failed else 0


def lines(run: Path) -> str:
    """Say how far a run is."""
    metrics, checkpoints = run / "metrics.jsonl", run / "checkpoints"
    if (programs := run / "programs.jsonl").exists():
        return f"{programs.read_bytes().count(10)} programs have ended"
    if not metrics.exists():
        return "before the run folder"
    names = [path.name for path in checkpoints.iterdir()] if checkpoints.exists() else []
    count = metrics.read_bytes().count(b"\n")
    return f"{count} lines of metrics, checkpoints {sorted(names) or 'none'}"


def check_steps(metrics: Path, steps: int) -> None:
    """Raise unless there is one line for each step."""
    found = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    if found[:steps] != list(range(steps)):
        raise SystemExit(f"{metrics}: the steps are not 0 to {steps - 1}, each once")


if __name__ == "__main__":
    sys.exit(main())
