"""Settings of the runs that go to the optimum."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxlr.batch import check_penalty
from jaxlr.run.config.base import RunConfig
from jaxlr.solve import check_settings
from jaxlr.train import check_count


@dataclass(frozen=True)
class FitConfig(RunConfig):
    """Fit a model to a data set to the optimum, and write it to a run folder.

    Examples
    --------
    >>> config = FitConfig(l2=0.01)
    >>> RunConfig.from_toml(config.to_toml()) == config
    True
    """

    command: ClassVar[str] = "fit"

    l2: float = 0.0
    """Penalty: l2/2 ||w||^2, on the weights of the standardized features."""
    tol: float = 1e-8
    """Largest entry that the gradient may have, in nats per standard deviation of a feature."""
    max_steps: int = 1000
    """Steps after which to give up."""
    method: Literal["auto", "newton", "lbfgs"] = "auto"
    """How to solve: with Newton matrices, without them, or as the number of features suggests."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        super().__post_init__()
        check_settings(self.tol, self.max_steps, self.method)
        check_count("max_steps", self.max_steps)
        check_penalty(self.l2)


@dataclass(frozen=True)
class CvConfig(RunConfig):
    """Cross-validate the penalty on a data set, and write the refitted model to a run folder.

    Examples
    --------
    >>> config = CvConfig(l2=(0.1, 1.0), folds=10)
    >>> RunConfig.from_toml(config.to_toml()) == config
    True
    """

    command: ClassVar[str] = "cv"

    l2: tuple[float, ...] = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
    """Penalties to compare: l2/2 ||w||^2, on the weights of the standardized features."""
    folds: int = 5
    """Number of folds, with the labels in the same proportions."""
    choose: Literal["best", "one standard error"] = "best"
    """Refit with the penalty of the smallest log-loss, or the largest within one standard error."""
    tol: float = 1e-6
    """Largest entry that a gradient may have, in nats per standard deviation of a feature."""
    max_steps: int = 1000
    """Steps after which to give up."""

    def __post_init__(self) -> None:
        """Check what can be checked before any data is read."""
        super().__post_init__()
        check_settings(self.tol, self.max_steps)
        check_count("max_steps", self.max_steps)
        check_count("folds", self.folds, least=2)
        if not self.l2:
            raise ValueError("l2 is empty: name a penalty or more")
        for penalty in self.l2:
            check_penalty(penalty)
