"""Seconds, and how many of them went into compiling."""

import threading
import time

import jax


class Clock:
    """Measure from the start of the context; ``compile`` counts what this thread compiled."""

    def __enter__(self) -> "Clock":
        """Start."""
        self.start, self.compile = time.perf_counter(), 0.0
        self.thread = threading.get_ident()
        jax.monitoring.register_event_duration_secs_listener(self._on_event)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop counting."""
        jax.monitoring.unregister_event_duration_listener(self._on_event)

    @property
    def run(self) -> float:
        """Seconds since the start that were not spent on compiling."""
        return time.perf_counter() - self.start - self.compile

    def _on_event(self, event: str, duration_secs: float, **details: str | int) -> None:
        if event.startswith("/jax/core/compile") and threading.get_ident() == self.thread:
            self.compile += duration_secs
