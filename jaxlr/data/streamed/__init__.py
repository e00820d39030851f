"""Rows of a stream, divided into parts and shuffled without holding them all."""

from jaxlr.data.streamed.division import PARTS, Division
from jaxlr.data.streamed.part import StreamedPart
from jaxlr.data.streamed.shuffle import Shuffled, chunk_rows_in

__all__ = ["PARTS", "Division", "Shuffled", "StreamedPart", "chunk_rows_in"]
