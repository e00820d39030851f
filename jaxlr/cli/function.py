"""``jaxlr check MODULE:FUNCTION``: derivatives of anyone's before the judge."""

import math
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from jaxlr import check
from jaxlr.check import Verdict
from jaxlr.cli import arguments
from jaxlr.cli.modules import CallError, load, load_function, path_of_users, raised
from jaxlr.cli.show import print_code, print_line, print_table
from jaxlr.run import RunFolderError, write_file

EXIT_CODES = {Verdict.PASS: 0, Verdict.WRONG: 1, Verdict.VACUOUS: 3, Verdict.UNDECIDED: 4}
_MORE_FINDINGS = 2  # beside that of the summary


@dataclass(frozen=True)
class FunctionOptions:
    """With MODULE:FUNCTION: how it is called, and judged."""

    args: Annotated[tuple[str, ...], arg(metavar="SPEC [SPEC ...]")] = ()
    """Its arguments: float32[9,4] (standard normal), float32[9]=uniform (in [0, 1)),
    float32[9]=0.5, int32[9]<4, bool[9]; or a value of Python's: 3, None, '"text"'."""
    example: Annotated[str | None, arg(metavar="MODULE:NAME")] = None
    """Instead: a tuple of arguments, or a function without arguments that returns one."""
    reference: Annotated[str | None, arg(metavar="MODULE:NAME")] = None
    """The same function without the rule. Without it: the body that the rule was put on."""
    gradient_of: Annotated[str | None, arg(metavar="MODULE:LOSS")] = None
    """FUNCTION has no rule: it returns the gradient of this loss by its first argument."""
    argnums: Annotated[tuple[int, ...], arg(metavar="INT [INT ...]")] = ()
    """Arguments to differentiate by, from 0. Without it: all that are floating point."""
    order: Literal[1, 2] | None = None
    """How often to differentiate. Without it: twice, if that is possible."""
    level: Literal["full", "quick"] = "full"
    """quick looks at a few inputs, in the type given."""
    dtypes: tuple[Literal["float64", "float32", "bfloat16", "float16"], ...] = ()
    """Types to judge in. Without it: all that FUNCTION takes."""
    domain: Annotated[tuple[str, ...], arg(metavar="ARG=LOW:HIGH")] = ()
    """Smallest and largest value of an argument, for instance 1=0:1."""
    accuracy: Literal["inputs", "steps"] = "inputs"
    """What rounding may explain: what an accurate program loses, or FUNCTION's own steps."""
    atol: float = 0.0
    """Absolute distance that is allowed besides."""
    json: Annotated[str | None, arg(metavar="FILE")] = None
    """Write all of the report there; - is the standard output, and then nothing else is."""

    def check(self) -> None:
        """Check what can be checked before anything is imported.

        Raises
        ------
        ValueError
            If an option is not what it should be, or two do not go together.
        """
        for text in self.args:
            try:
                arguments.parse(text)
            except ValueError as error:
                raise ValueError(f"--args {error}") from None
        _domain(self.domain)
        if not 0 <= self.atol < math.inf:
            raise ValueError(f"--atol is {self.atol}: it must be a number of at least 0")
        if bool(self.args) == bool(self.example):
            raise ValueError("say with what to call it: --args SPEC..., or --example MODULE:NAME")
        if self.json and not Path(self.json).parent.is_dir():
            raise ValueError(f"--json {self.json!r}: there is no folder {Path(self.json).parent}")
        for name in ("reference", "argnums"):
            if self.gradient_of and getattr(self, name):
                raise ValueError(f"--{name} goes only without --gradient-of")


def judge(name: str, options: FunctionOptions, seed: int) -> int:
    """Judge the function ``name``, print the report, and return the exit code."""
    with path_of_users():
        f = load_function(name, "FUNCTION")
        args = _arguments(options, seed)
        keywords = _keywords(options, seed)
        if options.gradient_of:
            loss = load_function(options.gradient_of, "--gradient-of")
            report = _call(name, check.check_gradient, loss, f, *args, **keywords)
        else:
            report = _call(name, check.check_derivatives, f, *args, **keywords)
    if options.json == "-":
        sys.stdout.write(f"{report.to_json()}\n")
        print_line(report.summary(), stderr=True)
    else:
        _print(report)
    if options.json not in (None, "-"):
        try:
            write_file(Path(options.json), f"{report.to_json()}\n".encode())
        except RunFolderError as error:
            raise CallError(f"--json: {error}") from error
    return EXIT_CODES[report.verdict]


def _call(name: str, judge: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Call the judge; say whose fault it is where it raises."""
    try:
        return judge(*args, **keywords)
    except (Exception, SystemExit) as error:  # sys.exit(0) of a user's is no pass
        of_users = raised(error)
        if of_users:
            raise CallError(f"{name} raised\n{of_users}") from error
        if isinstance(error, ValueError | TypeError):
            raise CallError(f"{name}: {error}") from error
        lines = "".join(traceback.format_exception(error))
        raise CallError(f"no verdict on {name}: the judge failed\n{lines}") from error


def _arguments(options: FunctionOptions, seed: int) -> tuple[Any, ...]:
    if options.args:
        return arguments.values(options.args, seed)
    name = str(options.example)
    example = load(name, "--example")
    if callable(example):
        try:
            example = example()
        except (Exception, SystemExit) as error:
            what = raised(error) or f"{type(error).__name__}: {error}"
            raise CallError(f"--example {name!r} raised\n{what}") from error
    if not isinstance(example, tuple | list):
        kind = type(example).__name__
        raise CallError(f"--example {name!r} is {kind}: it must be a tuple of the arguments")
    return tuple(example)


def _keywords(options: FunctionOptions, seed: int) -> dict[str, Any]:
    given = {
        "reference": options.reference and load_function(options.reference, "--reference"),
        "argnums": options.argnums,
        "order": options.order,
        "dtypes": options.dtypes,
        "domain": _domain(options.domain),
        "accuracy": options.accuracy,
        "atol": options.atol,
    }
    given = {key: value for key, value in given.items() if value}
    return {"level": options.level, "seed": seed, **given}


def _domain(texts: tuple[str, ...]) -> dict[int, tuple[float, float]]:
    found = {}
    for text in texts:
        number, equals, bounds = text.partition("=")
        low, colon, high = bounds.partition(":")
        try:
            pair = (float(low), float(high))
        except ValueError:
            pair = (math.nan, math.nan)
        if not (equals and colon and number.isdecimal() and pair[0] < pair[1]):
            raise ValueError(f"--domain {text!r}: write ARG=LOW:HIGH, for instance 1=0:1")
        found[int(number)] = pair
    return found


def _print(report: Any) -> None:
    """Print the report; tables as those of the other commands."""
    print_line(f"{report.summary()}\n")
    _print_findings(report)
    if report.culprits:
        rows = [(c.node, c.status, f"{c.off:.3g}") for c in report.culprits]
        print_table(("node", "verdict", "of allowed"), rows, left=(0, 1))
    if report.boundary:
        print_line(f"{report.boundary}\n")
    if report.smallest:
        print_line("smallest input found:\n")
        print_code(f"{report.smallest.rstrip()}\n")
    if report.nodes:
        print_table(_NODES, [_node(n) for n in report.nodes], left=(0, 7))
    if report.oracles:
        rows = [(o.name, f"{o.asked:,}", f"{o.agreed:,}", f"{o.refused:,}") for o in report.oracles]
        print_table(("oracle", "asked", "agreed", "refused"), rows)
    for line in _remarks(report):
        print_line(line)


def _print_findings(report: Any) -> None:
    """Print what is wrong or undecided, beside the finding that the summary tells."""
    more = [f for f in report.findings if str(f) not in report.summary()]
    for finding in more[:_MORE_FINDINGS]:
        print_line(f"{finding.verdict.value}: {finding}\n")
    if len(more) > _MORE_FINDINGS:
        print_line(f"and {len(more) - _MORE_FINDINGS} findings more\n")


def _remarks(report: Any) -> list[str]:
    refused = [
        f"{oracle.name} refused: {reason} ({count:,} times)"
        for oracle in report.oracles
        for reason, count in oracle.reasons.items()
    ]
    notes = [f"note: {note}" for note in report.notes]
    return [*refused, *notes, *(f"left out: {what}" for what in report.left_out)]


_NODES = ("node", "type", "compared", "of allowed", "ULP", "floor", "caught", "verdict")


def _node(n: Any) -> tuple[str, ...]:
    caught = f"{sum(n.canaries.values())}/{len(n.canaries)}"
    floor = "all 0" if math.isinf(n.floor) else f"{n.floor:.1e}"
    numbers = (f"{n.compared:,}", f"{n.worst:.2g}", f"{n.ulp:.2g}", floor, caught)
    return n.name, n.dtype, *numbers, n.verdict.value
