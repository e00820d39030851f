"""Start a run of several processes on this machine, for tests and demonstrations.

    .venv/bin/python scripts/launch_local.py -n 4 -- train rows.csv --target outcome

Each process runs ``jaxlr`` with the arguments after ``--``. What they print is shown with the
number of the process before it. Ctrl-C and SIGTERM go to all of them. Where one fails, the others
are ended, and its exit code is that of this script.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO

_MAIN = "import sys; from jaxlr.cli import main; sys.exit(main())"
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 1.0  # for the others to end by themselves, once one has failed


def main() -> int:
    """Start the processes, and wait for them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--processes", type=int, default=2)
    parser.add_argument("arguments", nargs="+", help="of jaxlr, after --")
    asked = parser.parse_args()
    if asked.processes < 1:
        parser.error(f"--processes is {asked.processes}: it must be at least 1")
    return run(start(asked.processes, [sys.executable, "-c", _MAIN, *asked.arguments]))


def run(processes: list[subprocess.Popen[str]]) -> int:
    """Pass signals on and output through until the processes end; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: send(processes, number))
    readers = [
        threading.Thread(target=show, args=(i, stream, out))
        for i, process in enumerate(processes)
        for stream, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    ]
    for reader in readers:
        reader.start()
    code = wait(processes)
    for reader in readers:
        reader.join()
    return code


def start(count: int, command: list[str]) -> list[subprocess.Popen[str]]:
    """Run a command as ``count`` processes that find each other, the cores shared among them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    shared = {
        "JAX_NUM_CPU_DEVICES": str(max(1, (cores or 1) // count)),
        **os.environ,
        "JAXLR_COORDINATOR": f"127.0.0.1:{free_port()}",
        "JAXLR_PROCESSES": str(count),
    }
    return [
        subprocess.Popen(
            command,
            env={**shared, "JAXLR_PROCESS": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C comes once, from here
        )
        for i in range(count)
    ]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def show(i: int, stream: IO[str] | None, out: IO[str]) -> None:
    """Print the lines of process i with its number before them."""
    for line in stream or ():
        print(f"[{i}] {line.rstrip()}", file=out, flush=True)


def wait(processes: list[subprocess.Popen[str]]) -> int:
    """Wait for all; where one fails, name it, end the others, and return its exit code."""
    while True:
        codes = [process.poll() for process in processes]
        failed = [i for i, code in enumerate(codes) if code]
        if failed:
            # Of several since the last look, one that a signal ended: it took the others along,
            # which JAX aborts.
            aborted = -signal.SIGABRT
            return end(processes, min(failed, key=lambda i: (codes[i] == aborted, codes[i] or 0)))
        if None not in codes:
            return 0
        time.sleep(_POLL_SECONDS)


def end(processes: list[subprocess.Popen[str]], first: int) -> int:
    """End all processes, after the ``first`` that failed."""
    code = exit_code(processes[first].returncode)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and any(process.poll() is None for process in processes):
        time.sleep(_POLL_SECONDS)
    others = [i for i, process in enumerate(processes) if process.poll() is None]
    ended = f"; ending {', '.join(map(str, others))}" if others else ""
    print(f"launch_local: process {first} failed first, {code}{ended}", file=sys.stderr, flush=True)
    send(processes, signal.SIGKILL)
    for process in processes:
        process.wait()
    return code


def exit_code(code: int) -> int:
    """As a shell has it, where a signal ended a process."""
    return 128 - code if code < 0 else code


def send(processes: list[subprocess.Popen[str]], number: int) -> None:
    """Send a signal to all that still run."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


if __name__ == "__main__":
    sys.exit(main())
