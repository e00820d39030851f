"""All wrong copies that the table of operators knows, and a test held against them."""

import ast
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, overload

from jaxlr.check.mutation import boundary, operators
from jaxlr.check.mutation.build import Unit, Wrapper, undress, units_of
from jaxlr.check.mutation.mutant import Mutant, Origin, Place
from jaxlr.check.mutation.report import MutationReport, Status, Trial
from jaxlr.check.mutation.run import TimedOutError, Watch, attempt, is_skip, same_bits

OPERATORS = (*operators.names(), *boundary.NAMES)


def mutants(
    *functions: Callable[..., Any],
    follow: bool = True,
    operators: Collection[str] | None = None,
    wrap: Wrapper | None = None,
) -> "Mutants":
    """Wrong copies of hand-written derivatives, to see which of one's own tests let one live.

    Each copy has one change: an operator, a constant, a sign, a term or factor dropped, an axis
    or a transpose forgotten, arguments exchanged, an input (a cotangent, say) taken for 1, or a
    returned value that is wrong only in one element, at zero, where it is small or large, or
    under jit. The originals stay as they are.

    Parameters
    ----------
    functions
        Python functions whose source can be read: a backward function, or ``fwd`` and ``bwd`` of
        a `jax.custom_vjp`. Methods, lambdas, closures, `functools.partial` and functions with
        decorators, such as `jax.jit`, are copied as what they are.
    follow : bool
        Whether helpers of the same module, called by name, are changed too.
    operators : collection of str, optional
        Which of ``OPERATORS``, by default all.
    wrap : callable, optional
        What to put on each copy instead of its decorators. Needed where a function was wrapped
        by a call, as in ``fast = jax.jit(slow, ...)``, whose arguments cannot be read back.

    Returns
    -------
    Mutants
        A sequence of `Mutant`, in the order of the text. `Mutants.run` tries a test on them.

    Raises
    ------
    NoSourceError
        If the text of a function cannot be read, or is not what runs.
    TypeError
        If one of them is no Python function.
    ValueError
        If there is nothing to change, an operator is unknown, or the decorators of a function
        cannot be put on again.

    Notes
    -----
    A copy shares the globals, the closure's cells and the defaults of its original. It is a new
    function, so that `jax.jit` never takes the original's compiled code for it. Comparisons that
    only guard a ``raise``, assertions, annotations and defaults are left alone.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> def dw(w, x):
    ...     return 2 * w * x
    >>> found = mutants(dw, operators=["operator", "constant"])
    >>> for mutant in found:
    ...     print(mutant.name, mutant.line, mutant.after)
    operator 2 return 2 * w / x
    operator 2 return 2 / w * x
    constant 2 return 1 * w * x
    constant 2 return 3 * w * x

    A test takes the function and raises, or returns what is false, when it finds it wrong:

    >>> def test(dw):
    ...     return jnp.allclose(dw(1.0, 1.0), jax.grad(lambda w, x: w * w * x)(1.0, 1.0))
    >>> print(found.run(test).summary())
    killed 2 of 4 wrong copies (50%), 2 survived

    At w = x = 1 division is as good as multiplication. A test that finds the function in a module
    by itself, any pytest test, is told of by where it finds it:

    >>> import types
    >>> module = types.SimpleNamespace(dw=dw)
    >>> def test_dw():
    ...     assert module.dw(3.0, 2.0) == 12
    >>> report = found.run(test_dw, install=[(module, "dw")])
    >>> bool(report), report.score
    (True, 1.0)
    """
    chosen = set(OPERATORS if operators is None else operators)
    if unknown := chosen - set(OPERATORS):
        raise ValueError(f"no operator {sorted(unknown)}: there are {', '.join(OPERATORS)}")
    units = units_of(functions, follow, wrap)
    raws = tuple(undress(function, wrap)[0] for function in functions)
    if len(set(raws)) < len(raws):
        raise ValueError("the same function is given twice")
    origin = Origin(functions, raws, units)
    found = [mutant for unit in units for mutant in _mutants_of(unit, origin, chosen)]
    if not found:
        raise ValueError(
            "nothing to change: these functions compute nothing, or call others that do"
        )
    return Mutants(origin, found)


def _mutants_of(unit: Unit, origin: Origin, chosen: set[str]) -> Iterator[Mutant]:
    source = unit.source
    edits = list(operators.edits(source))
    if unit.raw in origin.raws:
        edits += boundary.edits(source)
    seen = {ast.dump(source.parsed())}
    for edit in sorted(edits, key=lambda edit: edit.start):
        try:
            tree = source.parsed(edit)
        except SyntaxError:
            continue
        if edit.operator in chosen and ast.dump(tree) not in seen:
            seen.add(ast.dump(tree))
            before, after = source.diff(edit)
            where, line = unit.raw.__qualname__, source.line_of(edit)
            yield Mutant(
                edit.operator, line, before, after, where, source.path, origin, {unit.raw: tree}
            )


class Mutants(Sequence[Mutant]):
    """Wrong copies of functions, in the order of the text; made by `mutants`."""

    def __init__(self, origin: Origin, found: Sequence[Mutant]) -> None:
        self._origin, self._found = origin, list(found)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Mutant: ...
    @overload
    def __getitem__(self, index: slice) -> "Mutants": ...
    def __getitem__(self, index: int | slice) -> "Mutant | Mutants":
        """One of them, or some, as in ``found[::10]`` for a quick look."""
        if isinstance(index, slice):
            return Mutants(self._origin, self._found[index])
        return self._found[index]

    def __repr__(self) -> str:
        """How many, and of what."""
        return f"<{len(self)} mutants of {', '.join(raw.__name__ for raw in self._origin.raws)}>"

    def run(
        self,
        test: Callable[..., Any],
        *,
        install: Sequence[Place] | None = None,
        inputs: Sequence[Any] | None = None,
        timeout: float = 60.0,
    ) -> MutationReport:
        """Try a test on every mutant, after it has passed the unchanged functions.

        Parameters
        ----------
        test : callable
            Called with the functions, ``test(bwd)`` or ``test(fwd, bwd)``. It finds a fault by
            raising, or by returning what is false; None is a pass.
        install : sequence of (object, str), optional
            Modules, classes or objects and the attributes of them where the test finds the
            functions; ``test`` then is called without arguments. `Mutant.installed` does the
            same for one mutant.
        inputs : sequence of tuple, optional
            Arguments, several tuples. A survivor that returns on all of them what the original
            returns, to the bit, is reported as "no difference seen" instead: give more than
            the test itself uses, or its blind spots pass for equivalence. For several functions
            one such sequence each.
        timeout : float
            Seconds for one mutant. A loop within compiled code cannot be stopped from within
            its process.

        Returns
        -------
        MutationReport
            True when mutants were killed and none survived.

        Raises
        ------
        ValueError
            If the unchanged functions fail the test, or it never calls one of them, or skips.
        """
        judge = partial(_judge, test=test, install=install, timeout=timeout)
        self._check_unchanged(judge)
        per_function = [inputs or []] if len(self._origin.functions) == 1 else inputs or []
        trials = []
        for mutant in self:
            status, reason = judge(mutant, Watch())[:2]
            if status is Status.SURVIVED and inputs and _no_difference(mutant, per_function):
                status = Status.NO_DIFFERENCE
            trials.append(Trial(mutant, status, reason))
        return MutationReport(trials)

    def _check_unchanged(self, judge: Callable[..., tuple[Status, str, Any]]) -> None:
        watch = Watch()
        unchanged = Mutant("unchanged", 0, "", "", "", "", self._origin, {})
        status, reason, error = judge(unchanged, watch)
        if status is not Status.SURVIVED or is_skip(error):
            raise ValueError(
                f"the unchanged functions do not pass the test ({reason}: {error}): nothing can be "
                "said of wrong ones"
            ) from error
        missed = [raw.__qualname__ for raw in self._origin.raws if raw not in watch.called]
        if missed:
            raise ValueError(
                f"the test never calls {', '.join(missed)}: it must call what it is given, or what "
                "stands where install= says"
            )


def _judge(
    mutant: Mutant,
    watch: Watch,
    *,
    test: Callable[..., Any],
    install: Sequence[Place] | None,
    timeout: float,
) -> tuple[Status, str, BaseException | None]:
    try:
        made = mutant.build(watch)
    except Exception as error:
        return Status.BROKEN, type(error).__name__, error
    if install is None:
        error = attempt(partial(test, *made), timeout)
    else:
        with mutant.origin.installed(made, install):
            error = attempt(test, timeout)
    if error is None or is_skip(error):
        reached = watch.called.issuperset(mutant.changed)
        return Status.SURVIVED, _reason(reached, error), error
    if isinstance(error, TimedOutError):
        return Status.TIMED_OUT, "", error
    status = Status.BROKEN if watch.blames(error) else Status.KILLED
    return status, type(error).__name__, error


def _reason(reached: bool, error: BaseException | None) -> str:
    if error is not None:
        return "the test was skipped"
    return "" if reached else "the test never calls it"


def _no_difference(mutant: Mutant, inputs: Sequence[Sequence[Any]]) -> bool:
    originals = mutant.origin.functions
    return all(
        same_bits(ours, theirs, arguments)
        for ours, theirs, tuples in zip(originals, mutant.functions, inputs, strict=True)
        for arguments in tuples
    )
