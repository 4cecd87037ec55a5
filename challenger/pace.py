"""When something is tried again, also after a restart: the time of the next try is kept in the database.

That time is this machine's, and its clock may have been wrong when it was written: a row that a clock a day ahead put off
would not be looked at before its window closes. So nothing is put off for longer than `LONGEST_PAUSE_S`, and a row that
says more than that is due. A clock that is wrong now only makes a try come early.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, or_

#: No row waits longer for its next try.
LONGEST_PAUSE_S = 600.0


def backoff_s(tries: int, *, first_s: float, longest_s: float) -> float:
    """first, 2·first, 4·first, ... up to the longest pause, after 1, 2, 3, ... tries."""
    return min(longest_s, first_s * 2.0 ** min(max(tries - 1, 0), 60))


def next_try(pause_s: float) -> float:
    """What a row's `next_try_at` is after a pause from now on, of `LONGEST_PAUSE_S` at most."""
    return time.time() + min(pause_s, LONGEST_PAUSE_S)


def is_due(next_try_at: Any, now_s: float) -> ColumnElement[bool]:
    """SQL: whether what waits until `next_try_at` (a column, or an expression of it) is tried again at `now_s`."""
    return or_(next_try_at <= now_s, next_try_at > now_s + LONGEST_PAUSE_S)
