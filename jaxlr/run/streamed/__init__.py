"""Runs on rows that are read anew in every pass: looked at once, divided, trained on, scored."""

from jaxlr.run.streamed.parts import StreamedParts
from jaxlr.run.streamed.survey import survey
from jaxlr.run.streamed.training import step_rows

__all__ = ["StreamedParts", "step_rows", "survey"]
