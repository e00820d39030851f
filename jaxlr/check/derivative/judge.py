"""From comparisons to a verdict: second opinions where something is off, and where nothing is."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxlr.check.derivative.compare import comparisons
from jaxlr.check.derivative.comparison import Comparison, Place
from jaxlr.check.derivative.confirm import Confirmation, Doubt
from jaxlr.check.derivative.laws import Laws
from jaxlr.check.derivative.modes import Modes
from jaxlr.check.derivative.opinions import Decision, decided
from jaxlr.check.derivative.plan import Leg
from jaxlr.check.derivative.programs import Programs
from jaxlr.check.derivative.quantities import Point, Quantity
from jaxlr.check.derivative.record import Key, Record, Records
from jaxlr.check.derivative.report import Finding, Oracle
from jaxlr.check.derivative.support import words
from jaxlr.check.derivative.tally import Tally, stance
from jaxlr.check.derivative.tolerance import Tolerance
from jaxlr.check.report import Verdict

_TRIED = 6  # bad comparisons of a leaf that are looked into until one is decided
_SEARCHED = 24  # coordinates in which a disagreement of oracles is looked for


class Judge:
    """One check of one function.

    Parameters
    ----------
    programs : Programs
        The function and its reference.
    tolerance : Tolerance
        What rounding may do.
    confirmations : int
        Points at which autodiff is confirmed by second oracles where nothing is off.
    """

    def __init__(self, programs: Programs, tolerance: Tolerance, confirmations: int) -> None:
        self.programs, self.tolerance = programs, tolerance
        self.records, self.tally = Records(), Tally()
        self.laws, self.modes = Laws(), Modes()
        self.findings: list[Finding] = []
        self.failing: list[Comparison] = []
        self.notes: Counter[str] = Counter()
        self.left_out: list[str] = []
        self.kinks: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.places: list[Place] = []
        self.given: dict[tuple[Quantity, str, int | None], Point] = {}
        self._confirmation = Confirmation(programs, tolerance, self.tally, confirmations)
        self._settled: set[Any] = set()
        self._verdicts: dict[Key, set[Verdict]] = {}

    def walk(self, leg: Leg) -> None:
        """Compare at every point of a leg."""
        points = [p.point for p in leg.probes]
        try:
            found = self.programs.hand.run(leg.quantity, points, leg.others, leg.mode)
        except Exception as error:  # whatever a rule says to a mode, or to a number of rows
            self._refused(leg, error)
            return
        for probe, hand in zip(leg.probes, found, strict=True):
            place = Place(probe, leg.others, leg.dtype, leg.mode, leg.rows)
            self.places.append(place)
            made = list(comparisons(self.programs, leg.quantity, place, hand, self.tolerance))
            self.given.setdefault((leg.quantity, leg.dtype, leg.rows), probe.point)
            self.laws.add(leg, made)
            self.modes.add(leg, made)
            for comparison in made:
                self.records.add(comparison)
                if np.isnan(comparison.truth).any():
                    self.unknown[probe.name] += 1
            if leg.mode == "jit" and (doubt := self._confirmation.ask(leg.quantity, made)):
                self._resolve(doubt)

    def _refused(self, leg: Leg, error: Exception) -> None:
        """Note a mode that the function does not take; a number of rows is a fault of its rule."""
        if leg.mode != "jit":
            self.left_out.append(f"{leg.mode}: {words(error)}")
            return
        if leg.rows is None:
            raise error
        self.programs.truth(leg.quantity, leg.probes[0].point, leg.others)  # it takes them
        place = f"{leg.rows} rows, {leg.dtype}, {leg.mode}"
        nan = np.nan
        self.findings.append(
            Finding(
                Verdict.WRONG, "structure", f"at {place}", nan, nan, nan, nan, place, words(error)
            )
        )  # fmt: skip

    def settle(self) -> None:
        """Ask second oracles about everything that is off and was not asked about."""
        for record in self.records.all.values():
            for key, group in record.bad.items():
                if (record.key, key) not in self._settled:
                    self._settled.add((record.key, key))
                    self._look_into(record, group)
        self.findings.sort(key=lambda f: f.verdict is not Verdict.WRONG)

    def verdict_of(self, record: Record) -> Verdict:
        """Verdict on one leaf in one type."""
        found = self._verdicts.get(record.key, set())
        return next((v for v in (Verdict.WRONG, Verdict.UNDECIDED) if v in found), Verdict.PASS)

    def oracles(self) -> tuple[Oracle, ...]:
        """How often each oracle was asked."""
        first = Oracle("autodiff, float64", self.records.comparisons, self._agreeing(), 0)
        return (Oracle("structure", 1, 1, 0), *self.laws.oracles(), first, *self.tally.oracles())

    def _agreeing(self) -> int:
        return self.records.comparisons - sum(r.off for r in self.records.all.values())

    def _look_into(self, record: Record, group: Sequence[Comparison]) -> None:
        """Decide about numbers of one leaf that are off, until one is wrong beyond doubt."""
        undecided: tuple[Comparison, int, Decision] | None = None
        for made in sorted(group, key=lambda made: made.place.probe.extreme)[:_TRIED]:
            index = made.worst
            decision = self._decide(made, index)
            if decision.kink:
                self.kinks[made.place.probe.name] += 1
            elif decision.verdict is Verdict.PASS:
                self._note_reference(made, index, decision)
            elif decision.verdict is Verdict.WRONG:
                record.blame(made)
                self.findings.append(self._finding(made, index, decision, record.off - 1))
                self.failing.append(made)
                return
            elif undecided is None:
                undecided = (made, index, decision)
        if undecided is not None:
            record.blame(undecided[0])
            self.findings.append(self._finding(*undecided, record.off - 1))

    def _decide(self, made: Comparison, index: int) -> Decision:
        decision = decided(self.programs, made, index)
        for reading in decision.readings:
            truth, allowed = (float(v.ravel()[index]) for v in (made.truth, made.allowed))
            self.tally.add(reading.oracle, stance(reading, truth, allowed), reading.refused)
        return decision

    def _finding(self, made: Comparison, index: int, decision: Decision, others: int) -> Finding:
        key = (made.kind, made.name, made.place.dtype)
        self._verdicts.setdefault(key, set()).add(decision.verdict)
        hand, allowed, unit = (
            float(v.ravel()[index]) for v in (made.hand, made.allowed, made.unit)
        )
        reason = decision.reason or self._kind_of_fault(made, index)
        return Finding(
            decision.verdict, made.kind, made.path(index), hand, decision.truth, allowed,
            abs(hand - decision.truth) / unit if np.isfinite(hand) else np.inf,
            str(made.place), reason, decision.readings, others,
        )  # fmt: skip

    def _kind_of_fault(self, made: Comparison, index: int) -> str:
        """Tell a formula that is right and loses digits from one that is wrong."""
        hand = made.hand.ravel()[index]
        if not np.isfinite(hand):
            return "not a number where the truth is one"
        if made.kind == "norm" or made.kind.startswith("second"):
            return ""
        try:
            steps = self.programs.hand.steps(
                made.quantity, made.place.probe.point, made.place.others
            )[made.kind][made.leaf].ravel()[index]
        except (TypeError, ValueError, NotImplementedError):  # its program is only for its own type
            return ""
        eps = made.unit.ravel()[index] / max(abs(made.truth.ravel()[index]), 1e-300)
        if abs(hand - made.truth.ravel()[index]) > self.tolerance.budget * eps * steps:
            return ""
        return (
            "rounding in its own steps explains it: the formula is right and loses digits here "
            "(accuracy='steps' accepts that)"
        )

    def _note_reference(self, made: Comparison, index: int, decision: Decision) -> None:
        if decision.reference_wrong:
            truth = made.truth.ravel()[index]
            self.notes[
                f"autodiff of the reference is wrong, and the hand right, for {made.name} at "
                f"{_input(made.place)}: {truth:.9g} instead of {decision.truth:.9g}"
            ] += 1

    def _resolve(self, doubt: Doubt) -> None:
        """Find out who is right, where a second oracle is not of autodiff's and the hand's mind."""
        for made in doubt.leaves:
            for index in range(min(made.truth.size, _SEARCHED)):
                decision = self._decide(made, index)
                if decision.kink:
                    self.kinks[made.place.probe.name] += 1
                    return
                if decision.reference_wrong and decision.verdict is Verdict.WRONG:
                    self.findings.append(self._finding(made, index, decision, 0))
                    return
        made, truth = doubt.leaves[0], doubt.truth
        self.findings.append(
            Finding(
                Verdict.UNDECIDED, made.kind, f"{made.name} along a direction", truth, truth,
                np.nan, 0.0, str(made.place), f"autodiff says {truth:.9g}, {doubt.says}",
            )
        )  # fmt: skip


def _input(place: Place) -> str:
    return f"{place.probe.name} ({place.dtype})"
