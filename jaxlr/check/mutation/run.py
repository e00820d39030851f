"""One test on one set of functions: what it says, within a time."""

import ctypes
import functools
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np


class TimedOutError(BaseException):
    """A test did not end in its time; no ``except Exception`` of a test swallows this."""


class Watch:
    """Which functions a test called, and what they raised."""

    def __init__(self) -> None:
        self.called: set[types.FunctionType] = set()
        self.raised: list[BaseException] = []

    def __call__(self, raw: types.FunctionType, copy: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``copy`` under observation, to be known as ``raw``."""

        @functools.wraps(copy)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.called.add(raw)
            try:
                return copy(*args, **kwargs)
            except BaseException as error:
                self.raised.append(error)
                raise

        return watched

    def blames(self, error: BaseException | None) -> bool:
        """Whether an error comes from within a watched function."""
        while error is not None:
            if any(error is raised for raised in self.raised):
                return True
            error = error.__cause__ or error.__context__
        return False


def attempt(test: Callable[[], Any], seconds: float) -> BaseException | None:
    """Run a test; the error that it ends with, or None when it passes."""
    try:
        with _deadline(seconds):
            result = test()
            if result is not None and not result:
                raise AssertionError(f"the test returned a false {type(result).__name__}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error
    return None


def is_skip(error: BaseException | None) -> bool:
    """Whether a test ended by a skip of pytest or unittest."""
    return type(error).__name__ in ("Skipped", "SkipTest")


def same_bits(ours: Any, theirs: Any, arguments: Sequence[Any]) -> bool:
    """Whether two functions return the same structure, types, shapes and bits."""
    (a, tree), (b, other) = (jax.tree.flatten(f(*arguments)) for f in (ours, theirs))
    return tree == other and all(map(_same, a, b))


def _same(a: Any, b: Any) -> bool:
    if not hasattr(a, "dtype"):
        return type(a) is type(b) and a == b
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise `TimedOutError` in this thread after some time, whichever thread this is.

    It arrives between two steps of the interpreter, not within compiled code.
    """
    thread, lock = ctypes.c_ulong(threading.get_ident()), threading.Lock()
    over, fired = threading.Event(), threading.Event()

    def fire() -> None:
        with lock:
            if not over.is_set():
                fired.set()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TimedOutError))

    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over.set()
        if fired.is_set():
            for _ in range(1000):  # where it is still on its way it arrives here, and not later
                pass
            raise TimedOutError
