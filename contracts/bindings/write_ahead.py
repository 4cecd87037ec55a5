"""SQLite's write-ahead log, switched on by whoever comes first.

Changing a fresh file to the log needs it alone for a moment, and SQLite does not run its busy handler then: of several
programs that open one new database at once, all but one would be told "database is locked" whatever time-out they
have. So the change is tried again here. A file that has the log already is only read.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


def use_write_ahead_log(connection: Any, patience_s: float) -> None:
    """Readers work beside the writer from now on. `connection` has no transaction open.

    Raises sqlite3.OperationalError where another program holds the file for longer than `patience_s` seconds, and at
    once for what waiting does not mend (a read-only folder, a full disk).
    """
    deadline = time.monotonic() + patience_s
    pause = _FIRST_PAUSE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
