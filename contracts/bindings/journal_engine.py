"""The database of a sender's journal, where it has one of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from .write_ahead import use_write_ahead_log

_BUSY_S = 30.0  # how long a journal that another process writes is waited for


def open_journal_engine(database_url: str) -> Engine:
    """SQLite with a write-ahead log that reaches the disk before a commit returns."""
    if not database_url.startswith("sqlite"):
        scheme, separator, rest = database_url.partition("://")
        driver = "postgresql+psycopg" if scheme in ("postgresql", "postgres") else scheme
        return create_engine(driver + separator + rest)
    in_memory = database_url in ("sqlite://", "sqlite:///:memory:")
    engine = create_engine(
        database_url,
        connect_args={"check_same_thread": False, "timeout": _BUSY_S},
        # One connection for all threads: each connection to ":memory:" would be a database of its own.
        **({"poolclass": StaticPool} if in_memory else {}),
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        use_write_ahead_log(connection, _BUSY_S)
        connection.execute("PRAGMA synchronous=FULL")

    return engine
