"""What the fixture ``gradient_check`` of the pytest plugin hands to a test."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxlr import check
from jaxlr.check.report import Verdict


class DerivativeCheckError(AssertionError):
    """Derivatives did not pass: they are wrong or undecided, or the check proves nothing.

    Attributes
    ----------
    report : DerivativeReport
        All that the judge found.
    """

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class GradientCheck:
    """Judge derivatives, and raise unless they pass.

    Parameters
    ----------
    seed : int
        Where a call names none.
    override : mapping
        Options that hold whatever a call says: those of pytest's command line.
    again : str
        Command that repeats the test, for the message.

    Attributes
    ----------
    calls : int
        How often it was called, passed or not.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> @jax.custom_vjp
    ... def square(x):
    ...     return x * x
    >>> square.defvjp(lambda x: (x * x, x), lambda x, c: (c * x,))
    >>> gradient_check = GradientCheck()
    >>> gradient_check(square, jnp.array([1.0, 2.0]))
    Traceback (most recent call last):
    jaxlr.check.plugin.DerivativeCheckError: wrong: ...
    """

    def __init__(
        self, *, seed: int = 0, override: Mapping[str, Any] | None = None, again: str = ""
    ) -> None:
        self.seed = seed
        self.override = dict(override or {})
        self.again = again
        self.calls = 0

    def __call__(self, f: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Judge a function with a rule of its own by `jaxlr.check.check_derivatives`.

        Parameters
        ----------
        f : callable
            Function with a ``custom_vjp`` or ``custom_jvp``.
        args
            An ordinary input of it.
        options
            As of `check_derivatives`; the level is "quick" by default.

        Returns
        -------
        DerivativeReport
            True, for it passed.

        Raises
        ------
        DerivativeCheckError
            Unless it passed; an `AssertionError`, whose text is the report.
        """
        __tracebackhide__ = True
        return self._judge(check.check_derivatives, (f, *args), options)

    def gradient(
        self,
        loss: Callable[..., Any],
        grads: Callable[..., Any],
        params: Any,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Judge a function that returns gradients by `jaxlr.check.check_gradient`; else as a call.

        Parameters
        ----------
        loss, grads : callable
            ``loss(params, *args)``, and its gradient by ``params``.
        params : PyTree
            Point to start from.
        args, options
            As of `check_gradient`.

        Returns
        -------
        DerivativeReport
            True, for it passed.

        Raises
        ------
        DerivativeCheckError
            Unless it passed.
        """
        __tracebackhide__ = True
        return self._judge(check.check_gradient, (loss, grads, params, *args), options)

    def _judge(self, judge: Callable[..., Any], args: tuple[Any, ...], options: Any) -> Any:
        __tracebackhide__ = True
        self.calls += 1
        options = {"level": "quick", "seed": self.seed, **options, **self.override}
        report = judge(*args, **options)
        if report.verdict is not Verdict.PASS:
            raise DerivativeCheckError(self._message(report, options), report)
        return report

    def _message(self, report: Any, options: Mapping[str, Any]) -> str:
        level, seed = options["level"], options["seed"]
        message = f"{report}\n\nlevel {level}, seed {seed}"
        if not self.again:
            return message
        command = f"{self.again} --gradient-level {level} --gradient-seed {seed}"
        return f"{message}; the same again:\n  {command}"
