"""Who may use the other cores for compiled loops that run in parallel.

Whoever finds them taken goes on alone: all cores are busy then, and not every thread layer may be entered twice.
"""

from __future__ import annotations

from threading import Lock

other_threads = Lock()
