"""The metrics as TensorBoard events."""

from pathlib import Path
from typing import Any

from jaxlr.extras import extra


class Events:
    """TensorBoard's events of a run; those from step ``start`` on are written anew."""

    def __init__(self, folder: Path, start: int) -> None:
        with extra("tensorboard"):
            from tensorboardX import SummaryWriter
        self.writer = SummaryWriter(str(folder), purge_step=start or None)

    def add(self, lines: list[dict[str, Any]]) -> None:
        """Write the numbers of these lines, each under its name."""
        for line in lines:
            for name, value in line.items():
                if name != "step":
                    self.writer.add_scalar(name, value, line["step"])
        self.writer.flush()

    def close(self) -> None:
        """Write what is left and end the writer's thread."""
        self.writer.close()
