"""An objective whose rows are read from their file each time, but for a sample of them."""

from collections.abc import Generator
from contextlib import closing

import jax.numpy as jnp
import numpy as np

from jaxlr import shard
from jaxlr.batch import Rows, View
from jaxlr.solve.objective import ALL, Objective, Sample
from jaxlr.solve.stream.source import RowStream, on_device, read
from jaxlr.solve.stream.survey import Survey


class Streamed(Objective):
    """An `Objective` that has a sample of the rows in memory, and all of them where they fit.

    ``reads`` counts reads of the file. What is in memory costs none.
    """

    def __init__(self, stream: RowStream, survey: Survey, l2: np.ndarray) -> None:
        super().__init__(survey.sample, View(), survey.scaling, l2, None, typical=survey.typical)
        self.reads = 1.0  # the survey
        self._stream, self._order, self._n = stream, survey.order, survey.n
        self._kind, self._block_rows = survey.kind, survey.block_rows

    @property
    def n(self) -> int:
        """Rows of the file."""
        return self._n

    def sample(self, m: int) -> Sample:
        """Take m of the rows, as far as memory has them; all, where m is most of them.

        Where all are read from the file, half as many rows as were asked for will do.
        """
        enough = not self._is_whole() and m <= 2 * len(self._order)
        if m >= self.n or (2 * m >= self.n and not enough):
            return ALL
        if m not in self._samples:
            numbers = np.sort(self._order[:m])
            self._samples[m] = Sample(jnp.asarray(numbers), len(numbers) / self.n)
        return self._samples[m]

    def drop_sample(self) -> None:
        """Free the memory of a sample; of rows that are all in memory, nothing."""
        if not self._is_whole():
            none = (np.empty((0, *v.shape[1:]), v.dtype) for v in self.rows if v is not None)
            self.rows = Rows(*map(shard.put, none))
            self._samples.clear()

    def _is_whole(self) -> bool:
        return len(self.rows.X) == self.n

    def _count(self, reads: float) -> None:
        """Rows in memory are no read of the file."""

    def _pieces(self, sample: Sample) -> Generator[Rows]:
        if sample.numbers is not None or self._is_whole():
            yield self.rows
            return
        n = 0
        with closing(read(self._stream, self._kind)) as blocks:
            for block in blocks:
                n += len(block.X)
                yield on_device(block, self._block_rows)
        if n != self.n:
            raise ValueError(
                f"the rows have changed: at first there were {self.n} of them, in a later read "
                f"{n}. Leave their file as it is until the fit is done, and fit again"
            )
        self.reads += 1
