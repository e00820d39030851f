"""``jaxlr predict``: a probability and a label for each row of a file."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from jaxlr.cli.show import print_line
from jaxlr.data import DataError, read_features
from jaxlr.extras import extra
from jaxlr.run import Model, write_file


@dataclass(frozen=True)
class Predict:
    """Write the probability of label 1 and the likelier label for every row of a CSV file."""

    run_folder: Annotated[Positional[str], arg(metavar="RUN")]
    """A run folder that `jaxlr train` wrote."""
    data: Annotated[Positional[str], arg(metavar="DATA")]
    """A CSV file with the columns that the model was trained on, in any order."""
    out: str | None = None
    """CSV file to write. Without it: the standard output."""
    overwrite: bool = False
    """Replace the file if there is one."""
    exclude: tuple[str, ...] = ()
    """Further columns that are no features."""

    def run(self) -> int:
        """Predict and write."""
        out = None if self.out is None else Path(self.out)
        if out is not None and out.exists() and not self.overwrite:
            raise DataError(f"{out} exists: choose another file (--out), or --overwrite it")
        model = Model.load(self.run_folder)
        known = {model.target, *model.exclude, *self.exclude} - {None}
        a = model.probabilities(read_features(self.data, model.features, ignore=known))
        text = _to_csv(a, np.where(a >= 0.5, model.labels[1], model.labels[0]))
        if out is None:
            sys.stdout.write(text.decode())
            sys.stdout.flush()
        else:
            write_file(out, text)
        written = f"; written to {out}" if out else ""
        line = f"{len(a)} rows; probability is that of {model.labels[1]!r}{written}"
        print_line(line, stderr=True)
        return 0


def _to_csv(a: np.ndarray, labels: np.ndarray) -> bytes:
    with extra("data"):
        import pyarrow as pa
        from pyarrow import csv
    text = io.BytesIO()
    csv.write_csv(pa.table({"probability": a, "label": labels}), text)
    return text.getvalue()
