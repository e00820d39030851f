"""How fast, against whom: every claim about speed or memory in the README is printed here.

    .venv/bin/python scripts/bench.py gradient    # loss and gradient of all rows
    .venv/bin/python scripts/bench.py fit         # one model, to the optimum
    .venv/bin/python scripts/bench.py many        # many models in one call
    .venv/bin/python scripts/bench.py path        # the lasso for a path of penalties
    .venv/bin/python scripts/bench.py sparse      # sparse X: products, and one model to the optimum
    .venv/bin/python scripts/bench.py sweep       # many trainings in one program
    .venv/bin/python scripts/bench.py check       # judges of derivatives
    .venv/bin/python scripts/bench.py stream      # a file in blocks, beside pyarrow
    .venv/bin/python scripts/bench.py sklearn     # the estimators, beside scikit-learn's
    .venv/bin/python scripts/bench.py device      # what the devices are, and their bandwidth
    .venv/bin/python scripts/bench.py import      # what `import jaxlr` adds to `import jax`

Contenders run interleaved, round after round, so that a busy machine is busy for all of them;
times are medians, and +- is half the distance between the quartiles. Memory, and what a fresh
process takes, is measured in a process of its own. Install torch, glum, chex, celer,
skglm or scikit-learn-intelex beside jaxlr to have them take part.
"""

import argparse
import os
from collections.abc import Callable

from benches import check, device, fit, gradient, imports, many, path, scikit, sparse, stream, sweep


def main() -> None:
    """Run the benchmark that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs: dict[str, Callable[[argparse.Namespace], None]] = {}
    for module in (
        gradient,
        fit,
        many,
        path,
        check,
        imports,
        sparse,
        stream,
        sweep,
        scikit,
        device,
    ):
        runs |= module.add_commands(commands)
    arguments = parser.parse_args()
    if arguments.command not in ("import", "sklearn-alone"):
        import jax

        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    runs[arguments.command](arguments)


if __name__ == "__main__":
    main()
