"""``jaxlr predict``: a probability and a label for each row of a source."""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from jaxlr.cli.show import print_line
from jaxlr.data import DataError
from jaxlr.run import Model, is_parquet, predict_to, predictions, to_bytes, write_predictions


@dataclass(frozen=True)
class Predict:
    """Write the probability of label 1 and the likelier label for every row of a source."""

    run_folder: Annotated[Positional[str], arg(metavar="RUN")]
    """A run folder that `jaxlr train`, `fit` or `cv` wrote."""
    data: Annotated[Positional[str], arg(metavar="DATA")]
    """A file, folder or URL with the columns that the model was trained on, in any order."""
    out: str | None = None
    """File to write, which ends with .csv or .parquet. Without it: CSV to the standard output."""
    overwrite: bool = False
    """Replace the file if there is one."""
    exclude: tuple[str, ...] = ()
    """Further columns that are no features."""
    unknown: Literal["error", "ignore"] | None = None
    """What becomes of a category that was not there in training: refused, or as if there was none.
    Without it: as in training."""
    memory: str | None = None
    """What rows may take, as in 500MB; 64 MiB without it."""

    def __post_init__(self) -> None:
        """Check the options before anything is read."""
        if self.memory is not None and not to_bytes(self.memory):
            raise ValueError("memory is 0: some rows must be in memory")

    def run(self) -> int:
        """Predict and write."""
        out = None if self.out is None else Path(self.out)
        if out is not None:
            is_parquet(out)  # refuses other names
        if out is not None and out.exists() and not self.overwrite:
            raise DataError(f"{out} exists: choose another file (--out), or --overwrite it")
        model = Model.load(self.run_folder)
        limit = {} if self.memory is None else {"memory": to_bytes(self.memory)}
        parts = predictions(model, self.data, exclude=self.exclude, unknown=self.unknown, **limit)
        if out is not None:
            n = predict_to(out, parts)
        else:
            with tempfile.TemporaryFile() as file:  # an error in the last row must come before all
                n = write_predictions(parts, file)
                file.seek(0)
                shutil.copyfileobj(file, _Standard())
        written = f"; written to {out}" if out else ""
        print_line(f"{n} rows; probability is that of {model.labels[1]!r}{written}", stderr=True)
        return 0


class _Standard:
    """The standard output, for bytes; in tests it takes only text."""

    def write(self, text: bytes) -> None:
        """Write a piece of the file."""
        sys.stdout.write(text.decode())
