"""A loop in a thread of its own, which nothing but a stop ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from contracts.bindings.errors import BindingsError
from contracts.bindings.log_setup import told_of

from .pace import backoff_s

log = structlog.get_logger(__name__)
_LONGEST_PAUSE_S = 30.0


class Loop:
    """Calls `step` again and again: at once when it was busy, after `pause_s` when not, later when it fails."""

    def __init__(self, name: str, step: Callable[[], bool], pause_s: float, stop: threading.Event) -> None:
        self._name, self._step, self._pause_s, self._stop = name, step, pause_s, stop
        # A replay that cannot be interrupted must not keep the process: everything that matters is journalled.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("still busy; left behind", loop=self._name)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                busy = self._step()
                failures = 0
            except Exception as error:
                # Whatever it is (the chain, a locked database, a full disk, memory): said, and tried again.
                if self._stop.is_set():
                    return
                failures += 1
                log.error(
                    "trouble",
                    loop=self._name,
                    because=f"{type(error).__name__}: {told_of(error)}",
                    exc_info=not isinstance(error, BindingsError),
                )
                self._stop.wait(backoff_s(failures, first_s=self._pause_s, longest_s=_LONGEST_PAUSE_S))
                continue
            if not busy:
                self._stop.wait(self._pause_s)
