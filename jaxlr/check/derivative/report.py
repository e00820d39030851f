"""What `check_derivatives` says: a verdict, what it rests on, and that it could have failed."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from jaxlr.check.oracles import Reading
from jaxlr.check.report import Verdict

_SHOWN = 3  # findings in print; all are in `DerivativeReport.findings`


@dataclass(frozen=True)
class Finding:
    """One number that is not what it should be, or that could not be decided.

    Attributes
    ----------
    verdict : Verdict
        WRONG or UNDECIDED.
    quantity : str
        "structure", "value", "gradient", "norm", "second", "second by cotangent", "gradient of the
        primal" or "tangent".
    path : str
        Which number, as in ``dx[2, 0]``.
    hand, truth, allowed : float
        The number by hand, the one two oracles agree on, and the distance that rounding explains.
    ulp : float
        Distance in units in the last place of the truth.
    where : str
        The input, number of rows, type and mode.
    reason : str
        Why it is undecided, or what kind of fault it is.
    readings : tuple of Reading
        What the second oracles say.
    others : int
        How many more numbers of this leaf, in this type and mode, are off.
    """

    verdict: Verdict
    quantity: str
    path: str
    hand: float
    truth: float
    allowed: float
    ulp: float
    where: str
    reason: str = ""
    readings: tuple[Reading, ...] = ()
    others: int = 0

    def __str__(self) -> str:
        """Return the finding in one or two lines."""
        more = f" (and {self.others} more)" if self.others else ""
        if self.quantity == "structure":
            return f"{self.path}: {self.reason}"
        hand, truth = _apart(self.hand, self.truth)
        off = f"; {self.ulp:.3g} ULP off" if math.isfinite(self.ulp) else ""
        line = f"{self.path} = {hand} by hand, {truth} in truth{off}{more}\n  at: {self.where}"
        sure = [
            f"{r.oracle} {r.value:.9g} +- {r.error:.1g}"
            for r in self.readings
            if abs(r.value - self.truth) <= max(r.error, 1e-9 * abs(self.truth))
        ]
        if sure:
            line += "\n  confirmed by: " + "; ".join(sure)
        return line + (f"\n  {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Node:
    """What was compared of one leaf of one quantity, in one type.

    ``floor`` is the smallest relative change of its numbers that would have been seen; ``canaries``
    are the faults that were planted in it, and whether each was caught.
    """

    name: str
    quantity: str
    dtype: str
    compared: int
    worst: float
    ulp: float
    floor: float
    canaries: dict[str, bool]
    verdict: Verdict


@dataclass(frozen=True)
class Oracle:
    """How often an oracle was asked, agreed with autodiff, and refused to answer."""

    name: str
    asked: int
    agreed: int
    refused: int
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DerivativeReport:
    """Verdict on a function's own derivatives. True exactly when they passed.

    Attributes
    ----------
    function : str
        Its name.
    verdict : Verdict
        WRONG if two oracles that share no code say so of any number; else VACUOUS if a planted
        fault was missed; else UNDECIDED if anything could not be decided; else PASS.
    findings : tuple of Finding
        What is wrong, then what is undecided, in the order in which it was found.
    nodes : tuple of Node
        Every leaf of every quantity.
    oracles : tuple of Oracle
        The ladder, by name.
    culprits : tuple
        With node gradients by hand: ``NodeVerdict`` of each node, in backward order.
    smallest : str
        Code that reproduces the worst finding at the smallest input found; empty if none is wrong.
    boundary : str
        Between which inputs the error first exceeds its budget.
    notes, left_out : tuple of str
        Remarks, and what this check did not look at.
    points, comparisons : int
        Inputs, and numbers that were compared.
    seed : int
        Of everything that is random in it.
    """

    function: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    nodes: tuple[Node, ...]
    oracles: tuple[Oracle, ...]
    culprits: tuple[Any, ...] = ()
    smallest: str = ""
    boundary: str = ""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    points: int = 0
    comparisons: int = 0
    seed: int = 0

    def __bool__(self) -> bool:
        """Whether it passed."""
        return self.verdict is Verdict.PASS

    def summary(self) -> str:
        """Return the verdict in one sentence."""
        if self.verdict is Verdict.PASS:
            planted = sum(len(n.canaries) for n in self.nodes)
            return (
                f"pass: {self.function}, {self.comparisons:,} numbers at {self.points} inputs; "
                f"all {planted} planted faults were caught"
            )
        if self.verdict is Verdict.VACUOUS:
            missed = [
                f"{fault} in {n.name} ({n.dtype})"
                for n in self.nodes
                for fault, caught in (n.canaries or {"any fault": False}).items()
                if not caught
            ]
            return f"vacuous: {self.function}: this check would not have seen " + "; ".join(missed)
        first = next(f for f in self.findings if f.verdict is self.verdict)
        return f"{self.verdict.value}: {self.function}: {first}"

    def __str__(self) -> str:
        """Return the verdict, the findings, and tables of the nodes and oracles."""
        parts = [self.summary()]
        rest = [f for f in self.findings[:_SHOWN] if str(f) not in parts[0]]
        parts += [f"{f.verdict.value}: {f}" for f in rest]
        hidden = len(self.findings) - len(rest) - (not self)
        if hidden > 0:
            parts.append(f"... {hidden} more findings")
        if self.culprits:
            parts.append(_table(("node", "verdict", "off"), [_culprit(c) for c in self.culprits]))
        if self.boundary:
            parts.append(self.boundary)
        if self.smallest:
            parts.append("smallest input found:\n\n" + _indented(self.smallest))
        parts.append(_table(_NODE_HEAD, [_node_row(n) for n in self.nodes]))
        parts.append(_table(_ORACLE_HEAD, [_oracle_row(o) for o in self.oracles]))
        if self.notes:
            parts.append("\n".join(f"note: {note}" for note in self.notes))
        if self.left_out:
            parts.append("left out: " + "; ".join(self.left_out))
        return "\n\n".join(parts)

    def to_json(self) -> str:
        """Return all of it as JSON; the same seed gives the same bytes."""
        return json.dumps(_plain(asdict(self)), indent=2, sort_keys=True, allow_nan=False)


_NODE_HEAD = ("node", "type", "compared", "worst / allowed", "ULP", "floor", "canaries", "verdict")
_ORACLE_HEAD = ("oracle", "asked", "agreed", "refused", "why")


def _node_row(n: Node) -> tuple[str, ...]:
    caught = f"{sum(n.canaries.values())} of {len(n.canaries)}"
    floor = "-" if math.isnan(n.floor) else f"{n.floor:.1e}"
    return (
        n.name, n.dtype, f"{n.compared:,}", f"{n.worst:.2g}", _short(n.ulp), floor, caught,
        n.verdict.value,
    )  # fmt: skip


def _oracle_row(o: Oracle) -> tuple[str, ...]:
    why = ", ".join(f"{reason} {count}" for reason, count in o.reasons.items())
    return (o.name, f"{o.asked:,}", f"{o.agreed:,}", f"{o.refused:,}", why)


def _culprit(c: Any) -> tuple[str, ...]:
    return (c.node, c.status, f"{c.off:.3g} of what rounding explains")


def _apart(a: float, b: float) -> tuple[str, str]:
    """Return two numbers as text, with as many digits as tell them apart."""
    return next(
        (
            found
            for digits in (6, 9, 12, 17)
            if (found := (f"{a:.{digits}g}", f"{b:.{digits}g}"))[0] != found[1]
        ),
        (f"{a:.17g}", f"{b:.17g}"),
    )


def _short(value: float) -> str:
    return "inf" if math.isinf(value) else f"{value:.2g}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Columns side by side; the first and the last to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    last = len(head) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def _indented(code: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in code.splitlines())


def _plain(value: Any) -> Any:
    """Turn enums, numbers of NumPy and what is no number into what JSON knows."""
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Reading):
        return _plain(value._asdict())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
