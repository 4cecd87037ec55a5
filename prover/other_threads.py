"""Who may use the other cores for compiled loops that run in parallel, and when waking them pays.

Whoever finds them taken goes on alone: all cores are busy then, and not every thread layer may be entered twice.

What a wake costs is a matter of machine and load: 16 µs where both cores run, 50 µs where an idle core is a virtual machine's, milliseconds
where others have it. So it is measured, now and again, and work that is too short for it stays with the caller.
"""

from __future__ import annotations

import statistics
import time
from math import inf
from threading import Lock

import numpy as np
from numba import get_num_threads, njit, prange

from .field import threads  # noqa: F401  chooses the thread layer

_LEAST_US = 20.0
"""Shorter work stays with the caller whatever a wake costs: it takes the other cores from others for hardly anything."""
_WAKES = 16.0
"""So many times the cost of a wake is worth one. Two threads save half of the work at most, real loops cost three or four times what one
without arguments does (their rows have to come to the other core's caches), and other threads that are busy are waited for."""
_MEASURED_FOR_S = 10.0
_TRIES = 9


class OtherThreads:
    """Threads beside the caller's, which one caller has at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pays_from_us, self._measured_at = 0.0, -_MEASURED_FOR_S

    def take(self, alone_us: float) -> bool:
        """Whether the caller has them now, for work that would take it so long alone; then it calls `give_back`."""
        if alone_us < _LEAST_US or not self._lock.acquire(blocking=False):
            return False
        try:
            if time.monotonic() - self._measured_at >= _MEASURED_FOR_S:
                self._pays_from_us, self._measured_at = _pays_from_us(), time.monotonic()
            pays = alone_us >= self._pays_from_us
        except BaseException:
            self._lock.release()
            raise
        if not pays:
            self._lock.release()
        return pays

    def give_back(self) -> None:
        self._lock.release()


other_threads = OtherThreads()


def _pays_from_us() -> float:
    """Microseconds of work from which on other threads pay; where there are none, never."""
    return inf if get_num_threads() == 1 else _WAKES * _measured_wake_us()


def _measured_wake_us() -> float:
    """Median microseconds of a parallel loop with nothing to do."""
    visits = np.zeros(get_num_threads(), dtype=np.int64)
    visit_each(visits)  # compiles it, or starts the threads
    seconds = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        visit_each(visits)
        seconds.append(time.perf_counter() - started)
    return 1e6 * statistics.median(seconds)


@njit(nogil=True, cache=True, parallel=True)
def visit_each(visits: np.ndarray) -> None:
    for place in prange(visits.shape[0]):
        visits[place] += 1
