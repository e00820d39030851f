"""``jaxlr fit`` and ``jaxlr cv``: a model at the optimum, and the penalty that predicts best."""

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from jaxlr.cli.show import number, print_error, print_line, print_metrics, print_table
from jaxlr.data import BUILT_IN
from jaxlr.run import CvConfig, FitConfig, Run, run_cv, run_fit

NOT_CONVERGED = 3
_COEFFICIENTS_SHOWN = 40


@dataclass(frozen=True)
class Fit(FitConfig):
    """Fit a model to the optimum, and write it to a run folder.

    Without arguments: to the built-in Wisconsin breast cancer data, whose labels can be told apart
    without error, so that it takes a penalty (--l2 0.01, say) to have an optimum. Exits with 3
    where the fit did not converge.
    """

    data: Annotated[Positional[str], arg(metavar="DATA")] = BUILT_IN
    """A file (CSV, Parquet, npy, npz, libsvm), a folder of Parquet files, a URL of one of these,
    or the name of the built-in data set."""

    def run(self) -> int:
        """Fit; 3 if the certificate says that it did not converge."""
        run = run_fit(self, tell=_tell)
        _print_coefficients(run.summary)
        return _print_outcome(run)


@dataclass(frozen=True)
class Cv(CvConfig):
    """Cross-validate the penalty, and write the refitted model to a run folder.

    Without arguments: on the built-in Wisconsin breast cancer data. Exits with 3 where a fit did
    not converge.
    """

    data: Annotated[Positional[str], arg(metavar="DATA")] = BUILT_IN
    """A file (CSV, Parquet, npy, npz, libsvm), a folder of Parquet files, a URL of one of these,
    or the name of the built-in data set."""

    def run(self) -> int:
        """Cross-validate; 3 if a certificate says that a model did not converge."""
        run = run_cv(self, tell=_tell)
        _print_penalties(run.summary)
        code = _print_outcome(run)
        failed = run.summary["folds_not_converged"]
        if failed:
            print_error(f"{failed} of the models of the folds did not converge")
        return NOT_CONVERGED if failed else code


def _tell(line: str) -> None:
    print_line(line, stderr=True)


def _print_coefficients(summary: dict[str, Any]) -> None:
    coefficients = summary["coefficients"]
    rows = [
        (
            c["name"],
            number(c["value"]),
            "-" if c["standard_error"] is None else number(c["standard_error"]),
        )
        for c in coefficients[:_COEFFICIENTS_SHOWN]
    ]
    print_table(("coefficient", "value", "standard error"), rows)
    more = len(coefficients) - len(rows)
    if more > 0:
        print_line(f"and {more} more, in summary.json\n")


def _print_penalties(summary: dict[str, Any]) -> None:
    rows = [
        (
            f"{row['l2']:g}" + (" *" if row["l2"] == summary["l2"] else ""),
            *(
                _with_error(row[key], row[f"{key}_standard_error"])
                for key in ("log_loss", "accuracy", "auc")
            ),
        )
        for row in summary["penalties"]
    ]
    print_table(("l2", "log-loss", "accuracy", "AUC"), rows)
    print_line("out of fold, +- standard error; * is refitted\n")
    if any(row["accuracy"] is None for row in summary["penalties"]):
        print_line("accuracy and AUC are not defined for labels between 0 and 1\n")


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f} +- {'-' if error is None else format(error, '.4f')}"


def _print_outcome(run: Run) -> int:
    print_metrics(run.summary)
    print_line(f"written to {run.folder}")
    if run.summary["status"] == "converged":
        print_line(run.summary["why"])
        return 0
    print_error(run.summary["why"])
    return NOT_CONVERGED
