"""Opening the database: SQLite in WAL mode by default, PostgreSQL by URL, brought to the newest schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from contracts.bindings.write_ahead import use_write_ahead_log

from ..errors import DatabaseError

# Longer than any transaction of this program takes, shorter than a posting deadline is away.
_BUSY_S = 10
_CONNECT_S = 5

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str) -> Engine:
    """An engine on a migrated database.

    `url` is an SQLAlchemy URL; `postgresql://` uses psycopg 3. Raises DatabaseError.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseError(
            f"{url!r} is not a database URL; use sqlite:///file.db or postgresql://…"
        ) from error
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    elif parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise DatabaseError(
            f"{parsed.drivername!r} is no known database; use sqlite:///file.db or postgresql://…"
        )
    options = _options(parsed)
    try:
        engine = create_engine(parsed, **options)
        migrating = engine
        if parsed.get_backend_name() == "sqlite":
            if parsed.database and parsed.database != ":memory:":
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            event.listen(engine, "connect", _configure_sqlite)
            migrating = create_engine(parsed, **options)
            event.listen(migrating, "connect", _without_implicit_commits)
            event.listen(migrating, "begin", _begin_at_once)
        _migrate(migrating)
        if migrating is not engine:
            migrating.dispose()
    except (SQLAlchemyError, OSError) as error:
        reason = _advice(str(error).splitlines()[0])
        safe = parsed.render_as_string(hide_password=True)
        raise DatabaseError(f"the database {safe} cannot be opened: {reason}") from error
    event.listen(engine, "handle_error", _name_the_failure)
    return engine


def relaxed_engine(engine: Engine) -> Engine:
    """An engine on the same database whose commits survive a kill, but perhaps not a power cut.

    Five times faster; only for what can be made again.
    """
    if engine.url.get_backend_name() == "sqlite":
        relaxed = create_engine(engine.url, **_options(engine.url))
        event.listen(relaxed, "handle_error", _name_the_failure)
        event.listen(relaxed, "connect", _configure_sqlite)
        event.listen(relaxed, "connect", _do_not_wait_for_the_disk)
        return relaxed
    relaxed = create_engine(engine.url, **_options(engine.url, "-c synchronous_commit=off"))
    event.listen(relaxed, "handle_error", _name_the_failure)
    return relaxed


def impatient_engine(engine: Engine, patience_s: float) -> Engine:
    """An engine on the same database for short questions: nothing waits longer than `patience_s`; commits as relaxed."""
    if engine.url.get_backend_name() == "sqlite":
        options: dict[str, Any] = {"connect_args": {"timeout": patience_s, "check_same_thread": False}}
        impatient = create_engine(engine.url, **options)
        event.listen(impatient, "connect", _do_not_wait_for_the_disk)
    else:
        milliseconds = int(1000 * patience_s)
        limits = (
            f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c synchronous_commit=off"
        )
        impatient = create_engine(
            engine.url, connect_args={"connect_timeout": 1, "options": limits}, pool_timeout=1, pool_size=1
        )
    event.listen(impatient, "handle_error", _name_the_failure)
    return impatient


def _options(url: URL, server_options: str = "") -> dict[str, Any]:
    """No statement and no connection may wait for ever."""
    if url.get_backend_name() == "sqlite":
        return {
            "connect_args": {"timeout": _BUSY_S, "check_same_thread": False},
            "hide_parameters": True,  # an error's text is logged: it must not quote a prompt
        }
    limits = f"-c statement_timeout={_BUSY_S}s -c lock_timeout={_BUSY_S}s"
    connect = {"connect_timeout": _CONNECT_S, "options": f"{limits} {server_options}".strip()}
    return {"hide_parameters": True, "pool_pre_ping": True, "pool_timeout": _BUSY_S, "connect_args": connect}


def _name_the_failure(context: ExceptionContext) -> None:
    """The one place where a driver's failure becomes a sentence about the database.

    Broken constraints stay what they are: they are answers, not outages.
    """
    error = context.original_exception
    if context.is_pre_ping or isinstance(context.sqlalchemy_exception, IntegrityError):
        return
    reason = " ".join(str(error).split())
    where = context.engine.url.render_as_string(hide_password=True) if context.engine is not None else ""
    raise DatabaseError(f"the database {where} failed: {_advice(reason)}") from error


def _advice(reason: str) -> str:
    told = reason.lower()
    if "full" in told or "no space" in told or "disk i/o" in told:
        return f"{reason}; make room on its disk"
    if "readonly" in told or "read-only" in told or "unable to open" in told:
        return f"{reason}; make its folder writable for this user, or set GAINSAY_DATABASE_URL"
    if "locked" in told or "timeout" in told:
        return f"{reason}; look for another program that holds it"
    if "connect" in told or "terminat" in told or "shutting down" in told or "closed" in told:
        return f"{reason}; check that its server runs"
    return reason


def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """WAL lets readers work beside the writer; FULL makes a commit survive a power cut, not only a kill."""
    use_write_ahead_log(connection, _BUSY_S)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _without_implicit_commits(connection: Any, _record: Any) -> None:
    """Python's driver commits before every CREATE TABLE; a migration must happen wholly or not at all."""
    connection.isolation_level = None


def _begin_at_once(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
