"""Opening the database: SQLite in WAL mode by default, PostgreSQL by URL, brought to the newest schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ..errors import DatabaseError

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
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_backend_name() == "sqlite":
        options = {"connect_args": {"timeout": 30, "check_same_thread": False}}
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
    except NoSuchModuleError as error:
        raise DatabaseError(
            f"{parsed.drivername!r} is no known database; use sqlite or postgresql"
        ) from error
    except (SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        safe = parsed.render_as_string(hide_password=True)
        raise DatabaseError(f"the database {safe} cannot be opened: {reason}") from error
    return engine


def relaxed_engine(engine: Engine) -> Engine:
    """An engine on the same database whose commits survive a kill, but perhaps not a power cut.

    Five times faster; only for what can be made again.
    """
    if engine.url.get_backend_name() == "sqlite":
        relaxed = create_engine(engine.url, connect_args={"timeout": 30, "check_same_thread": False})
        event.listen(relaxed, "connect", _configure_sqlite)
        event.listen(relaxed, "connect", _do_not_wait_for_the_disk)
        return relaxed
    return create_engine(
        engine.url, pool_pre_ping=True, connect_args={"options": "-c synchronous_commit=off"}
    )


def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """WAL lets readers work beside the writer; FULL makes a commit survive a power cut, not only a kill."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


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
