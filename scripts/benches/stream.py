"""Streaming a file in blocks, beside pyarrow alone, a computation alone, and both at once."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benches.measure import in_a_process, interleaved, memory_bytes, spread

_SOURCES = ("parquet", "csv")


def add_commands(commands: Any) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Declare the commands ``stream`` and ``stream-memory``, which it asks for by itself."""
    command = commands.add_parser("stream", help="MB/s and memory of reading a file in blocks")
    command.add_argument("--rows", type=int, default=500_000)
    command.add_argument("--features", type=int, default=100)
    command.add_argument("--csv-rows", type=int, default=100_000)
    command.add_argument("--memory", type=int, default=64, help="MiB that blocks may take")
    command.add_argument("--rounds", type=int, default=5)
    memory = commands.add_parser("stream-memory", help="memory of one pass, as JSON")
    memory.add_argument("path")
    memory.add_argument("memory", type=int)
    return {"stream": stream, "stream-memory": memory_of_a_pass}


def stream(arguments: argparse.Namespace) -> None:
    """Print what a pass takes, for each format, from files in a temporary folder.

    Aim: at least 80 % of what pyarrow alone reaches reading the same file into arrays.
    """
    with tempfile.TemporaryDirectory() as folder:
        for form in _SOURCES:
            rows = arguments.rows if form == "parquet" else arguments.csv_rows
            path = _write(Path(folder), form, rows, arguments.features)
            _print_one(path, form, rows, arguments)


def _print_one(path: Path, form: str, rows: int, arguments: argparse.Namespace) -> None:
    from jaxlr import data

    start = time.perf_counter()
    opened = data.open_stream(path, target="y", memory=arguments.memory << 20)
    first = time.perf_counter() - start
    compute = _computation(opened.d)
    kept = [next(opened.blocks())] * -(-rows // opened.block_rows)
    runs: dict[str, Callable[[], object]] = {
        "pyarrow, columns": lambda: _by_pyarrow(path, form, rows_too=False),
        "pyarrow, then rows": lambda: _by_pyarrow(path, form, rows_too=True),
        "blocks": lambda: _use(opened.blocks(), lambda block: None),
        "computing": lambda: _use(kept, compute),
        "one after the other": lambda: _use(opened.blocks(), compute),
        "read ahead": lambda: _use(data.prefetch(opened.blocks()), compute),
    }
    seconds = interleaved(runs, arguments.rounds)
    size = rows * (opened.d + 1) * 4
    print(f"\n{form}: {rows:,} x {opened.d} float32, {path.stat().st_size / 1e6:.0f} MB on disk, ")
    print(f"blocks of {opened.block_rows:,} rows; the first pass took {first:.2f} s")
    base = np.median(seconds["pyarrow, columns"])
    for name, times in seconds.items():
        median = np.median(times)
        rate = f"{size / median / 1e6:7.0f} MB/s {base / median:6.0%} of pyarrow"
        print(f"{name:20} {median:7.3f} s +- {spread(times):.3f} {rate}")
    found = in_a_process("stream-memory", path, arguments.memory)
    print(f"a pass in a fresh process adds {found['MB']:.0f} MB at most, of {size / 1e6:.0f} MB")


def memory_of_a_pass(arguments: argparse.Namespace) -> None:
    """Print by how much opening a file and one pass over it raise the memory of this process."""
    import pyarrow.parquet
    from sklearn.datasets import load_svmlight_file

    from jaxlr import data

    assert pyarrow.parquet
    assert load_svmlight_file
    before = memory_bytes("VmRSS")
    opened = data.open_stream(arguments.path, target="y", memory=arguments.memory << 20)
    _use(data.prefetch(opened.blocks()), lambda block: None)
    print(json.dumps({"MB": (memory_bytes("VmHWM") - before) / 1e6}))


def _write(folder: Path, form: str, rows: int, features: int) -> Path:
    import pyarrow as pa
    from pyarrow import csv, parquet

    rng = np.random.default_rng(0)
    columns = {f"x{j}": rng.standard_normal(rows, np.float32) for j in range(features)}
    table = pa.table({**columns, "y": rng.integers(0, 2, rows).astype(np.float32)})
    path = folder / f"rows.{form}"
    if form == "csv":
        csv.write_csv(table, path)
    else:
        parquet.write_table(table, path, row_group_size=1 << 16, use_dictionary=False)
    return path


def _by_pyarrow(path: Path, form: str, *, rows_too: bool) -> list[np.ndarray]:
    """Read all columns into arrays; or into one array with a row for each row."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    if form == "csv":
        names = csv.open_csv(path).schema.names
        types = dict.fromkeys(names, pa.float32())
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types))
    else:
        table = parquet.read_table(path)
    columns = [column.to_numpy() for column in table.columns]
    return [np.column_stack(columns)] if rows_too else columns


def _computation(d: int) -> Callable[[Any], object]:
    """Loss and gradient of a block, on the devices of this machine."""
    import jax.numpy as jnp

    import jaxlr

    params = jaxlr.Params(jnp.zeros(d), jnp.array(0.0))

    def run(block: Any) -> object:
        return jaxlr.loss_and_grads(params, block.X, block.y)[0].block_until_ready()

    return run


def _use(blocks: Iterable[Any], use: Callable[[Any], object]) -> None:
    for block in blocks:
        use(block)
