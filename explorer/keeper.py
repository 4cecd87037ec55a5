"""A thread that keeps an index up to date while somebody looks."""

from __future__ import annotations

import threading
import time

import structlog

from .index import Index

log = structlog.get_logger("explorer")

_LONGEST_PAUSE_S = 30.0


class Keeper:
    """Reads on every `interval_s`; with `idle_s`, only for so long after somebody last asked."""

    def __init__(self, index: Index, interval_s: float, *, idle_s: float | None = None) -> None:
        self.index = index
        self.problem: str | None = None  # of the last reading
        self.is_caught_up = False
        self._interval_s, self._idle_s = interval_s, idle_s
        self._asked_at = -1e9
        self._stopping, self._wanted = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def asked(self) -> None:
        """Somebody looks: what they see next shall be new."""
        was_idle = self._is_idle()
        self._asked_at = time.monotonic()
        if was_idle:
            self._wanted.set()

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="explorer", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """What was not read yet is read by the next start."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _is_idle(self) -> bool:
        return self._idle_s is not None and time.monotonic() - self._asked_at > self._idle_s

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            if not self._is_idle():
                try:
                    self.is_caught_up = self.index.catch_up(most_readings=1)
                    failures, self.problem = 0, None
                except Exception as error:  # an explorer that cannot read says so, and tries again
                    failures += 1
                    self.problem = " ".join(str(error).split())[:300] or type(error).__name__
                    log.warning("the explorer cannot read on", error=self.problem, exc_info=failures == 1)
                if not self.is_caught_up and not failures:
                    continue
            self._wanted.wait(min(self._interval_s * 2 ** min(failures, 8), _LONGEST_PAUSE_S))
            self._wanted.clear()
