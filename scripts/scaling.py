"""What a run over many hosts moves, reads and holds: counted on a small case, scaled by formula.

    .venv/bin/python scripts/scaling.py                  # 1e9 rows x 1e3 columns on 64 hosts
    .venv/bin/python scripts/scaling.py --rows 1e8 --columns 100 --hosts 8

The bytes of a sum over devices are counted in the program that XLA compiled for two devices, and
the reads of a file by counting the rows that are read; the formulas must give the same, or the
script fails. The table is that of docs/scaling.md.
"""

import argparse
import itertools
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr import Params, batch, data, shard
from jaxlr.batch import Models, Rows
from jaxlr.run import FitConfig
from jaxlr.run.hosts import load_own

_SUM = re.compile(r"= (.*?) all-reduce(?:-start)?\(")
_ARRAY = re.compile(r"([a-z]+)(\d+)\[([\d,]*)\]")
_WIDE = 256  # columns from which on a Hessian is summed in four panels
_SMALL = (8, 5)  # rows and columns of the case that is counted


class Case(NamedTuple):
    """A problem of ``rows`` x ``columns``, kept in ``itemsize`` bytes a number, on ``hosts``."""

    rows: int
    columns: int
    hosts: int
    itemsize: int = 4

    @property
    def own(self) -> int:
        """Rows of a process."""
        return -(-self.rows // self.hosts)


def gradient_bytes(d: int, itemsize: int) -> int:
    """Size of the sums of a training step: weights, losses, dw and db."""
    return (d + 3) * itemsize


def fit_bytes(d: int, itemsize: int) -> int:
    """Size of the sums of a read of `fit`: five numbers about labels and losses, dw and db."""
    return (d + 6) * itemsize


def hessian_bytes(d: int, itemsize: int) -> int:
    """Size of the sums of a Newton matrix: upper panels, the intercept's column, two numbers."""
    edges = [d * i // 4 for i in range(5)] if d >= _WIDE else [0, d]
    panels = sum((j - i) * (d - i) for i, j in itertools.pairwise(edges))
    return (panels + d + 2) * itemsize


def on_the_wire(size: int, hosts: int) -> int:
    """Bytes that each process sends in a ring all-reduce of so many."""
    return 2 * (hosts - 1) * size // hosts


def counted(program: Callable[..., Any], *arguments: Any) -> int:
    """Bytes of the all-reduces of a program, as compiled."""
    text = jax.jit(program).lower(*arguments).compile().as_text() or ""
    arrays = [found for line in _SUM.findall(text) for found in _ARRAY.findall(line)]
    return sum(
        int(bits) // 8 * int(np.prod([int(n) for n in shape.split(",") if n], dtype=int))
        for _, bits, shape in arrays
    )


def check_bytes(n: int, d: int) -> None:
    """Raise unless the formulas give what is counted for n rows of d columns on two devices."""
    X, y, s = shard.split_rows(np.ones((n, d), np.float32), np.ones(n), np.ones(n, np.float32))
    mesh, params = shard.mesh_of(X), Params(jnp.zeros(d), jnp.zeros(()))
    models, zero, one = Models(params.w[None], params.b[None]), jnp.zeros(d), jnp.ones(d)
    rows = Rows(X, y, s)
    found = {
        "a training step": counted(partial(batch.objective, mesh=mesh), params, X, y, s, 0.0),
        "a read of fit": counted(partial(batch.gradient_sums, mesh=mesh), models, rows),
        "a Newton matrix": counted(
            partial(batch.curvature_sums, mesh=mesh), models, rows, None, zero, one
        ),
    }
    formulas = (gradient_bytes, fit_bytes, hessian_bytes)
    for (what, size), formula in zip(found.items(), formulas, strict=True):
        if size != formula(d, 4):
            raise SystemExit(f"{what}, d = {d}: {size} bytes counted, {formula(d, 4)} by formula")


def reads(hosts: int) -> float:
    """Count the reads of the file by one process: two looks at all, and its own rows twice."""
    return 2 + 2 / hosts


def check_reads() -> None:
    """Raise unless `reads` is what a run reads, of one process that has all rows."""
    n, seen = 64, 0
    from jaxlr.data.sources.arrays import ArraySource

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, X=np.arange(2.0 * n).reshape(n, 2), y=np.arange(n) % 2)
        batch_of = ArraySource._batch

        def counting(self: Any, rows: Any) -> Any:
            nonlocal seen
            found = batch_of(self, rows)
            seen += len(found)
            return found

        with mock.patch.object(ArraySource, "_batch", counting):
            rows = load_own(FitConfig(data=data.absolute(path)))
            index = np.arange(n)
            mean, scale = rows.moments(index)
            rows.rows(index, mean=mean, scale=scale, dtype=np.float32)
    if seen != n * reads(1):
        raise SystemExit(f"{seen / n} reads of the file counted, {reads(1)} by formula")


def table(case: Case) -> list[str]:
    """Lines of the table."""
    d, own, hosts, bits = case.columns, case.own, case.hosts, 8 * case.itemsize
    sums = {
        "all-reduced in a training step": gradient_bytes(d, case.itemsize),
        "all-reduced in a read of `fit`": fit_bytes(d, case.itemsize),
        "all-reduced for a Newton matrix": hessian_bytes(d, case.itemsize),
    }
    lines = [
        f"| {case.rows:.0e} rows x {d:,} columns on {hosts} hosts | each process |",
        "|---|---|",
    ]
    for what, size in sums.items():
        lines.append(f"| {what} | {size:,} bytes, {on_the_wire(size, hosts):,} sent |")
    lines += [
        "| gathered in a step, for all to stop together | 64 bytes of each process |",
        f"| reads of the file before the first step | {reads(hosts):.2f} |",
        "| reads of the file in a step, or later in a fit | 0 |",
        f"| its rows | {own:,} |",
        f"| its rows in memory, {bits} bits | {own * d * bits / 8e9:.1f} GB |",
        f"| the same, in float64 while means are taken | {own * d * 8 / 1e9:.1f} GB |",
        f"| labels and row numbers of all rows | {case.rows * 16 / 1e9:.1f} GB |",
        f"| probabilities and labels of all rows, at the end | {case.rows * 16 / 1e9:.1f} GB |",
    ]
    return lines


def main() -> None:
    """Check the formulas, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=10**9)
    parser.add_argument("--columns", type=lambda text: int(float(text)), default=1000)
    parser.add_argument("--hosts", type=int, default=64)
    asked = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", 2)
    check_bytes(*_SMALL)
    check_bytes(_SMALL[0], _WIDE)
    check_reads()
    print("\n".join(table(Case(asked.rows, asked.columns, asked.hosts))))


if __name__ == "__main__":
    main()
