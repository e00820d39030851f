"""To the optimum of rows that need not fit into memory, in a few reads of their file."""

from jaxlr.batch import RowBlock
from jaxlr.solve.stream.fit import fit_stream
from jaxlr.solve.stream.source import RowStream

__all__ = ["RowBlock", "RowStream", "fit_stream"]
