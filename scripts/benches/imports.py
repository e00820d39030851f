"""What `import jaxlr` takes."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benches.measure import spread


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the command ``import``."""
    command = commands.add_parser("import", help="seconds that `import jaxlr` takes beside jax")
    command.add_argument("--rounds", type=int, default=15)
    return {"import": lambda arguments: import_time(arguments.rounds)}


def import_time(rounds: int) -> None:
    """Seconds of importing jax, then optax, then jaxlr, each beyond those before it."""
    code = "import time; t = [time.perf_counter()]\n" + "".join(
        f"import {name}; t.append(time.perf_counter())\n" for name in ("jax", "optax", "jaxlr")
    )
    seconds = []
    for _ in range(rounds + 1):  # the first one fills the caches of the disk
        done = subprocess.run(
            [sys.executable, "-c", code + "print(t)"], capture_output=True, text=True, check=True
        )
        seconds.append(np.diff(json.loads(done.stdout)))
    print(f"{rounds} fresh processes, medians")
    for name, times in zip(("jax", "optax", "jaxlr"), np.transpose(seconds[1:]), strict=True):
        print(f"import {name:6}{np.median(times):7.3f} s +- {spread(times.tolist()):.3f}")
