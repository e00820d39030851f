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
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from jaxlr import Params, batch, data, shard
from jaxlr.batch import Models, Rows
from jaxlr.data.encoder import Encoder
from jaxlr.data.learner import Learner
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


def reads(case: Case, *, seeks: bool = True) -> float:
    """Count the reads of the file by the first process: two looks at a share, and its rows twice.

    The first look is at all, where the format does not tell where rows are.
    """
    first, second = (share_of_blocks(case, k) for k in (case.columns, 1))
    return ((first if seeks else case.rows) + second + 2 * case.own) / case.rows


def share_of_blocks(case: Case, k: int) -> int:
    """Rows that the first process looks at, of all in blocks of k columns."""
    size = data.block_rows(case.rows, k)
    blocks = -(-case.rows // size)
    return min(case.rows, -(-blocks // case.hosts) * size)


def check_reads(hosts: int) -> None:
    """Raise unless `reads` is what each of some processes reads, of files of a block for each."""
    n = 64 * hosts
    case = Case(n, 2, hosts)
    X, y = np.arange(2.0 * n).reshape(n, 2), np.arange(n) % 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, X=X, y=y)
        text = Path(folder) / "rows.csv"
        np.savetxt(text, np.column_stack([X, y]), delimiter=",", header="a,b,y", comments="")
        cases = (FitConfig(data=str(path)), True), (FitConfig(data=str(text), target="y"), False)
        for (config, seeks), index in itertools.product(cases, range(hosts)):
            found, wanted = rows_read(config, n, hosts, index) / n, reads(case, seeks=seeks)
            if found != wanted:
                raise SystemExit(f"{found} reads of the file counted, {wanted} by formula")


def rows_read(config: FitConfig, n: int, hosts: int, index: int) -> int:
    """Count the rows that a process reads, where the others have the same as it in their shares."""
    seen = 0

    def counting(method: Callable[..., Any]) -> Any:
        def call(self: Any, batch: Any, *rest: Any) -> None:
            nonlocal seen
            seen += len(batch)
            method(self, batch, *rest)

        return call

    alike = {
        "host_count": lambda: hosts,
        "host_index": lambda: index,
        "gather": lambda v: np.stack([np.asarray(v)] * hosts),
    }
    with ExitStack() as stack:
        for module, name in itertools.product(("jaxlr.shard", "jaxlr.shard.hosts"), alike):
            stack.enter_context(mock.patch(f"{module}.{name}", alike[name]))
        for kind, name in ((Learner, "add"), (Encoder, "write")):
            stack.enter_context(mock.patch.object(kind, name, counting(getattr(kind, name))))
        rows = load_own(config)
        mean, scale = rows.moments(np.arange(n))
        rows.rows(np.arange(n), mean=mean, scale=scale, dtype=np.float32)
    return seen


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
        f"| reads of the file before the first step | {reads(case):.2f} |",
        f"| the same, of CSV | {reads(case, seeks=False):.2f} |",
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
    for hosts in (1, 2, 3):
        check_reads(hosts)
    print("\n".join(table(Case(asked.rows, asked.columns, asked.hosts))))


if __name__ == "__main__":
    main()
