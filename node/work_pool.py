"""A bounded pool of threads that takes the most urgent work first."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable


class WorkPool:
    """`threads` daemon threads, started with the first work. What fails must be caught by the work itself."""

    def __init__(self, name: str, threads: int) -> None:
        self._name, self._threads = name, threads
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._started = 0

    def submit(self, deadline: float, work: Callable[[], None]) -> None:
        """Do `work` before everything with a later deadline that has not begun."""
        with self._changed:
            heapq.heappush(self._waiting, (deadline, next(self._numbers), work))
            if self._started < self._threads:
                name = f"{self._name}-{self._started}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
                self._started += 1
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                _, _, work = heapq.heappop(self._waiting)
            work()
