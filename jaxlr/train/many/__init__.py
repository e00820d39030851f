"""K trainings on shared rows, as one program."""

from jaxlr.train.many.loop import train_many
from jaxlr.train.many.members import Member
from jaxlr.train.many.objective import objectives
from jaxlr.train.many.outcome import ManyProgress

__all__ = ["ManyProgress", "Member", "objectives", "train_many"]
