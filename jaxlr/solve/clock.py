"""Seconds, and how many of them went into compiling."""

import time
from contextvars import ContextVar

import jax

_running: ContextVar["Clock | None"] = ContextVar("_running", default=None)


class Clock:
    """Measure from the start of the context; ``compile`` counts what was compiled in it.

    The context is that of `contextvars`, which threads started by `jaxlr.shard` share; where two
    compile at once, the seconds of both count.
    """

    def __enter__(self) -> "Clock":
        """Start."""
        self.start, self.compile = time.perf_counter(), 0.0
        self.outer = _running.set(self)
        jax.monitoring.register_event_duration_secs_listener(self._on_event)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop counting."""
        jax.monitoring.unregister_event_duration_listener(self._on_event)
        _running.reset(self.outer)

    @property
    def run(self) -> float:
        """Seconds since the start that were not spent on compiling."""
        return max(0.0, time.perf_counter() - self.start - self.compile)

    def _on_event(self, event: str, duration_secs: float, **details: str | int) -> None:
        if event.startswith("/jax/core/compile") and _running.get() is self:
            self.compile += duration_secs
