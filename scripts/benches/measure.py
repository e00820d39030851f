"""Times, spreads and memory, measured alike for all contenders."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_PAUSE = 0.02
BENCH = Path(__file__).parents[1] / "bench.py"


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, after one round of warming up.

    Each round starts with another contender, so that none has always the same one before it, and
    a pause lets the threads of that one go to sleep: those of OpenMP spin for a while.
    """
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            run = runs[name]
            time.sleep(_PAUSE)
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def once(runs: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each run, without one to warm up."""
    seconds = {}
    for name, run in runs.items():
        start = time.perf_counter()
        run()
        seconds[name] = [time.perf_counter() - start]
    return seconds


def spread(seconds: list[float]) -> float:
    """Half the distance between the quartiles."""
    if len(seconds) < 2:
        return float("nan")
    low, _, high = statistics.quantiles(seconds, n=4)
    return (high - low) / 2


def read_once(X: np.ndarray) -> Callable[[], object]:
    """Read X once with all there is: what the machine's memory can do."""
    import jax
    import jax.numpy as jnp

    if jax.default_backend() != "cpu":
        on_device, total = jnp.asarray(X), jax.jit(jnp.sum)
        return lambda: total(on_device).block_until_ready()

    parts = np.array_split(X.ravel(), os.cpu_count() or 1)

    def run() -> None:
        threads = [threading.Thread(target=part.max) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run


def memory_bytes(which: str) -> int:
    """Memory of this process in RAM: now (VmRSS), or the most there was (VmHWM). Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def in_a_process(*arguments: object, **environment: str) -> Any:
    """Run a command of bench.py in a fresh process, and return what it prints as JSON."""
    command = [sys.executable, str(BENCH), *map(str, arguments)]
    environ = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
