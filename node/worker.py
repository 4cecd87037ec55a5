"""A background thread that repeats one step, survives its failures and ends when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from .errors import error_sentence
from .metrics import Metrics

log = structlog.get_logger("node.worker")

# Games have clocks, and after an outage the node is to be ready again soon.
_LONGEST_PAUSE_S = 5.0


class Worker:
    """Runs `step` every `interval_s`. After a failure it waits longer each time; a success resets that."""

    def __init__(self, name: str, step: Callable[[], None], interval_s: float, metrics: Metrics) -> None:
        self.name = name
        self.failure: str | None = None  # of the last round
        self._step, self._interval_s, self._metrics = step, interval_s, metrics
        self._stopping, self._wanted = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something to do now: the next step need not wait for its turn."""
        self._wanted.set()

    @property
    def has_ended(self) -> bool:
        """Whether the thread ended though nobody stopped it."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the thread to end after its present step. What it leaves undone, the next start takes up."""
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._step()
                failures, self.failure = 0, None
            except Exception as error:
                failures += 1
                self.failure = error_sentence(error)
                self._metrics.failures.labels(self.name).inc()
                # The first failure with its traceback; repetitions in one line.
                log.warning("step failed", worker=self.name, error=self.failure, exc_info=failures == 1)
            pause = self._interval_s * 2 ** min(failures, 10)
            self._wanted.wait(min(pause, max(_LONGEST_PAUSE_S, self._interval_s)))
            self._wanted.clear()
