"""The report: verdict, culprit, smallest input, once everything has been compared."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from jaxlr.check.derivative.comparison import Comparison
from jaxlr.check.derivative.culprits import culprits
from jaxlr.check.derivative.judge import Judge
from jaxlr.check.derivative.report import DerivativeReport, Finding
from jaxlr.check.derivative.shrink import Failing
from jaxlr.check.graph import NodeVerdict
from jaxlr.check.report import Verdict


def report(
    name: str,
    judge: Judge,
    left_out: Sequence[str],
    seed: int,
    given: str,
    smallest: bool,
    blamed: tuple[NodeVerdict, ...],
) -> DerivativeReport:
    """Return the report; raise where nothing was compared."""
    records = list(judge.records.all.values())
    _check_vacuous(records)
    nodes = tuple(r.node(judge.verdict_of(r)) for r in records)
    verdicts = [f.verdict for f in judge.findings]
    if Verdict.WRONG in verdicts:
        verdict = Verdict.WRONG
    elif not all(n.canaries and all(n.canaries.values()) for n in nodes):
        verdict = Verdict.VACUOUS
    else:
        verdict = Verdict.UNDECIDED if verdicts else Verdict.PASS
    notes = [
        f"{note} ({count} times)" if count > 1 else note for note, count in judge.notes.items()
    ]
    if judge.kinks:
        notes.append("not differentiable, and not judged, at inputs: " + ", ".join(judge.kinks))
    if judge.unknown:
        notes.append(
            "the reference's own derivative is not a number, in some type, and was not judged, at "
            "inputs: " + ", ".join(judge.unknown)
        )
    if modes := str(judge.modes):
        notes.append(f"{modes} (no backend promises them)")
    notes += [f"{r.name} is 0 at every input ({r.dtype})" for r in records if r.zero]
    code = edge = ""
    if verdict is Verdict.WRONG and judge.failing and smallest:
        made = _plainest(judge, given)
        failing = Failing(judge.programs, judge.tolerance, made)
        code = failing.code(name)
        edge = failing.edge(judge.given[made.quantity, made.place.dtype, made.place.rows])
    return DerivativeReport(
        name, verdict, tuple(judge.findings), nodes, judge.oracles(), blamed, code, edge,
        tuple(notes), tuple(left_out), len(judge.places), judge.records.comparisons, seed,
    )  # fmt: skip


def _plainest(judge: Judge, given: str) -> Comparison:
    """Return a comparison that failed, in the type that the user gave if there is one."""
    return next((m for m in judge.failing if m.place.dtype == given), judge.failing[0])


def blame(
    judge: Judge, nodes: Callable[..., dict[str, Any]] | None, given: str
) -> tuple[NodeVerdict, ...]:
    """Judge the nodes where the gradient failed first; where it did not, at the given point.

    A node that is wrong where the gradient is right leaves the check undecided.
    """
    if nodes is None:
        return ()
    failed = bool(judge.failing)
    place = _plainest(judge, given).place if failed else judge.places[0]
    found = culprits(judge.programs, nodes, place, judge.tolerance)
    wrong = [v for v in found if v.status in ("wrong here", "inherited")]
    if wrong and not failed:
        worst = wrong[0]
        judge.findings.append(
            Finding(
                Verdict.UNDECIDED, "node", worst.node, worst.hand, worst.truth, math.nan, 0.0,
                str(place), "the node gradients do not add up to the gradient, which is right",
            )
        )  # fmt: skip
    return found


def _check_vacuous(records: Sequence[Any]) -> None:
    """Raise where nothing was compared, or everything is 0."""
    gradients = [r for r in records if r.kind == "gradient"]
    if not sum(r.compared for r in gradients):
        raise ValueError("the reference's gradient is not a number anywhere: nothing was compared")
    if all(r.zero for r in gradients):
        raise ValueError("the reference's gradient is 0 everywhere: a check of it proves nothing")
