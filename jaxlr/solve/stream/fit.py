"""`fit_stream`: one model of rows that are read block by block, to the optimum."""

import jax

from jaxlr.core import Params
from jaxlr.solve.clock import Clock
from jaxlr.solve.fit import minimise
from jaxlr.solve.plan import Method
from jaxlr.solve.result import Fit
from jaxlr.solve.rows import check_not_traced, check_settings, take_penalties
from jaxlr.solve.stream.objective import Streamed
from jaxlr.solve.stream.source import RowStream
from jaxlr.solve.stream.survey import survey

MEMORY = 1 << 28  # bytes


def fit_stream(
    rows: RowStream,
    *,
    l2: float = 0.0,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    max_steps: int = 1000,
    init: Params | None = None,
    method: Method = "auto",
    memory: int = MEMORY,
) -> Fit:
    """Minimise the mean loss over rows that need not fit into memory: `fit`, in a few reads.

    Parameters
    ----------
    rows : RowStream
        What `jaxlr.data.open_stream` gives, or any object with a method ``blocks()`` that reads
        all rows from the first on, each time in the same order. A block has ``X`` (m, d), ``y``
        (m,) and ``weight``, (m,) or None. All blocks but the last are of one size.
    l2, fit_intercept, tol, max_steps, init, method
        As for `fit`.
    memory : int
        Bytes that rows kept in memory may take, beside the blocks of the stream: a sample of the
        rows, or all where they fit. A million numbers of X are kept in any case.

    Returns
    -------
    Fit
        As of `fit`. ``certificate.reads`` counts reads of the file, the first one included;
        not included is what the stream has read before, to learn what is in its columns.

    Raises
    ------
    ValueError
        If there is no row, a value is out of range, or the number of rows is another one in a
        later read. What the stream raises (`DataError`) comes out as it is.
    TypeError
        Inside ``jax.jit`` or the like: a solver decides by values.

    Notes
    -----
    The first read counts and checks the rows, measures the scale of each feature, and keeps a
    random sample. Where all rows fit into ``memory``, that was the only read. Otherwise what `fit`
    does on samples, the first solves and the Newton matrices, is done in memory, and only exact
    gradients read the file, the last one in float64: as a rule five or six reads in all. There are
    more where a sample cannot show what matters, a column or a label of very few rows, and where
    memory holds few rows for the number of columns: then Newton matrices are read from the file.

    The next block is read while one is computed with. `Fit.covariance` reads the file once more,
    its sandwich twice; until then the file must stay as it is.

    References
    ----------
    J. Vitter, *Random Sampling with a Reservoir*, 1985.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, jaxlr
    >>> from jaxlr.data import open_stream
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "rows.npz")
    ...     np.savez(path, X=[[0.0], [1.0], [2.0], [3.0]], y=[0, 1, 0, 1])
    ...     fit = jaxlr.fit_stream(open_stream(path, dtype="float64"))
    >>> print(fit.params.w.round(4), fit.params.b.round(4), fit.certificate.reads)
    [0.9082] -1.3623 1.0
    """
    check_not_traced(l2=l2, init=init)
    check_settings(tol, max_steps, method)
    if memory < 1:
        raise ValueError(f"memory is {memory}: it must be a number of bytes, 1 or more")
    penalty = take_penalties(l2, 1)
    with Clock() as clock, jax.enable_x64(True):
        found = survey(rows, memory, intercept=fit_intercept)
        objective = Streamed(rows, found, penalty)
        fit = minimise(objective, init, method=method, tol=tol, max_steps=max_steps, clock=clock)
        objective.drop_sample()
        return fit
