"""How long ago something was, on a machine whose clock may have been wrong, or be wrong now.

A time in the database is the clock's of the moment when it was written. While that clock was a day ahead, "written 30
seconds ago" is not true for a day; while it is a day ahead now, everything was written a day ago. The monotonic clock
never jumps, but it knows only what this process has seen, and begins anew with each start. So:

- what costs a fee at most happens as soon as either of the two says that it is time (`is_older`): late never, early
  perhaps;
- what would happen twice if it came too early waits for the monotonic clock alone (`seen_s`). The time written down
  adds nothing to that: what this process has seen for ten minutes is no younger. After a start it waits anew.

Where a process does not live long enough to see the time pass, the chain's time is asked (`Sender.send_by_hand`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable


class Elapsed:
    """What this process has seen, and since when. Safe to share between threads."""

    def __init__(self) -> None:
        self._seen_since: dict[bytes, float] = {}

    def seen_s(self, what: bytes) -> float:
        """Seconds since it was asked for the first time, or for the first time after `forget`."""
        now = time.monotonic()
        return now - self._seen_since.setdefault(what, now)

    def is_older(self, what: bytes, written_at: float, than_s: float) -> bool:
        """Whether it was written (`time.time()`) more than so many seconds ago, or seen here for as long."""
        return max(self.seen_s(what), time.time() - written_at) > than_s

    def forget(self, seen: Iterable[bytes]) -> None:
        for what in seen:
            self._seen_since.pop(what, None)
