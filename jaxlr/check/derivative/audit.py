"""Every custom rule that a function calls, judged at the values that reach it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxlr.check.derivative.derivatives import check_derivatives
from jaxlr.check.derivative.report import DerivativeReport
from jaxlr.check.graph import Rule, rules
from jaxlr.check.report import Verdict

_WORST_FIRST = (Verdict.WRONG, Verdict.VACUOUS, Verdict.UNDECIDED, Verdict.PASS)
_CALLS = 3  # of a rule that are looked at: the first, the last, and one between


@dataclass(frozen=True)
class Audit:
    """Reports on the rules inside a function. True exactly when all of them passed.

    ``reports`` are pairs of the path to a rule, as in ``loss/scan[body]/my_op``, and its report;
    ``unreached`` are rules that no value reached, in a branch that was not taken; ``unjudged`` are
    those whose check raised, with the reason.
    """

    function: str
    reports: tuple[tuple[str, DerivativeReport], ...]
    unreached: tuple[str, ...] = ()
    unjudged: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """Whether all rules passed."""
        return self.verdict is Verdict.PASS

    @property
    def verdict(self) -> Verdict:
        """Worst verdict: WRONG, VACUOUS, UNDECIDED, PASS."""
        found = {report.verdict for _, report in self.reports}
        return next(v for v in _WORST_FIRST if v in found)

    def __str__(self) -> str:
        """Return one line for each rule, then the reports of those that did not pass."""
        lines = [f"{self.verdict.value}: rules inside {self.function}"]
        lines += [f"  {report.verdict.value:<10} {path}" for path, report in self.reports]
        lines += [f"  not reached {path}" for path in self.unreached]
        lines += [f"  not judged {path}: {why}" for path, why in self.unjudged]
        failed = [f"{path}\n{report}" for path, report in self.reports if not report]
        return "\n\n".join(["\n".join(lines), *failed])

    def to_json(self) -> str:
        """Return all of it as JSON; the same seed gives the same bytes."""
        found = [{"path": path, "report": json.loads(r.to_json())} for path, r in self.reports]
        everything = {
            "function": self.function,
            "verdict": self.verdict.value,
            "rules": found,
            "unreached": list(self.unreached),
            "unjudged": [list(pair) for pair in self.unjudged],
        }
        return json.dumps(everything, indent=2, sort_keys=True)


def audit(
    f: Callable[..., Any],
    *args: Any,
    level: Literal["full", "quick"] = "quick",
    **options: Any,
) -> Audit:
    """Judge every ``custom_vjp`` and ``custom_jvp`` that ``f(*args)`` calls, where it is called.

    Parameters
    ----------
    f : callable
        Any function that JAX can trace: a loss, a model, a training step.
    args
        Its arguments. They are run through it, to see what reaches each rule.
    level : {"quick", "full"}
        Of the check of each rule.
    options
        ``order``, ``dtypes``, ``accuracy``, ``atol``, ``seed`` of `check_derivatives`.

    Returns
    -------
    Audit
        Rules that JAX brings are not judged. Each of the others is, at up to three of the calls
        that reach it, against its own body.

    Raises
    ------
    ValueError
        If no rule is called inside.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> @jax.custom_jvp
    ... def cube(x):
    ...     return x * x * x
    >>> cube.defjvps(lambda t, out, x: 2 * x * x * t)
    >>> def loss(xs):
    ...     return jax.lax.scan(lambda c, x: (c + cube(x), None), 0.0, xs)[0]
    >>> found = audit(loss, jnp.array([1.0, 2.0]))
    >>> found.verdict.value, [path for path, report in found.reports if not report]
    ('wrong', ['loss/scan[body]/cube'])
    """
    found = rules(f, args, keep=_CALLS)
    reached = [rule for rule in found if rule.args]
    if not reached:
        raise ValueError("no custom rule is called inside: there is nothing to judge")
    reports, unjudged = [], []
    for rule in reached:
        try:
            reports.append((rule.path, _worst(rule, level, options)))
        except ValueError as error:  # nothing to differentiate by, 0 everywhere
            unjudged.append((rule.path, str(error)))
    if not reports:
        raise ValueError("; ".join(f"{path}: {why}" for path, why in unjudged))
    unreached = tuple(rule.path for rule in found if not rule.args)
    return Audit(
        getattr(f, "__name__", type(f).__name__), tuple(reports), unreached, tuple(unjudged)
    )


def _worst(rule: Rule, level: Any, options: dict[str, Any]) -> DerivativeReport:
    """Report on the call at which a rule does worst."""
    argnums = tuple(i for i, yes in enumerate(rule.differentiable) if yes)
    made = [
        check_derivatives(
            rule.call, *call, reference=rule.body, argnums=argnums, level=level, **options
        )
        for call in rule.args[: 1 if level == "full" else _CALLS]
    ]
    worst = min(made, key=lambda report: _WORST_FIRST.index(report.verdict))
    return replace(worst, function=rule.name)
